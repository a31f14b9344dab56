//! Helpers for values in Palette's files.

use crate::platform::{formats::imageswap::map::LocatedText, reading::node::Scalar};

/// Host and path.
pub(super) fn split_host(target: &str) -> (&str, &str) {
    target.split_once('/').unwrap_or((target, ""))
}

pub(super) fn located(scalar: &Scalar) -> LocatedText {
    LocatedText {
        text: scalar.text.clone(),
        location: scalar.start.clone(),
    }
}
