//! Faults, and how each changes an answer. Pure.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, LINK, LOCATION,
    RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{Method, Response, StatusCode};

use crate::answer::{Answer, DIGEST};
use crate::body::Step;
use crate::gate::{Gate, Pause};
use crate::line::Ending;
use crate::record::Recorded;

/// One way of misbehaving.
///
/// A fault is met only by a request whose answer can show it: one that acts on the body waits for
/// a GET that succeeds, one about ranges for a 206, and so on. Offsets count from the first byte
/// of the answer's own body, except [`Fault::FlipByte`]'s.
#[derive(Debug, Clone)]
pub enum Fault {
    /// This status with a JSON error.
    Status(u16),
    /// 429 with this `Retry-After`; `Status(429)` has none.
    Throttle(String),
    /// 401 with this `WWW-Authenticate`, or without one.
    Unauthorized(Option<String>),
    /// This answer, whatever was asked; its length is added.
    Answer(Response<Bytes>),
    /// 200 with an HTML login page, as captive portals send.
    Html,
    /// 307 to a URL or a path.
    RedirectTo(String),
    /// This redirect status to a URL or a path.
    Redirect(u16, String),
    /// 405 to HEAD.
    RefuseHead,

    /// The whole answer comes late.
    Delay(Duration),
    /// The whole answer is held.
    HoldHead(Gate),
    /// The head comes, the body is held.
    HoldBody(Gate),
    /// The head and so many bytes come, the rest is held.
    HoldAfter(usize, Gate),
    /// The head comes, then nothing until the client leaves.
    Stall,
    /// The head and so many bytes come, then nothing until the client leaves.
    StallAfter(usize),
    /// So many bytes, a pause, and so on.
    Trickle(usize, Pause),

    /// The connection ends with FIN, no answer given.
    HangUp,
    /// The connection ends with RST, no answer given.
    Reset,
    /// The connection ends with FIN after so many bytes of body.
    CutAfter(usize),
    /// The connection ends with RST after so many bytes of body; the last may be lost.
    ResetAfter(usize),
    /// More is announced than is sent, then FIN.
    ShortLength,
    /// So many surplus bytes follow the announced ones, then FIN.
    ExtraBytes(usize),
    /// These very bytes in place of an HTTP answer, then FIN.
    Raw(Bytes),

    /// The byte at this offset of the content is wrong; ranges without it are right.
    FlipByte(usize),
    /// A body without end or length.
    HugeBody,
    /// Chunked, no `Content-Length`.
    NoLength,
    /// `Docker-Content-Digest` names something else.
    WrongDigestHeader,
    /// No `Docker-Content-Digest`.
    NoDigestHeader,
    /// This `Content-Type`.
    ContentType(String),
    /// `Content-Encoding: gzip` on a body that is not compressed.
    Gzip,
    /// Any header set to any value.
    Header(String, String),
    /// 200 and everything to a request for a range.
    IgnoreRange,
    /// A 206 whose `Content-Range` is off by one.
    WrongContentRange,
    /// The next page's link in another style.
    Link(Link),
}

/// How a tag list says where its next page is; `/v2/…` when nothing is scripted.
#[derive(Debug, Clone)]
pub enum Link {
    /// With scheme and host.
    Absolute,
    /// Relative to the request: `list?…`.
    Relative,
    /// On this scheme and host.
    Foreign(String),
    /// The same page again, for ever.
    Endless,
}

impl Fault {
    /// Whether the fault would be seen in this answer.
    pub(crate) fn fits(&self, request: &Recorded, answer: &Answer) -> bool {
        let succeeds = answer.status.is_success();
        match self {
            Self::HoldBody(_)
            | Self::HoldAfter(..)
            | Self::Stall
            | Self::StallAfter(_)
            | Self::Trickle(..)
            | Self::CutAfter(_)
            | Self::ResetAfter(_)
            | Self::ShortLength
            | Self::ExtraBytes(_)
            | Self::HugeBody => succeeds && request.method == Method::GET,
            Self::FlipByte(at) => {
                let held = answer.start..answer.start + answer.bytes.len();
                succeeds && request.method == Method::GET && held.contains(at)
            }
            Self::NoLength | Self::ContentType(_) | Self::Gzip => succeeds,
            Self::WrongDigestHeader | Self::NoDigestHeader => answer.headers.contains_key(DIGEST),
            Self::IgnoreRange | Self::WrongContentRange => {
                answer.status == StatusCode::PARTIAL_CONTENT
            }
            Self::Link(_) => answer.headers.contains_key(LINK),
            Self::RefuseHead => request.method == Method::HEAD,
            Self::Status(_)
            | Self::Throttle(_)
            | Self::Unauthorized(_)
            | Self::Answer(_)
            | Self::Html
            | Self::RedirectTo(_)
            | Self::Redirect(..)
            | Self::Delay(_)
            | Self::HoldHead(_)
            | Self::HangUp
            | Self::Reset
            | Self::Raw(_)
            | Self::Header(..) => true,
        }
    }

    /// The answer with the fault in it.
    pub(crate) fn spoil(self, answer: Answer, request: &Recorded, origin: &str) -> Answer {
        match self {
            Self::Status(code) => failure(code),
            Self::Throttle(after) => failure(429).with(RETRY_AFTER, &after),
            Self::Unauthorized(None) => failure(401),
            Self::Unauthorized(Some(value)) => failure(401).with(WWW_AUTHENTICATE, &value),
            Self::Answer(response) => given(response),
            Self::Html => Answer::new(StatusCode::OK, "text/html; charset=utf-8", LOGIN_PAGE),
            Self::RedirectTo(location) => failure(307).with(LOCATION, &location),
            Self::Redirect(code, location) => failure(code).with(LOCATION, &location),
            Self::RefuseHead => failure(405),
            Self::Delay(time) => Answer {
                pause: Some(Pause::For(time)),
                ..answer
            },
            Self::HoldHead(gate) => Answer {
                pause: Some(Pause::At(gate)),
                ..answer
            },
            Self::HangUp => instead(answer, Ending::instead(Bytes::new())),
            Self::Reset => instead(
                answer,
                Ending {
                    mute: true,
                    ..Ending::reset()
                },
            ),
            Self::Raw(bytes) => instead(answer, Ending::instead(bytes)),
            Self::NoLength => without(answer, &CONTENT_LENGTH),
            Self::WrongDigestHeader => answer.with(DIGEST, OTHER_DIGEST),
            Self::NoDigestHeader => without(answer, &DIGEST),
            Self::ContentType(kind) => answer.with(CONTENT_TYPE, &kind),
            Self::Gzip => answer.with(CONTENT_ENCODING, "gzip"),
            Self::Header(name, value) => {
                let name: HeaderName = name.parse().expect("a header name a test can write");
                answer.with(name, &value)
            }
            Self::IgnoreRange => whole(answer),
            Self::WrongContentRange => {
                let (start, total) = (answer.start, answer.whole.len());
                let end = start + answer.bytes.len();
                answer.with(
                    CONTENT_RANGE,
                    &format!("bytes {}-{end}/{}", start + 1, total + 1),
                )
            }
            Self::Link(link) => relink(answer, &link, request, origin),
            body => body.play(answer),
        }
    }

    /// The faults that act on the body alone.
    fn play(self, mut answer: Answer) -> Answer {
        let bytes = answer.bytes.clone();
        let length = bytes.len();
        let send =
            |from: usize, to: usize| Step::Send(bytes.slice(from.min(length)..to.min(length)));
        let steps = match self {
            Self::HoldBody(gate) => vec![Step::Pause(Pause::At(gate)), send(0, length)],
            Self::HoldAfter(count, gate) => {
                vec![
                    send(0, count),
                    Step::Pause(Pause::At(gate)),
                    send(count, length),
                ]
            }
            Self::Stall => vec![Step::Silence],
            Self::StallAfter(count) => vec![send(0, count), Step::Silence],
            Self::Trickle(step, pause) => (0..length)
                .step_by(step.max(1))
                .flat_map(|at| [send(at, at + step.max(1)), Step::Pause(pause.clone())])
                .collect(),
            Self::CutAfter(count) => vec![send(0, count), Step::End(Ending::fin())],
            Self::ResetAfter(count) => vec![send(0, count), Step::End(Ending::reset())],
            Self::ShortLength => {
                answer = answer.with(CONTENT_LENGTH, &(length + 1).to_string());
                vec![send(0, length), Step::End(Ending::fin())]
            }
            Self::ExtraBytes(count) => {
                let surplus = Ending::after(vec![b'+'; count].into());
                vec![send(0, length), Step::End(surplus)]
            }
            Self::HugeBody => {
                answer = without(answer, &CONTENT_LENGTH);
                vec![
                    send(0, length),
                    Step::Repeat(Bytes::from_static(&[b' '; HUGE_CHUNK_BYTES])),
                ]
            }
            Self::FlipByte(at) => vec![Step::Send(flipped(&bytes, at - answer.start))],
            other => unreachable!("{other:?} does not act on the body"),
        };
        Answer {
            steps: Some(steps),
            ..answer
        }
    }
}

fn failure(code: u16) -> Answer {
    let status = StatusCode::from_u16(code).expect("a status a test can write");
    let name = match code {
        401 => "UNAUTHORIZED",
        403 => "DENIED",
        404 => "NOT_FOUND",
        405 => "UNSUPPORTED",
        429 => "TOOMANYREQUESTS",
        _ => "UNKNOWN",
    };
    Answer::error(status, name)
}

fn given(response: Response<Bytes>) -> Answer {
    let (head, bytes) = response.into_parts();
    let mut answer = Answer::new(head.status, "application/octet-stream", bytes);
    answer.headers.remove(CONTENT_TYPE);
    for name in head.headers.keys() {
        answer.headers.remove(name);
        for value in head.headers.get_all(name) {
            answer.headers.append(name, value.clone());
        }
    }
    answer
}

fn instead(answer: Answer, ending: Ending) -> Answer {
    Answer {
        instead: Some(ending),
        ..answer
    }
}

fn without(mut answer: Answer, name: &HeaderName) -> Answer {
    answer.headers.remove(name);
    answer
}

fn whole(answer: Answer) -> Answer {
    let length = answer.whole.len().to_string();
    let answer = Answer {
        status: StatusCode::OK,
        bytes: answer.whole.clone(),
        start: 0,
        ..without(answer, &CONTENT_RANGE)
    };
    answer.with(CONTENT_LENGTH, &length)
}

fn flipped(bytes: &Bytes, at: usize) -> Bytes {
    let mut bytes = BytesMut::from(bytes.as_ref());
    let byte = bytes.get_mut(at).expect("the fault fits");
    *byte = !*byte;
    bytes.freeze()
}

fn relink(answer: Answer, link: &Link, request: &Recorded, own: &str) -> Answer {
    let said = answer
        .headers
        .get(LINK)
        .and_then(|value| value.to_str().ok());
    let path = said
        .and_then(|text| text.strip_prefix('<'))
        .expect("the fault fits");
    let text = match link {
        Link::Absolute => format!("<{own}{path}"),
        Link::Foreign(origin) => format!("<{origin}{path}"),
        Link::Relative => match path.split_once('?') {
            Some((_, query)) => format!("<list?{query}"),
            None => format!("<{path}"),
        },
        Link::Endless => {
            let query = request.query.as_deref().unwrap_or_default();
            format!("<{}?{query}>; rel=\"next\"", request.path)
        }
    };
    answer.with(LINK, &text)
}

const LOGIN_PAGE: &str = "<!doctype html><title>Log in</title><form method=post></form>\n";
/// The sha256 of nothing, which no test asks for.
const OTHER_DIGEST: &str =
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const HUGE_CHUNK_BYTES: usize = 16 * 1024;
