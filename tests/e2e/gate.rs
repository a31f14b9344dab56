//! Decides whether this machine can play a scene, and says why where it cannot.

use std::{
    io::{self, Write},
    path::PathBuf,
};

/// Programs a scene starts that work for root only.
const ROOT_ONLY: [&str; 3] = ["containerd", "dockerd", "podman"];

/// True when every program of the scene is here; otherwise prints the reason.
pub(crate) fn can_play(scene: &str, programs: &[&str]) -> bool {
    let required = std::env::var_os("ROADSTEAD_E2E").is_some_and(|value| value == "required");
    let unasked = || consent(programs).filter(|_| !required);
    let Some(reason) = obstacle(programs).or_else(unasked) else {
        return true;
    };
    assert!(!required, "{scene} cannot be played: {reason}");
    say_skipped(scene, &reason);
    false
}

/// Not by `eprintln!`, which the test runner keeps to itself when a test passes.
pub(crate) fn say_skipped(scene: &str, reason: &str) {
    let mut stderr = io::stderr();
    writeln!(stderr, "skipped {scene}: {reason}").unwrap();
}

/// Where a program lies; daemons live in folders that a user's PATH may lack.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

/// A plain `cargo test` starts no container daemons on anybody's machine, not even for root.
fn consent(programs: &[&str]) -> Option<String> {
    let daemon = programs.iter().find(|name| ROOT_ONLY.contains(name))?;
    Some(format!(
        "{daemon} is started with ROADSTEAD_E2E=required only"
    ))
}

fn obstacle(programs: &[&str]) -> Option<String> {
    if let Some(missing) = programs.iter().find(|name| program(name).is_none()) {
        return Some(format!("{missing} is not installed"));
    }
    let privileged = programs.iter().find(|name| ROOT_ONLY.contains(name))?;
    (!rustix::process::geteuid().is_root()).then(|| format!("{privileged} needs root"))
}
