//! `roadstead serve`: runs the mirror.

use std::{path::PathBuf, sync::Arc};

use clap::Args;

use super::{ConfigArguments, Exit, chain, complain, runtime};
use crate::{
    app::{self, StartError},
    config::{Loaded, Overrides},
    disk::RealDisk,
    server,
    store::StoreError,
    telemetry::log,
};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Listen here instead, such as `0.0.0.0:5000` or `unix:/run/roadstead.sock`.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Keep everything in this folder instead.
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let overrides = Overrides {
        listen: arguments.listen.clone(),
        store: arguments.store.clone(),
    };
    let loaded = match arguments.config.load(&overrides) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    if let Err(error) = log::init(&loaded.settings.log) {
        complain(error);
        return Exit::Failed;
    }
    match runtime() {
        Ok(runtime) => runtime.block_on(serve(loaded)),
        Err(exit) => exit,
    }
}

async fn serve(loaded: Loaded) -> Exit {
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "roadstead");
    for note in &loaded.notes {
        tracing::warn!("{note}");
    }
    let signals = match server::Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            complain(format_args!("cannot wait for signals: {error}"));
            return Exit::Failed;
        }
    };
    let running = match app::start(loaded.settings, Arc::new(RealDisk)).await {
        Ok(running) => running,
        Err(error) => {
            complain(chain(&error));
            if let Some(help) = help(&error) {
                complain(help);
            }
            return Exit::Failed;
        }
    };
    let signals = signals.obey(running.stop().clone());
    tokio::select! {
        () = running.finish() => {}
        () = signals => {}
    }
    Exit::Fine
}

/// What may be done about a start that failed for a reason of the house's surroundings.
fn help(error: &StartError) -> Option<&'static str> {
    match error {
        StartError::Listen { .. } => {
            Some("choose another address: --listen ADDR, or `listen` in [server] or [admin]")
        }
        StartError::Store(StoreError::Locked { .. }) => {
            Some("stop that process, or choose another folder: --store DIR, or `path` in [store]")
        }
        StartError::Store(_) | StartError::Upstream(_) | StartError::Metrics(_) => None,
    }
}
