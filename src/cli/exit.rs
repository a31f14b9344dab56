//! How a command ended.

use std::process::ExitCode;

/// How a command ended; its numbers are those of `sysexits.h` where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Success,
    Failed,
    /// The command ran and found a problem elsewhere.
    Incomplete,
    Usage,
    BadInput,
    BadConfiguration,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0,
            Exit::Failed => 1,
            Exit::Incomplete => 3,
            Exit::Usage => 64,
            Exit::BadInput => 65,
            Exit::BadConfiguration => 78,
        })
    }
}
