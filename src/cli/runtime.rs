//! The runtime of asynchronous commands.

use super::{exit::Exit, output::eprint_error};

/// Most threads for blocking work on the disk. More would not be faster, but each has a stack.
const DISK_THREADS_MAX: usize = 64;

/// Starts a runtime.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Exit> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(DISK_THREADS_MAX)
        .build()
        .map_err(|error| {
            eprint_error(format_args!("cannot start threads: {error}"));
            Exit::Failed
        })
}
