//! The smallest HTTP/1.1 server: one request a connection, answered by a closure.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

const SILENCE_MAX: Duration = Duration::from_secs(30);
const BODY_BYTES_MAX: u64 = 64 * 1024;

/// Serves on a port of its own until it is dropped.
pub(crate) struct Web {
    pub(crate) address: SocketAddr,
    over: Arc<AtomicBool>,
}

/// What was asked.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) body: String,
    headers: Vec<(String, String)>,
}

/// What is answered.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Web {
    pub(crate) fn serve(answer: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        let answer = Arc::new(answer);
        accept(move |stream| {
            let answer = Arc::clone(&answer);
            thread::spawn(move || serve_one(&stream, &*answer));
        })
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts; one that is gone needs no waking.
        drop(TcpStream::connect(self.address));
    }
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name)?;
        Some(&found.1)
    }
}

impl Response {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// Hands each connection to the closure until the server is dropped.
pub(crate) fn accept(take: impl Fn(TcpStream) + Send + 'static) -> Web {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let web = Web {
        address: listener.local_addr().unwrap(),
        over: Arc::new(AtomicBool::new(false)),
    };
    let over = Arc::clone(&web.over);
    thread::spawn(move || {
        for stream in listener.incoming() {
            if over.load(Ordering::Relaxed) {
                return;
            }
            if let Ok(stream) = stream {
                take(stream);
            }
        }
    });
    web
}

/// A peer that leaves early is its own affair.
fn serve_one(mut stream: &TcpStream, answer: &dyn Fn(&Request) -> Response) {
    if let Ok(request) = read(stream) {
        let mut response = answer(&request);
        let length = response.body.len().to_string();
        if request.method == "HEAD" {
            response.body.clear();
        }
        drop(write(
            &mut stream,
            &response.header("Content-Length", length),
        ));
    }
}

fn read(stream: &TcpStream) -> io::Result<Request> {
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next(), words.next());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut request = Request {
        method: method.ok_or(io::ErrorKind::InvalidData)?,
        target: target.ok_or(io::ErrorKind::InvalidData)?,
        body: String::new(),
        headers,
    };
    let length = request.header("content-length").unwrap_or("0").parse();
    let length = length.map_err(io::Error::other)?;
    let mut body = stream.take(BODY_BYTES_MAX.min(length));
    body.read_to_string(&mut request.body)?;
    Ok(request)
}

fn write(stream: &mut impl Write, response: &Response) -> io::Result<()> {
    let status = response.status;
    let mut head = Vec::new();
    write!(head, "HTTP/1.1 {status} Scene\r\nConnection: close\r\n")?;
    for (name, value) in &response.headers {
        write!(head, "{name}: {value}\r\n")?;
    }
    head.extend_from_slice(b"\r\n");
    head.extend_from_slice(&response.body);
    stream.write_all(&head)?;
    stream.flush()
}
