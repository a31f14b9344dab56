//! The smallest HTTP/1.1 client that can ask in shapes no library would: the request target goes out as written.

use std::{
    io::{self, BufRead, BufReader, Read, Take, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use sha2::{Digest, Sha256};

/// A peer that is silent for this long fails the scene.
const SILENCE_MAX: Duration = Duration::from_mins(2);
const CHUNK_BYTES: usize = 64 * 1024;

/// What a request sends.
pub(crate) struct Body<'a> {
    pub(crate) length: u64,
    pub(crate) bytes: &'a mut dyn Read,
}

/// What is asked of whom.
pub(crate) struct Line<'a> {
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) host: &'a str,
}

/// An answer whose body is still on the wire.
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    length: u64,
    body: Take<BufReader<Box<dyn Read + Send>>>,
}

pub(crate) fn get(address: SocketAddr, target: &str) -> Reply {
    send(address, "GET", target, &[], None).unwrap()
}

/// One request on a connection of its own.
pub(crate) fn send(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: Option<Body<'_>>,
) -> io::Result<Reply> {
    let stream = connect(address)?;
    let host = &address.to_string();
    talk(
        stream,
        &Line {
            method,
            target,
            host,
        },
        headers,
        body,
    )
}

/// A connection on which nobody waits for ever.
pub(crate) fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.set_write_timeout(Some(SILENCE_MAX))?;
    Ok(stream)
}

/// One request on this connection.
pub(crate) fn talk(
    mut stream: impl Read + Write + Send + 'static,
    request: &Line<'_>,
    headers: &[(&str, &str)],
    body: Option<Body<'_>>,
) -> io::Result<Reply> {
    let Line {
        method,
        target,
        host,
    } = request;
    let mut head = Vec::new();
    write!(head, "{method} {target} HTTP/1.1\r\nHost: {host}\r\n")?;
    write!(head, "Connection: close\r\n")?;
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n")?;
    }
    if let Some(body) = &body {
        write!(head, "Content-Length: {}\r\n", body.length)?;
    }
    head.extend_from_slice(b"\r\n");
    stream.write_all(&head)?;
    if let Some(body) = body {
        copy(body.bytes, |piece| stream.write_all(piece))?;
    }
    read_head(
        BufReader::with_capacity(CHUNK_BYTES, Box::new(stream)),
        method,
    )
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name)?;
        Some(&found.1)
    }

    pub(crate) fn expect_status(self, status: u16, what: &str) -> Self {
        if self.status != status {
            let got = self.status;
            panic!(
                "{what}: {got} instead of {status}: {}",
                String::from_utf8_lossy(&self.bytes())
            );
        }
        self
    }

    /// Everything the peer has said, as text.
    pub(crate) fn whole(self) -> String {
        let head = format!("{} {:?}\n", self.status, self.headers);
        head + &String::from_utf8_lossy(&self.bytes())
    }

    pub(crate) fn bytes(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.body.read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// Reads to the end without keeping anything; `progress` hears how many bytes have arrived.
    pub(crate) fn sha256(mut self, mut progress: impl FnMut(u64)) -> String {
        let mut hasher = Sha256::new();
        let mut arrived = 0;
        copy(&mut self.body, |piece| {
            hasher.update(piece);
            arrived += u64::try_from(piece.len()).unwrap();
            progress(arrived);
            Ok(())
        })
        .unwrap();
        assert_eq!(arrived, self.length, "a body ended short");
        digest_text(hasher)
    }
}

impl Read for Reply {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.body.read(buffer)
    }
}

pub(crate) fn digest_of(bytes: &mut dyn Read) -> String {
    let mut hasher = Sha256::new();
    copy(bytes, |piece| {
        hasher.update(piece);
        Ok(())
    })
    .unwrap();
    digest_text(hasher)
}

pub(crate) fn digest_text(hasher: Sha256) -> String {
    hasher
        .finalize()
        .iter()
        .fold("sha256:".to_owned(), |text, byte| {
            format!("{text}{byte:02x}")
        })
}

fn copy(from: &mut dyn Read, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        take(&buffer[..count])?;
    }
}

fn read_head(mut stream: BufReader<Box<dyn Read + Send>>, method: &str) -> io::Result<Reply> {
    let status_line = read_line(&mut stream)?;
    let status = status_line
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| io::Error::other(format!("no status in {status_line:?}")))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(&mut stream)?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .map_or(u64::MAX, |(_, value)| value.parse().unwrap());
    Ok(Reply {
        status,
        headers,
        length,
        body: stream.take(if method == "HEAD" { 0 } else { length }),
    })
}

fn read_line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}
