//! Scenes for the rules themselves: what each refuses, the message, and what passes.

mod cycles;
mod habits;
mod names;
mod rooms;

use super::{model::Crate, reader, sources::Source};

/// A crate of these files; `src/lib.rs` may be left out where it would only declare rooms.
fn code(files: &[(&str, &str)]) -> Crate {
    reader::read(&sources(files))
}

fn sources(files: &[(&str, &str)]) -> Vec<Source> {
    let mut sources: Vec<_> = files
        .iter()
        .map(|(path, text)| Source::new(path, text))
        .collect();
    if files.iter().all(|(path, _)| *path != "src/lib.rs") {
        let rooms = files.iter().filter_map(|(path, _)| {
            let room = path.strip_prefix("src/")?.strip_suffix(".rs")?;
            let is_room = !room.contains('/') && room != "main";
            is_room.then(|| format!("pub mod {room};\n"))
        });
        sources.push(Source::new("src/lib.rs", &rooms.collect::<String>()));
    }
    sources
}
