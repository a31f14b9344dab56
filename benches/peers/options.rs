//! What may be written after `--`.

use std::{env, net::SocketAddr, path::PathBuf};

use clap::{Parser, ValueEnum};

/// Measures Roadstead beside nginx, docker-registry and others on this machine.
#[derive(Parser)]
#[command(name = "peers")]
pub(crate) struct Options {
    /// How often everything is measured.
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// How long each measure of a rate takes.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
    /// Only this subject; may be given several times.
    #[arg(long, value_enum)]
    pub(crate) only: Vec<Subject>,
    /// Write the Markdown there; the standard output has only whether the aims were reached.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Another Roadstead than the one that Cargo built for the bench.
    #[arg(long, value_name = "PROGRAM", default_value = env!("CARGO_BIN_EXE_roadstead"))]
    pub(crate) roadstead: PathBuf,
    /// Where zot is, if it is not installed.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) zot: Option<PathBuf>,
    /// Where angos is, if it is not installed.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) angos: Option<PathBuf>,
    /// Where the temporary folder is made; a disk, if the cold figures are to mean something.
    #[arg(long, value_name = "DIR", default_value_os_t = env::temp_dir())]
    pub(crate) folder: PathBuf,
    /// Be the bare source of the files in the folder.
    #[arg(long, hide = true)]
    pub(crate) source: Option<SocketAddr>,
    /// What Cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub(crate) enum Subject {
    /// Blobs of 300 MB and 5 MB over plain HTTP/1.1.
    Large,
    /// A blob and a manifest of 1.2 KB.
    Small,
    /// A blob that is not cached yet.
    Cold,
    /// TLS over HTTP/1.1 and HTTP/2.
    Tls,
}

impl Options {
    pub(crate) fn wants(&self, subject: Subject) -> bool {
        self.only.is_empty() || self.only.contains(&subject)
    }
}
