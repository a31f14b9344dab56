//! The runtime of commands that wait.

use super::{exit::Exit, output::eprint_error};

/// Most threads that wait for the disk. More would not make a disk faster, but each has a stack.
const DISK_THREADS_MAX: usize = 64;

/// A runtime for commands that wait.
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
