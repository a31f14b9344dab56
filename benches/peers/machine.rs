//! Where and with what it was measured.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use crate::servers::Programs;

/// A program's own words about its version: which program, how it is asked, and what tells the line.
type Asked<'a> = (&'static str, Option<&'a Path>, &'static [&'static str]);

/// The full path of a program, if it is installed where Debian keeps them.
pub(crate) fn installed(program: &str) -> Option<PathBuf> {
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|file| file.is_file())
}

/// Processors, memory and kernel, and the time.
pub(crate) fn describe() -> io::Result<Vec<String>> {
    let cores = thread::available_parallelism()?;
    let processors = fs::read_to_string("/proc/cpuinfo")?;
    let memory = fs::read_to_string("/proc/meminfo")?;
    let of = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key));
        line.and_then(|line| line.split_once(':'))
            .map_or_else(String::new, |(_, value)| value.trim().to_owned())
    };
    Ok(vec![
        format!(
            "{} on {cores} cores, {}",
            of(&processors, "model name"),
            of(&memory, "MemTotal")
        ),
        format!(
            "Linux {}",
            fs::read_to_string("/proc/sys/kernel/osrelease")?.trim()
        ),
        format!("{:.0}", jiff::Timestamp::now()),
    ])
}

/// A line for each program: its version, or that it is missing.
pub(crate) fn versions(programs: &Programs) -> Vec<String> {
    let asked: [Asked<'_>; 7] = [
        ("nginx", Some(&programs.nginx), &["-v"]),
        ("Roadstead", Some(&programs.roadstead), &["--version"]),
        (
            "docker-registry",
            programs.registry.as_deref(),
            &["--version"],
        ),
        ("zot", programs.zot.as_deref(), &["--version"]),
        ("angos", programs.angos.as_deref(), &["--version"]),
        ("wrk", programs.wrk.as_deref(), &["--version"]),
        ("h2load", programs.h2load.as_deref(), &["--version"]),
    ];
    asked
        .into_iter()
        .map(|(name, program, arguments)| match program {
            Some(program) => format!("{name}: {}", first_line(program, arguments)),
            None => format!("{name}: not installed, or not built"),
        })
        .collect()
}

fn first_line(program: &Path, arguments: &[&str]) -> String {
    match Command::new(program).args(arguments).output() {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text);
            text.lines()
                .find(|line| !line.is_empty())
                .unwrap_or("silent")
                .to_owned()
        }
        Err(error) => error.to_string(),
    }
}
