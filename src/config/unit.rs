//! Sizes and durations: a whole number and its unit.

use std::{ops::RangeInclusive, time::Duration};

use super::problem::ValueError;

const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

const DURATIONS_MS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads a size in bytes: `10GiB`, or decimal `10GB`.
pub(super) fn size(text: &str, bounds: &RangeInclusive<u64>) -> Result<u64, ValueError> {
    let Some(bytes) = measure(text, &SIZES) else {
        let (number, unit) = split(text);
        let error = ValueError::new(
            "not a size: expected a whole number and one of B, KB, KiB, MB, MiB, GB, GiB, TB, TiB",
        );
        let guess =
            |large: &str| format!("did you mean \"{number}{large}B\" or \"{number}{large}iB\"?");
        let hint = match unit.to_ascii_uppercase().as_str() {
            _ if number.is_empty() => return Err(error),
            "K" | "KB" | "KIB" => guess("K"),
            "M" | "MB" | "MIB" => guess("M"),
            "" | "G" | "GB" | "GIB" => guess("G"),
            "T" | "TB" | "TIB" => guess("T"),
            _ => return Err(error),
        };
        return Err(error.hint(hint));
    };
    if bounds.contains(&bytes) {
        return Ok(bytes);
    }
    let (from, to) = (show(*bounds.start(), &SIZES), show(*bounds.end(), &SIZES));
    Err(ValueError::new(format!(
        "it must be between {from} and {to}"
    )))
}

/// Reads a duration: `250ms`, `5s`, `2m`, `1h`, `30d`.
pub(super) fn duration(
    text: &str,
    bounds_ms: &RangeInclusive<u64>,
) -> Result<Duration, ValueError> {
    let Some(milliseconds) = measure(text, &DURATIONS_MS) else {
        let (number, unit) = split(text);
        let error =
            ValueError::new("not a duration: expected a whole number and one of ms, s, m, h, d");
        let unit = match unit.to_ascii_lowercase().as_str() {
            _ if number.is_empty() => return Err(error),
            "" | "s" | "sec" | "secs" | "second" | "seconds" => "s",
            "ms" | "msec" | "millis" => "ms",
            "m" | "min" | "mins" | "minute" | "minutes" => "m",
            "h" | "hr" | "hour" | "hours" => "h",
            "d" | "day" | "days" => "d",
            _ => return Err(error),
        };
        return Err(error.hint(format!("did you mean \"{number}{unit}\"?")));
    };
    if bounds_ms.contains(&milliseconds) {
        return Ok(Duration::from_millis(milliseconds));
    }
    let (start, end) = (*bounds_ms.start(), *bounds_ms.end());
    let (from, to) = (show(start, &DURATIONS_MS), show(end, &DURATIONS_MS));
    Err(ValueError::new(format!(
        "it must be between {from} and {to}"
    )))
}

/// The number times its unit. Saturates, so that the bounds refuse what does not fit the type.
fn measure(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let start = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(start)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    if number.is_empty() {
        return None;
    }
    let number = number.parse::<u64>().unwrap_or(u64::MAX);
    Some(number.saturating_mul(*factor))
}

/// The leading digits and the rest without blanks, for a suggestion; no digits where that would be
/// wrong (`-5s`, `1.5GiB`, numbers that do not fit).
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end).unwrap_or((text, ""));
    if number.parse::<u64>().is_ok_and(|number| number > 0) {
        (number, unit.trim())
    } else {
        ("", unit)
    }
}

/// The shortest form of a measure.
fn show(measure: u64, units: &[(&str, u64)]) -> String {
    let fits = |(_, factor): &&(&str, u64)| measure >= *factor && measure.is_multiple_of(*factor);
    match units.iter().find(fits) {
        Some((unit, factor)) => format!("{}{unit}", measure / factor),
        None => "0".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes() {
        let any = 0..=u64::MAX;
        for (text, bytes) in [
            ("0B", 0),
            ("10GiB", 10 << 30),
            ("10GB", 10_000_000_000),
            ("64KiB", 65_536),
            ("3TB", 3_000_000_000_000),
            ("99999999999999999999TiB", u64::MAX),
        ] {
            assert_eq!(size(text, &any).unwrap(), bytes, "{text}");
        }
    }

    #[test]
    fn guesses_what_a_size_meant() {
        let any = 0..=u64::MAX;
        for (text, hint) in [
            ("10G", Some("did you mean \"10GB\" or \"10GiB\"?")),
            ("10", Some("did you mean \"10GB\" or \"10GiB\"?")),
            ("5 mb", Some("did you mean \"5MB\" or \"5MiB\"?")),
            ("10gib", Some("did you mean \"10GB\" or \"10GiB\"?")),
            ("10XB", None),
            ("-1GiB", None),
            ("1.5GiB", None),
            ("GiB", None),
            ("", None),
            ("inf", None),
        ] {
            let error = size(text, &any).unwrap_err();
            assert_eq!(error.hint.as_deref(), hint, "{text}");
            assert!(error.reason.starts_with("not a size"), "{text}");
        }
    }

    #[test]
    fn reads_durations() {
        let any = 0..=u64::MAX;
        for (text, milliseconds) in [
            ("0s", 0),
            ("250ms", 250),
            ("5s", 5_000),
            ("2m", 120_000),
            ("30d", 2_592_000_000),
        ] {
            let read = duration(text, &any).unwrap();
            assert_eq!(read, Duration::from_millis(milliseconds), "{text}");
        }
    }

    #[test]
    fn guesses_what_a_duration_meant() {
        let any = 0..=u64::MAX;
        for (text, hint) in [
            ("5", Some("did you mean \"5s\"?")),
            ("5 sec", Some("did you mean \"5s\"?")),
            ("2min", Some("did you mean \"2m\"?")),
            ("-5s", None),
            ("1e9s", None),
            ("NaN", None),
            ("5w", None),
        ] {
            let error = duration(text, &any).unwrap_err();
            assert_eq!(error.hint.as_deref(), hint, "{text}");
        }
    }

    #[test]
    fn names_the_bounds() {
        let reason = size("0B", &(1 << 20..=1 << 50)).unwrap_err().reason;
        assert_eq!(reason, "it must be between 1MiB and 1024TiB");
        let reason = duration("99999999999999999999d", &(10..=3_600_000))
            .unwrap_err()
            .reason;
        assert_eq!(reason, "it must be between 10ms and 1h");
    }
}
