//! `roadstead serve`: runs the mirror.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;

use super::{
    exit::Exit,
    load::{ConfigArguments, ConfigLoader},
    output::eprint_error,
    runtime::runtime,
};
use crate::{
    app::{self, ConfigSource, LoadRecord, StartError},
    config::{Loaded, Overrides},
    disk::RealDisk,
    server::{Hangups, Signals},
    store::StoreError,
    telemetry::{chain, log},
};

/// How long a file that is being read may delay the exit.
const RUNTIME_END_MAX: Duration = Duration::from_secs(1);

#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Listen on this address instead, such as `0.0.0.0:5000` or `unix:/run/roadstead.sock`.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Store everything in this folder instead.
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let overrides = Overrides {
        listen: arguments.listen.clone(),
        store: arguments.store.clone(),
    };
    let loader = ConfigLoader::new(arguments.config.config.as_ref(), &overrides);
    let first = loader.read(None);
    let configured = match first.loaded {
        Ok(configured) => configured,
        Err(error) => {
            eprint_error(error);
            return Exit::BadConfiguration;
        }
    };
    // Held until everything else has ended.
    let _log = match log::init(&configured.settings.log) {
        Ok(log) => log,
        Err(error) => {
            eprint_error(error);
            return Exit::Failed;
        }
    };
    match runtime() {
        Ok(runtime) => {
            let exit = runtime.block_on(serve(loader.into_source(), configured, first.record));
            // All data is written by now; a file system that hangs must not delay the exit.
            runtime.shutdown_timeout(RUNTIME_END_MAX);
            exit
        }
        Err(exit) => exit,
    }
}

async fn serve(source: ConfigSource, loaded: Loaded, record: LoadRecord) -> Exit {
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "roadstead");
    for note in &loaded.notes {
        tracing::warn!("{note}");
    }
    let listening = || Ok::<_, io::Error>((Signals::listen()?, Hangups::listen()?));
    let (signals, hangups) = match listening() {
        Ok(both) => both,
        Err(error) => {
            eprint_error(format_args!("cannot install signal handlers: {error}"));
            return Exit::Failed;
        }
    };
    let running = match app::start(loaded.settings, Arc::new(RealDisk)).await {
        Ok(running) => running,
        Err(error) => {
            eprint_error(chain(&error));
            if let Some(hint) = hint(&error) {
                eprint_error(hint);
            }
            return Exit::Failed;
        }
    };
    running
        .reloader()
        .watch(source, record, loaded.notes, hangups);
    let signals = signals.obey(running.stop().clone());
    tokio::select! {
        () = running.finish() => {}
        () = signals => {}
    }
    Exit::Success
}

/// The remedy for a start that failed for an external reason.
fn hint(error: &StartError) -> Option<&'static str> {
    match error {
        StartError::Listen { .. } => {
            Some("choose another address: --listen ADDR, or `listen` in [server] or [admin]")
        }
        StartError::Store(StoreError::Locked { .. }) => {
            Some("stop that process, or choose another folder: --store DIR, or `path` in [store]")
        }
        StartError::Store(_)
        | StartError::Upstream(_)
        | StartError::Random(_)
        | StartError::Metrics(_) => None,
    }
}
