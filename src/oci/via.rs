//! The mirrors that a request has passed, so that mirrors that point at each other notice it.

use std::{fmt, sync::Arc};

use thiserror::Error;

/// Most Roadstead mirrors before us; no sensible chain is longer.
const MIRRORS_MAX: usize = 8;

/// Precedes an instance's number, and tells our entries from others'.
const PREFIX: &str = "roadstead-";
/// The number of hexadecimal digits of an instance's number.
const DIGITS: usize = 16;

/// A Roadstead process, identified by a random number drawn at its start.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Instance(u64);

/// The Roadstead mirrors that a request has passed, in order, as `Via` tells the next one (RFC
/// 9110, 7.6.3). Other proxies in the header are ignored and not passed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Via(Arc<[Instance]>);

/// The request has passed this process before, or too many mirrors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("forwarding loop: mirrors point at each other, or one at itself")]
pub struct ForwardingLoop;

impl Instance {
    /// The process with this number.
    pub fn new(number: u64) -> Self {
        Self(number)
    }

    /// The process of an entry `PROTOCOL RECEIVED-BY [COMMENT]`, if it is a Roadstead.
    fn of(entry: &[u8]) -> Option<Self> {
        let entry = str::from_utf8(entry).ok()?;
        let received_by = entry.split_ascii_whitespace().nth(1)?;
        let digits = received_by.strip_prefix(PREFIX)?;
        let is_number = digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let number = is_number.then(|| u64::from_str_radix(digits, 16));
        number?.ok().map(Self)
    }
}

impl Via {
    /// The chain of a request without earlier hops: this process alone.
    pub fn own(instance: Instance) -> Self {
        Self(Arc::new([instance]))
    }

    /// The chain to send upstream for a request that came with these values of `Via`; `self` is our
    /// own entry and comes last.
    ///
    /// # Errors
    /// [`ForwardingLoop`], if our own entry is among them, or if they are more than eight.
    pub fn behind<'a>(
        &self,
        values: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Self, ForwardingLoop> {
        let entries = values.flat_map(|value| value.split(|byte| *byte == b','));
        let before = entries.filter_map(Instance::of).take(MIRRORS_MAX + 1);
        let mut all: Vec<_> = before.collect();
        if all.is_empty() {
            return Ok(self.clone());
        }
        if all.len() > MIRRORS_MAX || all.iter().any(|instance| self.0.contains(instance)) {
            return Err(ForwardingLoop);
        }
        all.extend_from_slice(&self.0);
        Ok(Self(all.into()))
    }

    /// Whether the chain is empty, so that no header is sent.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{PREFIX}{:0DIGITS$x}", self.0)
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The header's value. The protocol is always 1.1: coalesced clients may have used several.
impl fmt::Display for Via {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, instance) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(formatter, "{comma}1.1 {instance}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(values: &[&str]) -> Result<String, ForwardingLoop> {
        let own = Via::own(Instance::new(0xa));
        let values = values.iter().map(|value| value.as_bytes());
        own.behind(values).map(|via| via.to_string())
    }

    #[test]
    fn those_of_our_kind_are_passed_on_and_others_forgotten() {
        let own = "1.1 roadstead-000000000000000a";
        let other = "1.1 roadstead-00000000000000ff";
        let third = "1.1 roadstead-0123456789abcdef";
        let after_other = format!("{other}, {own}");
        for (values, want) in [
            (vec![], own),
            (vec![""], own),
            (vec![",, ,"], own),
            (vec![other], &after_other),
            (vec!["2 roadstead-00000000000000FF"], &after_other),
            (
                vec!["HTTP/1.1\troadstead-00000000000000ff  (a b)"],
                &after_other,
            ),
            (vec!["1.0 fred, 1.1 p.example:80 (Apache/1.1)"], own),
            (vec!["1.0 fred", &format!("1.1 x ,{other}")], &after_other),
            (vec![other, third], &format!("{other}, {third}, {own}")),
            (
                vec!["1.1 \u{fc} (\u{fc}),1.1 roadstead-00000000000000ff"],
                &after_other,
            ),
            // Similar to our entries only.
            (vec!["roadstead-00000000000000ff"], own),
            (vec!["1.1 roadstead-ff"], own),
            (vec!["1.1 roadstead-000000000000000ff"], own),
            (vec!["1.1 roadstead-+0000000000000ff"], own),
            (vec!["1.1 roadstead-00000000000000fg"], own),
            (vec!["1.1 xroadstead-00000000000000ff"], own),
            (vec!["1.1 roadstead-00000000000000ff:80"], own),
        ] {
            assert_eq!(behind(&values).as_deref(), Ok(want), "{values:?}");
        }
        let torn = [b"1.1 \xff, 1.1 roadstead-00000000000000ff".as_slice()];
        let via = Via::own(Instance::new(0xa)).behind(torn.into_iter());
        assert_eq!(via.map(|via| via.to_string()), Ok(after_other));
    }

    #[test]
    fn circles_and_endless_chains_are_seen() {
        let own = "1.1 roadstead-000000000000000a";
        let others = |count: usize| {
            let one = |number| format!("1.1 roadstead-{number:016x}");
            (0x100..0x100 + count)
                .map(one)
                .collect::<Vec<_>>()
                .join(",")
        };
        for values in [
            vec![own],
            vec!["2 roadstead-000000000000000A (by another name)"],
            vec![
                "1.0 fred",
                &format!("1.1 roadstead-00000000000000ff, {own}"),
            ],
            vec![own, &others(2)],
            vec![&others(9)],
            vec![&others(5), &others(4)],
            vec![&others(1000)],
        ] {
            assert_eq!(behind(&values), Err(ForwardingLoop), "{values:?}");
        }
        assert!(behind(&[&others(8)]).is_ok());
        assert!(Via::default().is_empty() && !Via::own(Instance::new(0)).is_empty());
    }
}
