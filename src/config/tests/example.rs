//! `config/roadstead.toml` says what the code does.

use super::*;

const EXAMPLE: &str = include_str!("../../../config/roadstead.toml");

/// The example file with its defaults or its examples switched on.
fn example(switch_on: impl Fn(&str) -> Option<&str>) -> String {
    let line = |line| switch_on(line).unwrap_or(line).to_owned() + "\n";
    EXAMPLE.lines().map(line).collect()
}

fn defaults_on(line: &str) -> Option<&str> {
    line.strip_prefix('#').filter(|line| !line.starts_with('#'))
}

fn examples_on(line: &str) -> Option<&str> {
    line.strip_prefix("##    ")
}

/// The example file with everything switched on.
pub(super) fn everything() -> String {
    example(|line| defaults_on(line).or_else(|| examples_on(line)))
}

#[test]
fn the_example_says_the_defaults() {
    let defaults = format!(
        "{:#?}",
        defaults(&Overrides::default(), &Environment::default()).unwrap()
    );
    assert_eq!(format!("{:#?}", loaded("")), defaults);
    assert_eq!(format!("{:#?}", loaded(EXAMPLE)), defaults);
    let switched_on = example(defaults_on);
    assert!(switched_on.contains("\nlisten = \"127.0.0.1:5000\"\n"));
    assert_eq!(format!("{:#?}", loaded(&switched_on)), defaults);
}

#[test]
fn the_examples_hold() {
    let settings = loaded(&example(examples_on)).settings;
    assert_eq!(settings.listeners.len(), 2);
    assert_eq!(settings.upstreams.len(), 1);
}

#[test]
fn the_example_has_every_key() {
    let text = everything();
    let (document, _) = DeTable::parse_recoverable(&text);
    let report = report::ProblemReport::new(&text);
    let read = settings(
        &report,
        document.get_ref(),
        "",
        &Overrides::default(),
        &CONTEXT,
    );
    assert!(read.is_some());
    let known = report.known();
    assert!(known.len() > 50, "{known:?}");
    for key in known {
        let headers = [format!("[{key}]"), format!("[{key}.")];
        let assignment = format!("{key} = ");
        let written = |line: &str| {
            let mut before = line
                .match_indices(&assignment)
                .map(|(index, _)| line.get(..index).unwrap());
            before.any(|before| before.is_empty() || before.ends_with(['#', ' ']))
                || headers.iter().any(|header| line.contains(header))
        };
        assert!(
            EXAMPLE.lines().any(written),
            "{key} is missing in config/roadstead.toml"
        );
    }
}
