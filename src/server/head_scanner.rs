//! Finds where a request's head begins and ends in the bytes of an HTTP/1.1 connection, and checks
//! its line endings.
//!
//! The HTTP parser accepts a bare LF as a line ending; a proxy in front may not, and then the two
//! disagree about where a request ends. So such bytes never reach the parser.

use super::observed_stream::Scan;

/// Longest header name to recognise.
const NAME_BYTES_MAX: usize = b"transfer-encoding".len();

/// Scans the bytes that the parser reads.
#[derive(Debug, Default)]
pub(super) struct HeadScanner {
    at: HeadPosition,
    last: u8,
    line_bytes: usize,
    name: [u8; NAME_BYTES_MAX],
    body: bool,
}

/// A line of a head ended in a bare LF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BareLineFeed;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum HeadPosition {
    /// Before a head's first byte; blank lines may stand there.
    #[default]
    Between,
    RequestLine,
    Name,
    /// In the value of any other header.
    Value,
    /// In the value of `Content-Length`.
    Length,
    /// In or after a request's body. The server closes the connection after such a request, so
    /// no head follows.
    Body,
}

impl Scan for HeadScanner {
    const WRITING_IS_PROGRESS: bool = true;
    type Refused = BareLineFeed;

    fn scan(&mut self, mut bytes: &[u8]) -> Result<(), BareLineFeed> {
        while self.at != HeadPosition::Body {
            if matches!(self.at, HeadPosition::RequestLine | HeadPosition::Value) {
                bytes = self.skip(bytes);
            }
            let Some((&byte, rest)) = bytes.split_first() else {
                break;
            };
            if byte == b'\n' {
                if self.last != b'\r' {
                    return Err(BareLineFeed);
                }
                self.end_line();
            } else {
                self.step(byte);
            }
            self.last = byte;
            bytes = rest;
        }
        Ok(())
    }

    fn is_within_head(&self) -> bool {
        !matches!(self.at, HeadPosition::Between | HeadPosition::Body)
    }
}

impl HeadScanner {
    /// Skips to the end of the line or of `bytes`; returns the rest.
    fn skip<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let end = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
        let (line, rest) = bytes.split_at_checked(end).unwrap_or_default();
        self.last = line.last().copied().unwrap_or(self.last);
        self.line_bytes = self.line_bytes.saturating_add(line.len());
        rest
    }

    fn step(&mut self, byte: u8) {
        match (self.at, byte) {
            (HeadPosition::Between, b'\r') => {}
            (HeadPosition::Between, _) => {
                self.at = HeadPosition::RequestLine;
                self.body = false;
            }
            (HeadPosition::Name, b':') => self.end_name(),
            (HeadPosition::Name, _) => {
                if let Some(slot) = self.name.get_mut(self.line_bytes) {
                    *slot = byte.to_ascii_lowercase();
                }
            }
            (HeadPosition::Length, b'1'..=b'9') => self.body = true,
            _ => {}
        }
        self.line_bytes = self.line_bytes.saturating_add(1);
    }

    fn end_name(&mut self) {
        self.at = match self.name.get(..self.line_bytes) {
            Some(b"content-length") => HeadPosition::Length,
            Some(b"transfer-encoding") => {
                self.body = true;
                HeadPosition::Value
            }
            _ => HeadPosition::Value,
        };
    }

    fn end_line(&mut self) {
        // The line holds only the carriage return.
        let blank = self.line_bytes <= 1;
        self.line_bytes = 0;
        self.at = match self.at {
            HeadPosition::Between => HeadPosition::Between,
            HeadPosition::Name if blank && self.body => HeadPosition::Body,
            HeadPosition::Name if blank => HeadPosition::Between,
            _ => HeadPosition::Name,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanned(text: &str) -> (Result<(), BareLineFeed>, HeadPosition) {
        let mut whole = HeadScanner::default();
        let outcome = whole.scan(text.as_bytes());
        // Byte by byte, the outcome must be the same.
        let mut bytewise = HeadScanner::default();
        let same = text.bytes().try_for_each(|byte| bytewise.scan(&[byte]));
        assert_eq!((outcome, whole.at), (same, bytewise.at), "{text:?}");
        (outcome, whole.at)
    }

    #[test]
    fn heads_are_followed_to_their_end() {
        let rows = [
            ("", HeadPosition::Between),
            ("\r\n\r\n", HeadPosition::Between),
            ("G", HeadPosition::RequestLine),
            ("GET / HTTP/1.1\r\n", HeadPosition::Name),
            ("GET / HTTP/1.1\r\nHost: a", HeadPosition::Value),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", HeadPosition::Between),
            ("GET / HTTP/1.1\r\n\r\nG", HeadPosition::RequestLine),
            (
                "GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
                HeadPosition::Between,
            ),
            (
                "GET / HTTP/1.1\r\nCONTENT-length: 10\r\n\r\nx\n",
                HeadPosition::Body,
            ),
            (
                "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\n",
                HeadPosition::Body,
            ),
            (
                "GET / HTTP/1.1\r\nTransfer-Encodings: a\r\n\r\n",
                HeadPosition::Between,
            ),
            (
                "GET / HTTP/1.1\r\nContent-Lengt: 5\r\n\r\n",
                HeadPosition::Between,
            ),
        ];
        for (text, at) in rows {
            assert_eq!(scanned(text), (Ok(()), at), "{text:?}");
        }
    }

    #[test]
    fn a_bare_line_feed_is_found_in_every_line_of_a_head() {
        for text in [
            "\n",
            "GET / HTTP/1.1\n",
            "GET / HTTP/1.1\r\nHost: a\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "GET / HTTP/1.1\r\nContent-Length: 5\n",
            "GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\n",
        ] {
            assert_eq!(scanned(text).0, Err(BareLineFeed), "{text:?}");
        }
    }
}
