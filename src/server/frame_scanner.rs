//! Finds where a request's head begins and ends among the frames of an HTTP/2 connection.
//!
//! hyper reports a head only when it is complete, so only the frames show that a client has begun
//! one and does not finish it.

use super::observed_stream::Scan;

const PREFACE_BYTES: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();
const FRAME_HEAD_BYTES: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// Scans the bytes that hyper reads. The preface counts as a head.
#[derive(Debug)]
pub(super) struct FrameScanner {
    /// The frame header, as far as it has arrived.
    head: [u8; FRAME_HEAD_BYTES],
    head_bytes: usize,
    /// Bytes that are missing of the preface or of a frame's payload.
    rest_bytes: usize,
    at: FramePosition,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FramePosition {
    /// Nothing has arrived yet.
    Start,
    /// In a head that continues after this frame.
    Head,
    /// In the last frame of a head, or in the preface.
    LastOfHead,
    /// After a head, among other frames.
    Between,
}

impl Default for FrameScanner {
    fn default() -> Self {
        Self {
            head: [0; FRAME_HEAD_BYTES],
            head_bytes: 0,
            rest_bytes: PREFACE_BYTES,
            at: FramePosition::Start,
        }
    }
}

impl Scan for FrameScanner {
    /// Replies to pings and settings must not count as progress; [`super::http2_body`] reports it.
    const WRITING_IS_PROGRESS: bool = false;
    /// hyper refuses protocol violations itself.
    type Refused = std::convert::Infallible;

    fn scan(&mut self, mut bytes: &[u8]) -> Result<(), Self::Refused> {
        if self.at == FramePosition::Start && !bytes.is_empty() {
            self.at = FramePosition::LastOfHead;
        }
        while let Some((first, behind)) = bytes.split_first() {
            if self.rest_bytes == 0 {
                self.step(*first);
                bytes = behind;
            } else {
                let passed = self.rest_bytes.min(bytes.len());
                self.rest_bytes -= passed;
                bytes = bytes.get(passed..).unwrap_or_default();
            }
            if self.rest_bytes == 0 && self.head_bytes == 0 && self.at == FramePosition::LastOfHead
            {
                self.at = FramePosition::Between;
            }
        }
        Ok(())
    }

    fn is_within_head(&self) -> bool {
        matches!(self.at, FramePosition::Head | FramePosition::LastOfHead)
    }
}

impl FrameScanner {
    fn step(&mut self, byte: u8) {
        if let Some(slot) = self.head.get_mut(self.head_bytes) {
            *slot = byte;
        }
        self.head_bytes += 1;
        if self.head_bytes < FRAME_HEAD_BYTES {
            return;
        }
        self.head_bytes = 0;
        let [high, middle, low, kind, flags, _stream @ ..] = self.head;
        self.rest_bytes = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        if kind == HEADERS || kind == CONTINUATION {
            let is_last = flags & END_HEADERS != 0;
            self.at = if is_last {
                FramePosition::LastOfHead
            } else {
                FramePosition::Head
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload_bytes: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, payload_bytes, kind, flags, 0, 0, 0, 1];
        frame.extend(vec![0xff; usize::from(payload_bytes)]);
        frame
    }

    #[test]
    fn a_head_begins_and_ends_with_its_frames() {
        const DATA: u8 = 0;
        const SETTINGS: u8 = 4;
        let preface = || vec![0; PREFACE_BYTES];
        let rows: [(&str, Vec<Vec<u8>>, bool); 9] = [
            ("nothing", vec![], false),
            ("half a preface", vec![vec![0; PREFACE_BYTES - 1]], true),
            ("the preface", vec![preface()], false),
            ("settings", vec![preface(), frame(SETTINGS, 0, 12)], false),
            (
                "a head",
                vec![preface(), frame(HEADERS, END_HEADERS, 40)],
                false,
            ),
            (
                "a head that goes on",
                vec![preface(), frame(HEADERS, 0, 40)],
                true,
            ),
            (
                "more of it",
                vec![preface(), frame(HEADERS, 0, 40), frame(CONTINUATION, 0, 0)],
                true,
            ),
            (
                "its end",
                vec![
                    preface(),
                    frame(HEADERS, 0, 40),
                    frame(CONTINUATION, 0, 9),
                    frame(CONTINUATION, END_HEADERS, 0),
                ],
                false,
            ),
            (
                "data with a head's flag",
                vec![preface(), frame(DATA, END_HEADERS, 200)],
                false,
            ),
        ];
        for (name, frames, within) in rows {
            let bytes = frames.concat();
            let mut whole = FrameScanner::default();
            assert_eq!(whole.scan(&bytes), Ok(()));
            assert_eq!(whole.is_within_head(), within, "{name}");
            // Byte by byte, the outcome must be the same.
            let mut bytewise = FrameScanner::default();
            for byte in bytes {
                assert_eq!(bytewise.scan(&[byte]), Ok(()));
            }
            assert_eq!(format!("{bytewise:?}"), format!("{whole:?}"), "{name}");
        }
        let mut half = FrameScanner::default();
        let mut bytes = [preface(), frame(HEADERS, END_HEADERS, 40)].concat();
        bytes.pop();
        assert_eq!(half.scan(&bytes), Ok(()));
        assert!(half.is_within_head());
    }
}
