//! From files to what they say: each document goes to its format, then the whole is checked.

use super::{
    ImportOptions, Imported, SourceFallback,
    formats::{
        ImportFormat, Syntax, astronomer, calico, containerd, docker, enmasse, hosts_toml,
        imageswap, k3s, k8ssandra, openshift, palette, registries_conf, talos,
    },
    model::{
        docker_auth::{self, TOKEN_USERNAME},
        finish,
    },
    reading::{
        diagnostic::{Diagnostic, DiagnosticCode},
        json,
        kube::{self, PullSecrets},
        location::{Location, SourceText},
        node::{Node, NodeKind},
        toml, yaml,
    },
};

/// Longest file, in bytes.
pub const INPUT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A file.
#[derive(Clone, Copy, Debug)]
pub struct Input<'t> {
    /// Its path, as it was named to us. Some formats say in it what the file is about.
    pub name: &'t str,
    /// What stands in it.
    pub bytes: &'t [u8],
    /// Whether it was asked for by its own path, and does not merely lie in a folder.
    pub is_named: bool,
}

/// What importers are given: one of these for each document.
#[derive(Clone, Debug)]
pub(super) enum InputDocument<'t> {
    /// A YAML, JSON or TOML document, or one object of a Kubernetes list.
    Tree(Node),
    /// A map of `SOURCE::TARGET`.
    Map(SourceText<'t>),
}

/// The documents among pieces, for a format that has no maps.
pub(super) fn trees<'p>(pieces: &'p [InputDocument<'_>]) -> impl Iterator<Item = &'p Node> + Clone {
    pieces.iter().filter_map(|piece| match piece {
        InputDocument::Tree(node) => Some(node),
        InputDocument::Map(_) => None,
    })
}

/// What importers may ask beyond their own documents.
#[derive(Debug)]
pub(super) struct ImportContext<'c> {
    pub(super) options: &'c ImportOptions<'c>,
    /// The pull Secrets among all files.
    pub(super) pull_secrets: &'c PullSecrets,
}

impl ImportContext<'_> {
    /// Whether names may be had from their own registry although the file says nothing of it.
    pub(super) fn adds_source(&self) -> bool {
        self.options.fallback == SourceFallback::Source
    }

    /// Whether names may be had from their own registry where the file says so.
    pub(super) fn keeps_source(&self) -> bool {
        self.options.fallback != SourceFallback::Deny
    }
}

/// Reads files of one format; `None`: of the format that each says it is in.
pub fn import(
    format: Option<ImportFormat>,
    inputs: &[Input<'_>],
    options: &ImportOptions<'_>,
) -> Imported {
    let mut into = Imported::default();
    let mut other = None;
    let mut secrets = PullSecrets::default();
    let mut sorted: Vec<(ImportFormat, Vec<InputDocument<'_>>)> = ImportFormat::ALL
        .map(|(_, format)| (format, Vec::new()))
        .into();
    for input in inputs {
        for piece in documents(format, input, &mut into.diagnostics) {
            if let (Some(named), InputDocument::Tree(node)) = (format, &piece) {
                other = other.or_else(|| ImportFormat::of(node).filter(|found| *found != named));
            }
            let Some(format) = assign(format, &piece, &mut secrets, &mut into.diagnostics) else {
                continue;
            };
            let group = sorted.iter_mut().find(|(known, _)| *known == format);
            if let Some((_, group)) = group {
                group.push(piece);
            }
        }
    }
    let context = ImportContext {
        options,
        pull_secrets: &secrets,
    };
    for (format, pieces) in sorted.into_iter().filter(|(_, pieces)| !pieces.is_empty()) {
        run(format, &pieces, &context, &mut into);
    }
    secrets.add_unused(&mut into);
    finish::finish(&mut into, inputs, other, options);
    into
}

fn run(
    format: ImportFormat,
    pieces: &[InputDocument<'_>],
    context: &ImportContext<'_>,
    into: &mut Imported,
) {
    let import = match format {
        ImportFormat::Imageswap => imageswap::import::import,
        ImportFormat::Palette => palette::import::import,
        ImportFormat::K8ssandra => k8ssandra::import::import,
        ImportFormat::Calico => calico::import::import,
        ImportFormat::Openshift => openshift::import::import,
        ImportFormat::Enmasse => enmasse::import::import,
        ImportFormat::Astronomer => astronomer::import::import,
        ImportFormat::HostsToml => hosts_toml::import::import,
        ImportFormat::Containerd => containerd::import::import,
        ImportFormat::K3s => k3s::import::import,
        ImportFormat::Talos => talos::import::import,
        ImportFormat::RegistriesConf => registries_conf::import::import,
        ImportFormat::Docker => docker::import::import,
        ImportFormat::DockerConfig => docker_auth::import,
    };
    import(pieces, context, into);
}

/// The text of a file that can be read at all.
pub(super) fn decode_text<'t>(input: &Input<'t>) -> Result<SourceText<'t>, Diagnostic> {
    let Input { name, bytes, .. } = *input;
    let start = Location::start(name);
    if bytes.len() > INPUT_BYTES_MAX {
        let message = format!("the file is longer than {INPUT_BYTES_MAX} bytes");
        return Err(Diagnostic::new(DiagnosticCode::File, &start, message).fix("split it"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let (sound, _) = bytes
            .split_at_checked(error.valid_up_to())
            .unwrap_or_default();
        let sound = String::from_utf8_lossy(sound);
        let spot = SourceText::file(name, &sound).location_of_byte(sound.len());
        Diagnostic::new(DiagnosticCode::File, &spot, "this is no UTF-8")
            .fix("save the file as UTF-8")
    })?;
    let text = SourceText::file(name, text);
    match text.text.find('\0') {
        Some(byte) => {
            let spot = text.location_of_byte(byte);
            Err(Diagnostic::new(
                DiagnosticCode::File,
                &spot,
                "there is a NUL: this is no text",
            ))
        }
        None if text.text.trim().is_empty() => Err(Diagnostic::new(
            DiagnosticCode::File,
            &start,
            "the file is empty",
        )),
        None => Ok(text),
    }
}

/// The documents of a text in some syntax.
pub(super) fn parse<'t>(
    text: SourceText<'t>,
    syntax: Syntax,
    remarks: &mut Vec<Diagnostic>,
) -> Vec<InputDocument<'t>> {
    let read = match syntax {
        Syntax::Yaml => yaml::documents(&text).map_err(|remark| vec![remark]),
        Syntax::Json => json::document(&text).map_err(|remark| vec![remark]),
        Syntax::Toml => toml::document(&text).map(|node| vec![node]),
        Syntax::Map => return vec![InputDocument::Map(text)],
    };
    match read {
        Ok(documents) => kube::objects(documents, remarks)
            .into_iter()
            .map(InputDocument::Tree)
            .collect(),
        Err(found) => {
            remarks.extend(found);
            Vec::new()
        }
    }
}

fn documents<'t>(
    format: Option<ImportFormat>,
    input: &Input<'t>,
    remarks: &mut Vec<Diagnostic>,
) -> Vec<InputDocument<'t>> {
    let text = match decode_text(input) {
        Ok(text) if is_pem(&text) => Err(skipped_certificate(input)),
        Err(_) if !input.is_named && is_binary(input.bytes) => Err(skipped_certificate(input)),
        read => read,
    };
    let text = match text {
        Ok(text) => text,
        Err(remark) => {
            remarks.push(remark);
            return Vec::new();
        }
    };
    let syntax = match format {
        Some(format) => format.syntax(&text, input.name),
        None => Syntax::of(&text, input.name),
    };
    let pieces = parse(text, syntax, remarks);
    for piece in &pieces {
        if let InputDocument::Tree(node) = piece {
            placeholders(node, remarks);
        }
    }
    pieces
}

/// Certificates lie beside what names them, in folders that are given as a whole.
fn skipped_certificate(input: &Input<'_>) -> Diagnostic {
    let message = "a certificate or a key says nothing about images: it is not read";
    Diagnostic::new(
        DiagnosticCode::Skipped,
        &Location::start(input.name),
        message,
    )
}

/// Whether a text has PEM at its margin, where no format has it.
fn is_pem(text: &SourceText<'_>) -> bool {
    let mut lines = text.lines();
    lines.any(|(_, line)| line.starts_with("-----BEGIN "))
}

/// Whether it was never meant as a text, not even in UTF-16.
fn is_binary(bytes: &[u8]) -> bool {
    let is_wide = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    bytes.contains(&0) && !is_wide
}

/// The format of a piece. Pull Secrets go to the others, whatever the format.
fn assign(
    format: Option<ImportFormat>,
    piece: &InputDocument<'_>,
    secrets: &mut PullSecrets,
    remarks: &mut Vec<Diagnostic>,
) -> Option<ImportFormat> {
    let node = match piece {
        InputDocument::Map(text) => {
            // What Palette has in one line, imageswap has in many.
            let is_list = text.lines().filter(|(_, line)| line.contains("::")).count() == 1
                && text.text.contains(',');
            let usual = if is_list {
                ImportFormat::Palette
            } else {
                ImportFormat::Imageswap
            };
            return Some(format.unwrap_or(usual));
        }
        InputDocument::Tree(node) => node,
    };
    if secrets.take(node, remarks) {
        return None;
    }
    let found = format.or_else(|| ImportFormat::of(node));
    if found.is_none() {
        remarks.push(if let Some(kind) = kube::kind(node) {
            let message = "objects of this kind are not read";
            Diagnostic::new(DiagnosticCode::Skipped, &node.spot, message).excerpt(kind)
        } else {
            let message = "the file does not say which format it is in";
            let known = ImportFormat::ALL.map(|(name, _)| name).join(", ");
            let fix = format!("name the format, `roadstead import FORMAT FILE`: {known}");
            Diagnostic::new(DiagnosticCode::Kind, &node.spot, message).fix(fix)
        });
    }
    found
}

/// `E-PLACEHOLDER` for every value that a document's author meant to be replaced.
pub(super) fn placeholders(node: &Node, remarks: &mut Vec<Diagnostic>) {
    placeholders_at("", node, remarks);
}

fn placeholders_at(key: &str, node: &Node, remarks: &mut Vec<Diagnostic>) {
    match &node.kind {
        // This is what Docker calls whoever has a token.
        NodeKind::Scalar(scalar) if key == "username" && scalar.text == TOKEN_USERNAME => {}
        NodeKind::Scalar(scalar) => {
            remarks.extend(placeholder_value(key, &scalar.text, &scalar.start));
        }
        NodeKind::Sequence(items) => {
            for item in items {
                placeholders_at(key, item, remarks);
            }
        }
        NodeKind::Mapping(entries) => {
            for (key, value) in entries {
                placeholders_at(&key.text, value, remarks);
            }
        }
        NodeKind::Null => {}
    }
}

/// `E-PLACEHOLDER`, if a key's text is one. It might be none, but an odd password: such a key's is
/// not shown.
pub(super) fn placeholder_value(key: &str, text: &str, spot: &Location) -> Option<Diagnostic> {
    let remark = placeholder(text, spot)?;
    let key = key.to_ascii_lowercase();
    let secrets = ["password", "token", "auth"];
    let is_secret = secrets.iter().any(|word| key.ends_with(word));
    Some(Diagnostic {
        excerpt: remark.excerpt.filter(|_| !is_secret),
        ..remark
    })
}

/// `E-PLACEHOLDER`, if the text is one.
pub(super) fn placeholder(text: &str, spot: &Location) -> Option<Diagnostic> {
    let remark = || Diagnostic::new(DiagnosticCode::Placeholder, spot, "this is a placeholder");
    is_placeholder(text).then(|| remark().excerpt(text).fix("write the real value"))
}

/// Whether a text is one that a document's author meant to be replaced.
pub(super) fn is_placeholder(text: &str) -> bool {
    let marks = ["REPLACE_WITH_", "<your-", "OCI_URL", "<Contact"];
    let is_marked = marks.iter().any(|mark| text.contains(mark));
    let inside = text
        .strip_prefix('<')
        .and_then(|text| text.strip_suffix('>'));
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || " -_".contains(letter);
    let is_bracketed =
        inside.is_some_and(|inside| !inside.is_empty() && inside.chars().all(is_word));
    // A text of several lines, or JSON, is a file of its own, and read as one.
    let is_file = text.contains('\n') || text.trim_start().starts_with('{');
    (is_marked && !is_file) || is_bracketed
}
