//! `roadstead render`: the configuration that points a node or a platform at the mirror.

mod pins;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use clap::{
    Args,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};

use super::{
    exit::Exit,
    load::ConfigArguments,
    output::{eprint_error, eprint_line, print_line, print_text},
    runtime::runtime,
    store_view::StoreView,
};
use crate::{
    config::{Overrides, Settings},
    disk::{self, ExistingFile, ReadableBy},
    oci::Registry,
    platform::{self, DigestPin, Mirror, RenderedFile, Renderer},
    server::ListenAddress,
};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// What to print.
    #[arg(value_name = "FORMAT", value_parser = formats())]
    format: &'static Renderer,
    /// The mirror's URL for nodes: scheme, host and port. Without it, `public_url` of the
    /// configuration, or else the loopback address that the mirror listens on.
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// Only for this registry; may be repeated. Without it, every registry that the configuration names.
    #[arg(long = "registry", value_name = "HOST[:PORT]")]
    registries: Vec<Registry>,
    /// Never let nodes fall back to a registry itself, even if the mirror is down.
    #[arg(long)]
    no_fallback: bool,
    /// The file on the nodes with the CA certificate for the mirror.
    #[arg(long, value_name = "PATH")]
    ca_file: Option<String>,
    /// Write files below this folder instead of printing.
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// With --output, replace files that differ.
    #[arg(long, requires = "output")]
    force: bool,
    #[command(flatten)]
    config: ConfigArguments,
}

/// `http(s)://HOST[:PORT]`.
struct MirrorUrl {
    is_tls: bool,
    authority: Registry,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let settings = match arguments.config.load(&Overrides::default()) {
        Ok(loaded) => loaded.settings,
        Err(exit) => return exit,
    };
    let url = match mirror_url(arguments.mirror.as_deref(), &settings) {
        Ok(url) => url,
        Err(exit) => return exit,
    };
    let pins = match pins(arguments.format, &settings) {
        Ok(pins) => pins,
        Err(exit) => return exit,
    };
    let mirror = Mirror {
        is_tls: url.is_tls,
        authority: url.authority,
        registries: registries(arguments, &settings),
        falls_back: !arguments.no_fallback,
        ca_file: arguments.ca_file.clone(),
        aliases: settings.aliases,
        pins,
    };
    let rendering = platform::render(arguments.format, &mirror);
    for note in &rendering.notes {
        let mut lines = note.lines();
        eprint_line(format_args!("note: {}", lines.next().unwrap_or_default()));
        lines.for_each(eprint_line);
    }
    match (&arguments.output, &rendering.files[..]) {
        (Some(folder), files) => write(folder, files, arguments),
        (None, [one]) => {
            print_text(&one.text);
            Exit::Success
        }
        (None, files) => {
            for (at, RenderedFile { path, text }) in files.iter().enumerate() {
                // Several YAML documents form one stream.
                let is_next = at > 0 && Path::new(path).extension() == Some("yaml".as_ref());
                let start = if is_next { "---\n" } else { "" };
                print_text(&format!("{start}# file: {path}\n{text}"));
            }
            Exit::Success
        }
    }
}

/// The mirror's URL for nodes.
fn mirror_url(given: Option<&str>, settings: &Settings) -> Result<MirrorUrl, Exit> {
    let public = settings.public_url.as_deref();
    for (text, source, exit) in [
        (given, "--mirror", Exit::Usage),
        (public, "server.public_url", Exit::BadConfiguration),
    ] {
        if let Some(text) = text {
            return url(text).map_err(|reason| {
                eprint_error(format_args!("{source}: {reason}"));
                exit
            });
        }
    }
    let local = settings.listeners.iter().find_map(|listener| {
        let ListenAddress::Tcp(address) = &listener.address else {
            return None;
        };
        let is_local = address.ip().is_loopback() && address.port() != 0;
        let authority = is_local.then(|| address.to_string().parse().ok())??;
        let is_tls = listener.tls.is_some();
        Some(MirrorUrl { is_tls, authority })
    });
    if let Some(MirrorUrl { is_tls, authority }) = &local {
        let scheme = if *is_tls { "https" } else { "http" };
        eprint_line(format_args!(
            "note: each node will use a mirror of its own at {scheme}://{authority}; \
             --mirror URL sets another address"
        ));
    }
    local.ok_or_else(|| {
        eprint_error(
            "the mirror's URL is not known: add --mirror http://HOST:PORT, or public_url in \
             [server] of the configuration",
        );
        Exit::Usage
    })
}

/// The stored digests, for formats that pin them.
fn pins(format: &Renderer, settings: &Settings) -> Result<Vec<DigestPin>, Exit> {
    let Some(likely_names) = format.pins else {
        return Ok(Vec::new());
    };
    let stored =
        runtime()?.block_on(async { StoreView::open(settings.store.clone()).await.tags().await });
    Ok(pins::kept_pins(&settings.table, &stored, likely_names))
}

fn registries(arguments: &Arguments, settings: &Settings) -> Vec<Registry> {
    let given = &arguments.registries;
    if !given.is_empty() {
        let given: BTreeSet<_> = given.iter().cloned().collect();
        return given.into_iter().collect();
    }
    let mut known = settings.table.registries();
    let aliased = settings.aliases.iter().flat_map(|(_, equal)| equal);
    known.named.extend(aliased.cloned());
    if !known.patterns.is_empty() {
        let patterns: Vec<_> = known.patterns.into_iter().collect();
        eprint_line(format_args!(
            "note: these routes match registries that cannot be listed: {}; add --registry HOST \
             for each",
            patterns.join(", ")
        ));
    }
    known.named.into_iter().collect()
}

/// Writes all files, or none if one of them would overwrite another file.
fn write(folder: &Path, files: &[RenderedFile], arguments: &Arguments) -> Exit {
    let mut todo = Vec::new();
    let mut is_refused = false;
    for RenderedFile { path, text } in files {
        let path = folder.join(path);
        match disk::existing_file(&path, text) {
            Ok(ExistingFile::Other) if !arguments.force => {
                eprint_error(format_args!(
                    "{}: exists with other content; --force replaces it",
                    path.display()
                ));
                is_refused = true;
            }
            Ok(existing) => todo.push((path, text, existing)),
            Err(error) => return unwritable(&path, &error),
        }
    }
    if is_refused {
        return Exit::Failed;
    }
    for (path, text, existing) in todo {
        let what = match existing {
            ExistingFile::Same => "unchanged",
            ExistingFile::Absent => "written",
            ExistingFile::Other => "replaced",
        };
        if existing != ExistingFile::Same
            && let Err(error) = disk::atomic_write(&path, text, ReadableBy::Everyone)
        {
            return unwritable(&path, &error);
        }
        print_line(format_args!("{}: {what}", path.display()));
    }
    Exit::Success
}

fn unwritable(path: &Path, error: &std::io::Error) -> Exit {
    eprint_error(format_args!("{}: cannot write: {error}", path.display()));
    Exit::Failed
}

fn url(text: &str) -> Result<MirrorUrl, String> {
    if text.contains('@') {
        return Err("credentials must not be part of the URL".to_owned());
    }
    let (scheme, rest) = text
        .split_once("://")
        .ok_or_else(|| format!("the scheme is missing: write http://{text} or https://{text}"))?;
    let is_tls = match scheme {
        "https" => true,
        "http" => false,
        _ => return Err("the scheme must be http:// or https://".to_owned()),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#']) {
        return Err("the URL must not have a path".to_owned());
    }
    let authority: Registry = rest.parse().map_err(|error| format!("{error}"))?;
    Ok(MirrorUrl { is_tls, authority })
}

fn formats() -> impl TypedValueParser<Value = &'static Renderer> {
    let known =
        platform::renderable().map(|(name, format)| PossibleValue::new(name).help(format.about));
    PossibleValuesParser::new(known).try_map(|name: String| {
        let mut known = platform::renderable();
        let chosen = known.find(|(known, _)| *known == name);
        chosen
            .map(|(_, format)| format)
            .ok_or("it is none of the formats")
    })
}
