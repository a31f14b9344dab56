//! Formats one entry as one line.

use std::{cell::RefCell, fmt, fmt::Write as _};

use jiff::Timestamp;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use super::escape::{EscapedJson, EscapedSentence, EscapedText};

/// The field that is written first, whatever its position.
const MESSAGE: &str = "message";

/// Room for most values; an address with its port never needs more.
const SHORT_BYTES: usize = 64;

/// The format of entries. Spans are not shown: an entry is complete by itself.
#[derive(Clone, Copy)]
pub(super) enum EntryFormat {
    Json,
    Text,
}

/// Finds an event's message.
#[derive(Default)]
struct MessageVisitor(String);

/// Writes an event's other fields, escaped and in order.
struct FieldVisitor<'a, 'w> {
    entry: EntryFormat,
    writer: &'a mut Writer<'w>,
    outcome: fmt::Result,
}

thread_local! {
    /// The second of this thread's last entry, and its text.
    static SECOND: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
}

impl<S, N> FormatEvent<S, N> for EntryFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut message = MessageVisitor::default();
        if event.metadata().fields().field(MESSAGE).is_some() {
            event.record(&mut message);
        }
        let MessageVisitor(message) = message;
        let now = Timestamp::now();
        let (level, target) = (event.metadata().level(), event.metadata().target());
        match self {
            Self::Json => {
                writer.write_str(r#"{"time":""#)?;
                write_seconds(now, &mut writer)?;
                let micros = now.subsec_microsecond();
                write!(writer, r#".{micros:06}Z","level":"{level}","target":"#)?;
                write!(writer, "{}", EscapedJson(target))?;
                if !message.is_empty() {
                    write!(writer, r#","message":{}"#, EscapedJson(&message))?;
                }
            }
            Self::Text => {
                write_seconds(now, &mut writer)?;
                let millis = now.subsec_millisecond();
                write!(writer, ".{millis:03}Z {level:>5} ")?;
                if message.is_empty() {
                    write!(writer, "{target}")?;
                } else {
                    write!(writer, "{}", EscapedSentence(&message))?;
                }
            }
        }
        let mut fields = FieldVisitor {
            entry: *self,
            writer: &mut writer,
            outcome: Ok(()),
        };
        event.record(&mut fields);
        fields.outcome?;
        writer.write_str(match self {
            Self::Json => "}\n",
            Self::Text => "\n",
        })
    }
}

/// Writes date and time to the second; formats them once per second only.
fn write_seconds(now: Timestamp, writer: &mut Writer<'_>) -> fmt::Result {
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != now.as_second() {
            *second = now.as_second();
            text.clear();
            write!(text, "{now:.0}")?;
            text.pop();
        }
        writer.write_str(text)
    })
}

impl Visit for MessageVisitor {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == MESSAGE {
            self.0.push_str(value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == MESSAGE {
            // Writing to a string cannot fail.
            let _written = write!(self.0, "{value:?}").is_ok();
        }
    }
}

impl FieldVisitor<'_, '_> {
    /// Adds a value that needs no quotes.
    fn bare(&mut self, field: &Field, value: impl fmt::Display) {
        if self.outcome.is_err() {
            return;
        }
        let name = field.name();
        self.outcome = match self.entry {
            EntryFormat::Json => write!(self.writer, r#","{name}":{value}"#),
            EntryFormat::Text => write!(self.writer, " {name}={value}"),
        };
    }

    fn text(&mut self, field: &Field, value: &str) {
        if field.name() == MESSAGE || self.outcome.is_err() {
            return;
        }
        match self.entry {
            EntryFormat::Json => self.outcome = self.quoted(field.name(), value),
            EntryFormat::Text => self.bare(field, EscapedText(value)),
        }
    }

    fn quoted(&mut self, name: &str, value: &str) -> fmt::Result {
        self.writer.write_str(",\"")?;
        self.writer.write_str(name)?;
        self.writer.write_str("\":")?;
        EscapedJson(value).write_to(self.writer)
    }
}

impl Visit for FieldVisitor<'_, '_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() != MESSAGE {
            let mut text = String::with_capacity(SHORT_BYTES);
            // Writing to a string cannot fail.
            let _written = write!(text, "{value:?}").is_ok();
            self.text(field, &text);
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.bare(field, value);
        } else {
            // JSON has no such number.
            self.text(field, &value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_what_it_is_however_often_it_is_written() {
        for (second, nanosecond) in [
            (0, 0),
            (0, 999_999_999),
            (1, 5),
            (1_790_000_000, 120_000_000),
        ] {
            let now = Timestamp::new(second, nanosecond).unwrap();
            let mut text = String::new();
            write_seconds(now, &mut Writer::new(&mut text)).unwrap();
            assert_eq!(
                format!("{text}Z"),
                now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
            );
        }
    }
}
