//! One entry as one line.

use std::{fmt, fmt::Write as _};

use jiff::Timestamp;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use super::escape::{Json, Sentence, Text};

/// How entries look. Spans are not shown: an entry says all it has to say itself.
#[derive(Clone, Copy)]
pub(super) enum Entry {
    Json,
    Text,
}

/// Collects an event's fields, escaped, in the order they were written.
struct Fields {
    entry: Entry,
    message: String,
    others: String,
}

impl<S, N> FormatEvent<S, N> for Entry
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
        let mut fields = Fields {
            entry: *self,
            message: String::new(),
            others: String::new(),
        };
        event.record(&mut fields);
        let Fields {
            message, others, ..
        } = fields;
        let now = Timestamp::now();
        let (level, target) = (event.metadata().level(), event.metadata().target());
        match self {
            Self::Json => {
                write!(writer, r#"{{"time":"{now:.6}","level":"{level}","target":"#)?;
                write!(writer, "{}", Json(target))?;
                if !message.is_empty() {
                    write!(writer, r#","message":{}"#, Json(&message))?;
                }
                writeln!(writer, "{others}}}")
            }
            Self::Text => {
                write!(writer, "{now:.3} {level:>5} ")?;
                if message.is_empty() {
                    write!(writer, "{target}")?;
                } else {
                    write!(writer, "{}", Sentence(&message))?;
                }
                writeln!(writer, "{others}")
            }
        }
    }
}

impl Fields {
    /// Adds a number or a truth, which needs no quotes.
    fn bare(&mut self, field: &Field, value: impl fmt::Display) {
        let name = field.name();
        // Writing to a string cannot fail.
        let _written = match self.entry {
            Entry::Json => write!(self.others, r#","{name}":{value}"#),
            Entry::Text => write!(self.others, " {name}={value}"),
        }
        .is_ok();
    }

    fn text(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
            return;
        }
        match self.entry {
            Entry::Json => self.bare(field, Json(value)),
            Entry::Text => self.bare(field, Text(value)),
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, &format!("{value:?}"));
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
            // JSON knows no such number.
            self.text(field, &value.to_string());
        }
    }
}
