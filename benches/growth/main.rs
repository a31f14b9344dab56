//! `cargo bench --bench growth`: what Roadstead costs as connections, blobs, routes and streams
//! grow.
//!
//! It starts the program of this tree on loopback, once for each step, over a store that it writes
//! itself, without requests to an upstream. `-- --most 1000` stops each scene there, and names of
//! scenes select them. `-- --output docs` puts the table into `docs/PERFORMANCE.md` and the picture
//! beside it.

mod blobs;
mod client;
mod connections;
#[path = "../gauge/gauge.rs"]
mod gauge;
mod growth;
mod load;
mod picture;
mod roadstead;
mod routes;
mod store;
mod streams;
mod table;

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use clap::{Parser, ValueEnum};

use growth::Growth;

pub(crate) type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Between these lines of the document stands the table.
const BEGIN: &str = "<!-- growth: begin -->\n";
const END: &str = "<!-- growth: end -->\n";

#[derive(Parser)]
struct Arguments {
    /// Scenes to play; all of them if none is named.
    scenes: Vec<Scene>,
    /// Largest step of each scene.
    #[arg(long, default_value_t = 1_000_000)]
    most: u32,
    /// Folder of `PERFORMANCE.md`, which takes the table, and of `performance.svg`.
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scene {
    Connections,
    Blobs,
    Routes,
    Streams,
}

fn main() -> Fallible<()> {
    let arguments = Arguments::parse();
    roadstead::allow_descriptors()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let grown = runtime.block_on(play(&arguments))?;
    let table = table::markdown(&grown);
    io::stdout().write_all(table.as_bytes())?;
    if let Some(folder) = &arguments.output {
        keep(folder, &table)?;
        fs::write(folder.join("performance.svg"), picture::svg(&grown))?;
    }
    Ok(())
}

async fn play(arguments: &Arguments) -> Fallible<Vec<Growth>> {
    let Arguments { scenes, most, .. } = arguments;
    let is_chosen = |scene: &&Scene| scenes.is_empty() || scenes.contains(scene);
    let mut grown = Vec::new();
    for scene in Scene::value_variants().iter().filter(is_chosen) {
        grown.push(match scene {
            Scene::Connections => connections::play(*most).await?,
            Scene::Blobs => blobs::play(*most).await?,
            Scene::Routes => routes::play(*most).await?,
            Scene::Streams => streams::play(*most).await?,
        });
    }
    Ok(grown)
}

/// Puts the table between its two lines.
fn keep(folder: &Path, table: &str) -> Fallible<()> {
    let path = folder.join("PERFORMANCE.md");
    let text = fs::read_to_string(&path)?;
    let (before, rest) = text.split_once(BEGIN).ok_or("no place for the table")?;
    let (_, after) = rest.split_once(END).ok_or("no end of the table")?;
    fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}"))?;
    Ok(())
}
