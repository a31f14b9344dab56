//! `roadstead check`: every problem in a configuration at once, and whether upstreams let us in.

mod online;

use clap::Args;
use serde_json::json;

use super::{ConfigArguments, Exit, complain, runtime, say};
use crate::config::{Loaded, Overrides, Settings};

#[expect(clippy::struct_excessive_bools, reason = "independent switches")]
#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Log in to every upstream, and see whether pinned tags have moved.
    #[arg(long)]
    online: bool,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let problems = match arguments.config.read(&Overrides::default()) {
        Ok(Ok(loaded)) => {
            fine(arguments, &loaded);
            return if arguments.online {
                ask(arguments, loaded.settings)
            } else {
                Exit::Fine
            };
        }
        Ok(Err(exit)) => return exit,
        Err(problems) => problems,
    };
    if arguments.json {
        say(problems.json_lines().trim_end());
    } else {
        complain(problems);
    }
    Exit::BadConfiguration
}

fn fine(arguments: &Arguments, loaded: &Loaded) {
    if arguments.json {
        for note in &loaded.notes {
            say(json!({ "note": note }));
        }
        return;
    }
    let file = arguments.config.config.as_ref();
    let name = file.map_or_else(
        || "built-in defaults".to_owned(),
        |path| path.display().to_string(),
    );
    say(format_args!("{name}: no problems"));
    for note in &loaded.notes {
        say(format_args!("note: {note}"));
    }
}

fn ask(arguments: &Arguments, settings: Settings) -> Exit {
    let form = if arguments.json {
        online::OutputFormat::Json
    } else {
        online::OutputFormat::Text
    };
    match runtime() {
        Ok(runtime) => runtime.block_on(online::run(settings, form)),
        Err(exit) => exit,
    }
}
