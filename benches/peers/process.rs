//! Programs that end with the bench: each in a process group of its own, killed by its id.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::Fallible;

/// The groups that run now; none may start once this is `None`.
static RUNNING: Mutex<Option<Vec<Pid>>> = Mutex::new(Some(Vec::new()));

const TAIL_LINES: usize = 10;

/// A running program whose output goes to a file in its folder.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    pub(crate) fn start(command: &mut Command, folder: &Path) -> Fallible<Self> {
        let log = folder.join("log");
        let out = File::create(&log)?;
        let mut running = RUNNING.lock();
        let groups = running.as_mut().ok_or("interrupted")?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .process_group(0)
            .spawn()
            .map_err(|error| {
                format!(
                    "{} does not start: {error}",
                    command.get_program().display()
                )
            })?;
        groups.push(Pid::from_child(&child));
        Ok(Self { child, log })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn has_ended(&mut self) -> Fallible<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// What it printed last.
    pub(crate) fn tail(&self) -> Fallible<String> {
        let text = String::from_utf8_lossy(&fs::read(&self.log)?).into_owned();
        let mut lines: Vec<&str> = text.lines().rev().take(TAIL_LINES).collect();
        lines.reverse();
        Ok(lines.join("\n"))
    }

    /// Waits for the program's own end and gives what it printed, if it succeeded.
    pub(crate) fn finish(mut self) -> Fallible<Vec<u8>> {
        if self.child.wait()?.success() {
            Ok(fs::read(&self.log)?)
        } else {
            Err(self.tail()?.into())
        }
    }
}

impl Drop for Process {
    /// Nothing that these programs write is kept, so none is asked to leave in order.
    fn drop(&mut self) {
        let group = Pid::from_child(&self.child);
        let mut running = RUNNING.lock();
        if let Some(groups) = running.as_mut() {
            groups.retain(|other| *other != group);
        }
        // Of one that ended the number may be another's by now.
        if matches!(self.child.try_wait(), Ok(None)) {
            kill_process_group(group, Signal::KILL).ok();
            drop(self.child.wait());
        }
    }
}

/// Kills all that run, and lets nothing start any more.
pub(crate) fn stop_all() {
    let groups = RUNNING.lock().take();
    for group in groups.into_iter().flatten() {
        kill_process_group(group, Signal::KILL).ok();
    }
}
