//! `roadstead check`: all problems of a configuration at once, and access to its upstreams.

mod online;

use clap::Args;
use serde_json::json;

use super::{
    exit::Exit,
    load::ConfigArguments,
    output::{eprint_error, print_line},
    runtime::runtime,
};
use crate::config::{Loaded, Overrides, Settings};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Test access to every upstream, and whether pinned tags have moved.
    #[arg(long)]
    online: bool,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let problems = match arguments.config.read(&Overrides::default()) {
        Ok(Ok(loaded)) => {
            report_valid(arguments, &loaded);
            return if arguments.online {
                check_online(arguments, loaded.settings)
            } else {
                Exit::Success
            };
        }
        Ok(Err(exit)) => return exit,
        Err(problems) => problems,
    };
    if arguments.json {
        print_line(problems.json_lines().trim_end());
    } else {
        eprint_error(problems);
    }
    Exit::BadConfiguration
}

fn report_valid(arguments: &Arguments, loaded: &Loaded) {
    if arguments.json {
        for note in &loaded.notes {
            print_line(json!({ "note": note }));
        }
        return;
    }
    let file = arguments.config.config.as_ref();
    let name = file.map_or_else(
        || "built-in defaults".to_owned(),
        |path| path.display().to_string(),
    );
    print_line(format_args!("{name}: no problems"));
    for note in &loaded.notes {
        print_line(format_args!("note: {note}"));
    }
}

fn check_online(arguments: &Arguments, settings: Settings) -> Exit {
    let format = if arguments.json {
        online::OutputFormat::Json
    } else {
        online::OutputFormat::Text
    };
    match runtime() {
        Ok(runtime) => runtime.block_on(online::run(settings, format)),
        Err(exit) => exit,
    }
}
