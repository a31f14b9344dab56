//! The command line: one file a command.
//!
//! Promises: errors go to stderr and say what, where and what to do; the exit status says which
//! kind. Called by `main`. Never does a room's work itself.

mod check;
mod demo;
mod explain;
mod import;
mod load;
mod render;
mod serve;
mod store_view;

use std::{
    ffi::OsString,
    fmt::Display,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand, error::ErrorKind};

use self::load::ConfigLoader;
use crate::{
    app::LoadError,
    config::{ConfigProblems, Environment, Loaded, Overrides},
    platform::printable,
    secret::Secret,
};

/// How a command ended, as its exit status (the numbers are those of `sysexits.h` where it has one).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Success = 0,
    Failed = 1,
    /// It ran, but something is missing or wrong elsewhere.
    Incomplete = 3,
    Usage = 64,
    BadInput = 65,
    BadConfiguration = 78,
}

/// One mirror endpoint for every container registry: routes by name, pulls once, keeps by digest.
#[derive(Debug, Parser)]
#[command(name = "roadstead", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

// The usage is written out, because whoever forgot an option's name reads it in the complaint.
#[derive(Debug, Subcommand)]
enum Command {
    /// Run the mirror.
    #[command(override_usage = "roadstead serve [--config FILE] [--listen ADDR] [--store DIR]")]
    Serve(serve::Arguments),
    /// See it work: a registry, a mirror and three pulls, with no network needed.
    Demo(demo::Arguments),
    /// Say what is wrong with a configuration, all at once.
    #[command(override_usage = "roadstead check [--config FILE] [--online] [--json]")]
    Check(check::Arguments),
    /// Say where an image would be pulled from, and what is kept of it.
    #[command(
        override_usage = "roadstead explain [--config FILE] [--request] [--json] REFERENCE..."
    )]
    Explain(explain::Arguments),
    /// Print other programs' registry settings as a configuration of ours.
    #[command(
        override_usage = "roadstead import auto|FORMAT FILE... [--secrets-dir DIR] [--fallback WHETHER]",
        after_help = IMPORT_HELP
    )]
    Import(import::Arguments),
    /// Print the configuration that points a node or a platform at the mirror.
    #[command(
        override_usage = "roadstead render FORMAT [--mirror URL] [--config FILE] [--output DIR]",
        after_help = RENDER_HELP
    )]
    Render(render::Arguments),
}

const IMPORT_HELP: &str = "\
Prints TOML that `roadstead serve --config` takes as it is. What is to be said about the files comes \
on stderr, as FILE:LINE:COLUMN: CODE: message; after an error nothing is printed (exit status 65).

  roadstead import k3s /etc/rancher/k3s/registries.yaml > roadstead.toml
  roadstead import auto manifests/ --secrets-dir /etc/roadstead/secrets > roadstead.toml
  kubectl get configmap,secret -o yaml | roadstead import auto -";

const RENDER_HELP: &str = "\
A single file is printed as it is; several each below a line `# file: PATH`.

  roadstead render k3s --mirror http://127.0.0.1:5000 > /etc/rancher/k3s/registries.yaml
  roadstead render hosts-toml --config roadstead.toml --output /etc/containerd/certs.d";

/// Where the configuration comes from.
#[derive(Args, Debug)]
struct ConfigArguments {
    /// The configuration file; without it the built-in defaults hold.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Parses the arguments and runs the command.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let exit = match Cli::try_parse_from(arguments) {
        Ok(Cli { command }) => match command {
            Command::Serve(arguments) => serve::run(&arguments),
            Command::Demo(arguments) => demo::run(&arguments),
            Command::Check(arguments) => check::run(&arguments),
            Command::Explain(arguments) => explain::run(&arguments),
            Command::Import(arguments) => import::run(&arguments),
            Command::Render(arguments) => render::run(&arguments),
        },
        Err(error) => {
            let asked = matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            );
            let printed = error.print();
            if asked && printed.is_ok() {
                Exit::Success
            } else {
                Exit::Usage
            }
        }
    };
    ExitCode::from(match exit {
        Exit::Success => 0,
        Exit::Failed => 1,
        Exit::Incomplete => 3,
        Exit::Usage => 64,
        Exit::BadInput => 65,
        Exit::BadConfiguration => 78,
    })
}

impl ConfigArguments {
    /// Reads and checks the configuration; what is wrong with it has been printed on failure.
    fn load(&self, overrides: &Overrides) -> Result<Loaded, Exit> {
        self.read(overrides).map_err(|problems| {
            eprint_error(problems);
            Exit::BadConfiguration
        })?
    }

    /// As [`Self::load`], but hands the problems back.
    fn read(&self, overrides: &Overrides) -> Result<Result<Loaded, Exit>, ConfigProblems> {
        match ConfigLoader::new(self.config.as_ref(), overrides)
            .read(None)
            .loaded
        {
            Ok(loaded) => Ok(Ok(loaded)),
            Err(LoadError::Problems(problems)) => Err(problems),
            Err(unfit) => {
                eprint_error(unfit);
                Ok(Err(Exit::BadConfiguration))
            }
        }
    }
}

/// The variables that every program which speaks HTTP obeys; `proxy = "env"` means these.
fn environment() -> Environment {
    #[expect(
        clippy::disallowed_methods,
        reason = "proxies are named there by convention"
    )]
    let variable = |name: &str| {
        let found = [name.to_owned(), name.to_uppercase()].into_iter();
        let mut found = found.filter_map(|name| std::env::var(name).ok());
        found.find(|value| !value.is_empty())
    };
    Environment {
        http_proxy: variable("http_proxy").map(Secret::new),
        https_proxy: variable("https_proxy").map(Secret::new),
        no_proxy: variable("no_proxy"),
    }
}

/// Most threads that wait for the disk. More would not make a disk faster, but each has a stack.
const DISK_THREADS_MAX: usize = 64;

/// A runtime for commands that wait.
fn runtime() -> Result<tokio::runtime::Runtime, Exit> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(DISK_THREADS_MAX)
        .build()
        .map_err(|error| {
            eprint_error(format_args!("cannot start threads: {error}"));
            Exit::Failed
        })
}

/// Prints a line on stdout. A closed pipe is the reader's choice, not our failure.
fn print_line(line: impl Display) {
    let line = printable_lines(line);
    let _closed = writeln!(io::stdout().lock(), "{line}").is_err();
}

/// Prints a whole text on stdout.
fn print_text(text: &str) {
    let mut out = io::stdout().lock();
    let _closed = out
        .write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .is_err();
}

/// Prints a line on stderr, whatever names of files in it hold.
fn eprint_line(line: impl Display) {
    let line = printable(&line.to_string());
    let _closed = writeln!(io::stderr().lock(), "{line}").is_err();
}

/// Prints an error on stderr.
fn eprint_error(error: impl Display) {
    let error = printable_lines(error);
    let _closed = writeln!(io::stderr().lock(), "roadstead: {error}").is_err();
}

/// As [`printable`], of several lines.
fn printable_lines(text: impl Display) -> String {
    let text = text.to_string();
    let lines: Vec<_> = text.split('\n').map(printable).collect();
    lines.join("\n")
}
