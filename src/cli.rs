//! The command line: one file per command.
//!
//! Promises: errors go to stderr, with cause, location and remedy; the exit status tells their kind.
//! Called by `main`. Never does a room's work itself.

mod check;
mod demo;
mod exit;
mod explain;
mod import;
mod load;
mod output;
mod render;
mod runtime;
mod serve;
mod store_view;

use std::{ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand, error::ErrorKind};

use self::exit::Exit;

/// One mirror endpoint for every container registry: routes by name, pulls once, stores by digest.
#[derive(Debug, Parser)]
#[command(name = "roadstead", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

// The usage is written out, because clap repeats it in errors about options.
#[derive(Debug, Subcommand)]
enum Command {
    /// Run the mirror.
    #[command(override_usage = "roadstead serve [--config FILE] [--listen ADDR] [--store DIR]")]
    Serve(serve::Arguments),
    /// Try it: a registry, a mirror and three pulls, without a network.
    Demo(demo::Arguments),
    /// Report all errors of a configuration at once.
    #[command(override_usage = "roadstead check [--config FILE] [--online] [--json]")]
    Check(check::Arguments),
    /// Show where an image would be pulled from, and what is stored of it.
    #[command(
        override_usage = "roadstead explain [--config FILE] [--request] [--json] REFERENCE..."
    )]
    Explain(explain::Arguments),
    /// Convert other programs' registry settings into a Roadstead configuration.
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
Prints TOML for `roadstead serve --config`. Errors, warnings and notes go to stderr, as \
FILE:LINE:COLUMN: CODE: message; after an error nothing is printed (exit status 65).

  roadstead import k3s /etc/rancher/k3s/registries.yaml > roadstead.toml
  roadstead import auto manifests/ --secrets-dir /etc/roadstead/secrets > roadstead.toml
  kubectl get configmap,secret -o yaml | roadstead import auto -";

const RENDER_HELP: &str = "\
A single file is printed as it is; of several files, each follows a line `# file: PATH`.

  roadstead render k3s --mirror http://127.0.0.1:5000 > /etc/rancher/k3s/registries.yaml
  roadstead render hosts-toml --config roadstead.toml --output /etc/containerd/certs.d";

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
            let is_requested = matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            );
            let printed = error.print();
            if is_requested && printed.is_ok() {
                Exit::Success
            } else {
                Exit::Usage
            }
        }
    };
    exit.into()
}
