//! A bare HTTP/1.1 client for tests: sends a request unchanged, reads every byte, and reports how the
//! connection ended.

use std::{io, net::SocketAddr};

use crate::media_type;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A request being written.
#[derive(Clone, Debug)]
pub struct Ask {
    address: SocketAddr,
    head: String,
    body: String,
}

/// All that came back, up to the end of the connection.
#[derive(Debug)]
pub struct Reply {
    /// 0 if there was no answer.
    pub status: u16,
    head: String,
    /// What came behind the head.
    pub body: Vec<u8>,
    /// How the connection ended; `None` for FIN.
    pub error: Option<io::ErrorKind>,
}

impl Ask {
    /// A request on a connection of its own.
    pub fn new(address: SocketAddr, method: &str, target: &str) -> Self {
        let head = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\n");
        Self {
            address,
            head,
            body: String::new(),
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.head.extend([name, ": ", value, "\r\n"]);
        self
    }

    /// Accepts OCI's two manifest types.
    #[must_use]
    pub fn accepting_oci(self) -> Self {
        self.with(
            "Accept",
            &format!("{}, {}", media_type::INDEX, media_type::MANIFEST),
        )
    }

    /// Carries a form.
    #[must_use]
    pub fn form(mut self, text: &str) -> Self {
        text.clone_into(&mut self.body);
        self.with("Content-Type", "application/x-www-form-urlencoded")
            .with("Content-Length", &text.len().to_string())
    }

    /// The request sent, nothing read.
    pub async fn open(self) -> TcpStream {
        let socket = TcpStream::connect(self.address).await.unwrap();
        self.open_over(socket).await.unwrap()
    }

    /// The whole answer, over a given connection, such as one with TLS.
    pub async fn reply_over<S: AsyncRead + AsyncWrite + Unpin>(
        self,
        socket: S,
    ) -> io::Result<Reply> {
        Ok(Reply::read(self.open_over(socket).await?).await)
    }

    async fn open_over<S: AsyncWrite + Unpin>(self, mut socket: S) -> io::Result<S> {
        let text = format!("{}Connection: close\r\n\r\n{}", self.head, self.body);
        socket.write_all(text.as_bytes()).await?;
        socket.flush().await?;
        Ok(socket)
    }

    /// The whole answer.
    pub async fn reply(self) -> Reply {
        Reply::read(self.open().await).await
    }
}

impl Reply {
    /// Reads an answer to the end of its connection.
    pub async fn read<S: AsyncRead + Unpin>(mut socket: S) -> Self {
        let mut bytes = Vec::new();
        let error = socket
            .read_to_end(&mut bytes)
            .await
            .err()
            .map(|error| error.kind());
        let end = bytes
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .map_or(0, |at| at + 4);
        let body = bytes.split_off(end);
        let head = String::from_utf8(bytes).unwrap().to_lowercase();
        let status = head.get(9..12).map_or(0, |text| text.parse().unwrap());
        Self {
            status,
            head,
            body,
            error,
        }
    }

    /// A header's value in lower case; the name is given so too.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// All headers in lower case, in the order they came.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
    }

    /// The body of a reply that announced its length and kept it.
    pub fn whole(&self) -> &[u8] {
        assert_eq!(self.error, None);
        assert_eq!(
            self.header("content-length"),
            Some(self.body.len().to_string().as_str())
        );
        &self.body
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(self.whole()).unwrap()
    }
}

/// Reads until `count` bytes behind the head are there.
pub async fn body_so_far(socket: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let end = bytes
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .map(|at| at + 4);
        if let Some(end) = end
            && bytes.len() >= end + count
        {
            return bytes.split_off(end);
        }
        assert_ne!(
            socket.read_buf(&mut bytes).await.unwrap(),
            0,
            "it ended early"
        );
    }
}
