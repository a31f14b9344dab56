//! The log: JSON for machines, text for a terminal, one entry per line, always on stderr.
//!
//! Promises: whatever a client sends, an entry stays one line, JSON entries parse, and no control
//! character reaches a terminal. Never logs by itself.

mod entry;
mod escape;
mod sink;

use std::{
    fmt, io,
    io::IsTerminal,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use arc_swap::ArcSwap;
use thiserror::Error;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::{
    Layer, filter::filter_fn, fmt::MakeWriter, layer::SubscriberExt, registry::Registry,
};

use entry::EntryFormat;
use sink::{REQUEST, Sink};

/// The event's name for a hit, so that hits can be filtered out before they cost anything.
const HIT: &str = "hit";
/// Longest user agent in an entry; genuine ones are shorter.
const USER_AGENT_CHARS_MAX: usize = 200;

/// Everything about logging that the configuration decides.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The format of entries.
    pub format: LogFormat,
    /// The least important level of our own entries. Libraries log from `WARN`, or everything at
    /// `TRACE`; requests have their own setting.
    pub level: Level,
    /// Which requests get an entry, regardless of `level`.
    pub requests: LoggedRequests,
}

/// The format of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text if stderr is a terminal, else JSON.
    #[default]
    Auto,
    /// One JSON object per line.
    Json,
    /// Text for people.
    Text,
}

/// Which requests get an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoggedRequests {
    /// All.
    #[default]
    All,
    /// Those whose outcome is not `hit`.
    Misses,
    /// None.
    None,
}

/// The sender of a request; the server puts it into the request's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remote {
    /// A TCP peer.
    Tcp(SocketAddr),
    /// A process on this machine, through a Unix socket.
    Unix,
}

/// The entry of one answered request, written when its body has ended.
#[derive(Clone, Copy, Debug)]
pub struct RequestLine<'a> {
    /// The listener's address as configured.
    pub listener: &'a str,
    /// The sender; `None` where the server set none.
    pub remote: Option<Remote>,
    /// The method, even if it is refused.
    pub method: &'a str,
    /// The registry; empty where the request names none.
    pub registry: &'a str,
    /// The repository in it.
    pub repository: &'a str,
    /// The tag or digest.
    pub reference: &'a str,
    /// As in [`super::AnsweredRequest::kind`].
    pub kind: &'static str,
    /// As in [`super::AnsweredRequest::outcome`].
    pub outcome: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The upstream that was requested, if any.
    pub upstream: Option<&'a str>,
    /// Bytes of the body that were sent.
    pub bytes: u64,
    /// From the request's head to the body's end.
    pub duration: Duration,
    /// Whether the whole body was sent.
    pub complete: bool,
    /// The client's `User-Agent`, unchecked.
    pub user_agent: &'a str,
}

/// Why logging cannot start.
#[derive(Debug, Error)]
pub enum LogError {
    /// Logging was already set up in this process.
    #[error("logging was set up already")]
    Already,
    /// The writer thread cannot be started.
    #[error("cannot start the log: {0}")]
    Thread(#[source] io::Error),
}

/// The process's log. Its drop waits until all entries are written, for a second at most.
#[derive(Debug)]
pub struct Log(Sink);

impl Drop for Log {
    fn drop(&mut self) {
        self.0.flush();
    }
}

/// The filter of the process's log; a process has one log.
static FILTER: OnceLock<LogFilter> = OnceLock::new();

/// Starts logging for the whole process.
///
/// # Errors
/// See [`LogError`].
pub fn init(settings: &Settings) -> Result<Log, LogError> {
    let filter = LogFilter::new(settings);
    let sink = Sink::open(io::stderr()).map_err(LogError::Thread)?;
    tracing::subscriber::set_global_default(subscriber(settings.format, &filter, sink.clone()))
        .map_err(|_already_set| LogError::Already)?;
    FILTER
        .set(filter)
        .map_err(|_already_set| LogError::Already)?;
    Ok(Log(sink))
}

/// Applies the level and the requests of these settings; the format stays. Does nothing before
/// [`init`].
pub fn apply(settings: &Settings) {
    if let Some(filter) = FILTER.get() {
        filter.set(settings);
    }
}

/// Which entries are written; a reload may change it.
#[derive(Clone, Debug)]
struct LogFilter(Arc<ArcSwap<(Level, LoggedRequests)>>);

impl LogFilter {
    fn new(settings: &Settings) -> Self {
        let wanted = (settings.level, settings.requests);
        Self(Arc::new(ArcSwap::from_pointee(wanted)))
    }

    fn set(&self, settings: &Settings) {
        self.0.store(Arc::new((settings.level, settings.requests)));
        // Each callsite caches whether it is enabled.
        tracing::callsite::rebuild_interest_cache();
    }
}

/// Whether a request with this outcome gets an entry; if not, the caller need not describe it.
pub fn is_logged(outcome: &str) -> bool {
    FILTER
        .get()
        .is_none_or(|filter| filter.0.load().1.include(outcome))
}

impl LoggedRequests {
    /// Takes the request's outcome, or its event's name.
    fn include(self, outcome: &str) -> bool {
        match self {
            Self::All => true,
            Self::Misses => outcome != HIT,
            Self::None => false,
        }
    }
}

/// Writes the entry of a request.
pub fn request(line: &RequestLine<'_>) {
    macro_rules! entry {
        ($name:expr) => {
            tracing::event!(
                name: $name,
                target: REQUEST,
                Level::INFO,
                listener = line.listener,
                remote = line.remote.map(tracing::field::display),
                method = line.method,
                registry = line.registry,
                repository = line.repository,
                reference = line.reference,
                kind = line.kind,
                outcome = line.outcome,
                status = line.status,
                upstream = line.upstream.unwrap_or("none"),
                bytes = line.bytes,
                duration_ms = milliseconds(line.duration),
                complete = line.complete,
                user_agent = capped(line.user_agent, USER_AGENT_CHARS_MAX),
            )
        };
    }
    if line.outcome == HIT {
        entry!(HIT);
    } else {
        entry!("miss");
    }
}

/// At most the first `chars_max` characters of a text.
fn capped(text: &str, chars_max: usize) -> &str {
    text.char_indices()
        .nth(chars_max)
        .and_then(|(end, _)| text.get(..end))
        .unwrap_or(text)
}

fn subscriber<W>(
    format: LogFormat,
    filter: &LogFilter,
    writer: W,
) -> impl Subscriber + Send + Sync + use<W>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let json = match format {
        LogFormat::Auto => !io::stderr().is_terminal(),
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    let filter = filter.clone();
    let layer = tracing_subscriber::fmt::layer()
        .event_format(if json {
            EntryFormat::Json
        } else {
            EntryFormat::Text
        })
        .with_writer(writer)
        .with_filter(filter_fn(move |event| {
            let (level, requests) = **filter.0.load();
            wanted(event, level, requests)
        }));
    Registry::default().with(layer)
}

fn wanted(event: &Metadata<'_>, level: Level, requests: LoggedRequests) -> bool {
    if event.target() == REQUEST {
        return requests.include(event.name());
    }
    let own = event.target().starts_with("roadstead");
    let max = if own || level == Level::TRACE {
        level
    } else {
        level.min(Level::WARN)
    };
    *event.level() <= max
}

/// With microseconds after the decimal point: a hit takes tens of them.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

impl fmt::Display for Remote {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(formatter),
            Self::Unix => formatter.write_str("unix"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    const EVIL: &str = "a\nb\r\u{1b}[31m\u{2028}\u{2029}\u{85}\u{0}\u{7f}\u{202e}\"\\(x) \u{e9}";

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(
        format: LogFormat,
        requests: LoggedRequests,
        level: Level,
        work: impl FnOnce(),
    ) -> String {
        logged(format, requests, level, |_filter| work())
    }

    fn logged(
        format: LogFormat,
        requests: LoggedRequests,
        level: Level,
        work: impl FnOnce(&LogFilter),
    ) -> String {
        let page = Page::default();
        let settings = Settings {
            format,
            level,
            requests,
        };
        let copy = page.clone();
        let filter = LogFilter::new(&settings);
        let subscriber = subscriber(format, &filter, move || copy.clone());
        tracing::subscriber::with_default(subscriber, || work(&filter));
        let bytes = page.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn harmless(log: &str) -> bool {
        let obeyed = |c: char| c.is_control() || "\u{2028}\u{2029}\u{202e}".contains(c);
        log.lines().all(|entry| !entry.contains(obeyed))
    }

    fn line(outcome: &'static str, user_agent: &'static str) -> RequestLine<'static> {
        RequestLine {
            listener: "127.0.0.1:5000",
            remote: Some(Remote::Unix),
            method: "GET",
            registry: "docker.io",
            repository: "library/nginx",
            reference: EVIL,
            kind: "manifest",
            outcome,
            status: 200,
            upstream: None,
            bytes: 7,
            duration: Duration::from_micros(1234),
            complete: true,
            user_agent,
        }
    }

    #[test]
    fn json_entries_parse_whatever_a_client_sends() {
        let log = written(LogFormat::Json, LoggedRequests::All, Level::INFO, || {
            request(&line("miss", EVIL));
            tracing::info!(value = EVIL, "said {EVIL}");
        });
        assert_eq!(log.lines().count(), 2, "{log}");
        assert!(harmless(&log), "{log}");
        let entries: Vec<serde_json::Value> = log
            .lines()
            .map(|entry| serde_json::from_str(entry).unwrap())
            .collect();
        let mut first = entries[0].clone();
        let time = first["time"].take();
        let time = time.as_str().unwrap();
        assert!(time.ends_with('Z') && time.parse::<jiff::Timestamp>().is_ok());
        let all_fields = serde_json::json!({
            "time": null, "level": "INFO", "target": REQUEST, "listener": "127.0.0.1:5000",
            "remote": "unix", "method": "GET", "registry": "docker.io",
            "repository": "library/nginx", "reference": EVIL, "kind": "manifest",
            "outcome": "miss", "status": 200, "upstream": "none", "bytes": 7,
            "duration_ms": 1.234, "complete": true, "user_agent": EVIL,
        });
        assert_eq!(first, all_fields);
        assert_eq!(entries[1]["value"], EVIL);
        assert_eq!(entries[1]["message"], format!("said {EVIL}"));
    }

    #[test]
    fn text_entries_stay_one_line_and_harmless() {
        let log = written(LogFormat::Text, LoggedRequests::All, Level::INFO, || {
            request(&line("miss", EVIL));
            tracing::warn!(value = EVIL, "said {EVIL}");
        });
        assert_eq!(log.lines().count(), 2, "{log}");
        assert!(harmless(&log), "{log}");
        assert!(
            log.contains("user_agent=\"a\\nb\\r\\u{1b}[31m\\u{2028}"),
            "{log}"
        );
        assert!(log.contains(" WARN "), "{log}");
    }

    #[test]
    fn requests_and_levels_are_chosen_apart() {
        let count = |requests, level| {
            written(LogFormat::Json, requests, level, || {
                request(&line("hit", ""));
                request(&line("stale", ""));
                tracing::info!(target: "hyper", "noise");
                tracing::info!("ours");
            })
            .lines()
            .count()
        };
        assert_eq!(count(LoggedRequests::All, Level::ERROR), 2);
        assert_eq!(count(LoggedRequests::Misses, Level::ERROR), 1);
        assert_eq!(count(LoggedRequests::None, Level::ERROR), 0);
        assert_eq!(count(LoggedRequests::None, Level::DEBUG), 1);
        assert_eq!(count(LoggedRequests::None, Level::TRACE), 2);
    }

    #[test]
    fn what_is_heard_changes_while_it_runs() {
        let log = logged(
            LogFormat::Json,
            LoggedRequests::All,
            Level::WARN,
            |filter| {
                let set = |level, requests| {
                    let format = LogFormat::Auto;
                    filter.set(&Settings {
                        format,
                        level,
                        requests,
                    });
                };
                for (level, requests) in [
                    (Level::WARN, LoggedRequests::All),
                    (Level::DEBUG, LoggedRequests::None),
                    (Level::WARN, LoggedRequests::None),
                ] {
                    set(level, requests);
                    tracing::debug!("a word");
                    request(&line("miss", ""));
                }
            },
        );
        assert_eq!(log.matches("a word").count(), 1, "{log}");
        assert_eq!(log.matches(REQUEST).count(), 1, "{log}");
    }

    #[test]
    fn long_user_agents_are_cut_between_characters() {
        assert_eq!(capped("äöü", 2), "äö");
        assert_eq!(capped("äö", 2), "äö");
    }
}
