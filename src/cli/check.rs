//! `roadstead check`: every problem in a configuration at once.

use clap::Args;
use serde_json::json;

use super::{ConfigArguments, Exit, complain, say};
use crate::config::{Loaded, Overrides};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let problems = match arguments.config.read(&Overrides::default()) {
        Ok(Ok(loaded)) => return fine(arguments, &loaded),
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

fn fine(arguments: &Arguments, loaded: &Loaded) -> Exit {
    if arguments.json {
        for note in &loaded.notes {
            say(json!({ "note": note }));
        }
        return Exit::Fine;
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
    Exit::Fine
}
