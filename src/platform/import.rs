//! From files to what they say: each document goes to its format, then the whole is checked.

use super::{
    formats::{
        ImportFormat, astronomer, calico, containerd, docker, docker_config, enmasse, hosts_toml,
        imageswap, k3s, k8ssandra, openshift, palette, registries_conf, talos,
    },
    model::{
        context::ImportContext, finish, imported::Imported, options::ImportOptions,
        pull_secrets::PullSecrets,
    },
    reading::{
        diagnostic::{Diagnostic, DiagnosticCode},
        document::{InputDocument, parse},
        input::{Input, decode_text},
        kube,
        location::{Location, SourceText},
        placeholder::placeholders,
        syntax::Syntax,
    },
};

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
    for (format, pieces) in sorted.into_iter().filter(|(_, pieces)| !pieces.is_empty()) {
        let is_foreign = |document: &InputDocument<'_>| match document {
            InputDocument::Tree(node) => {
                ImportFormat::of(node).is_some_and(|found| found != format)
            }
            InputDocument::Map(_) => false,
        };
        let context = ImportContext {
            options,
            pull_secrets: &secrets,
            is_foreign: &is_foreign,
        };
        run(format, &pieces, &context, &mut into);
    }
    secrets.add_unused(&mut into);
    let hint = if let Some(other) = other {
        format!("it looks like the format {}", other.as_str())
    } else {
        let known = ImportFormat::ALL.map(|(name, _)| name).join(", ");
        format!("`roadstead import --help` says what is read of {known}")
    };
    finish::finish(&mut into, inputs, &hint, options);
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
        ImportFormat::DockerConfig => docker_config::import::import,
    };
    import(pieces, context, into);
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
