//! Runs an import: each document goes to its format, then the import is checked as a whole.

use super::{
    formats::{detect, importable},
    model::{
        context::ImportContext, finish, format::Format, imported::Imported, options::ImportOptions,
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

/// Reads files of one format; `None`: each document in the format that it is detected to be in.
pub fn import(
    format: Option<&'static Format>,
    inputs: &[Input<'_>],
    options: &ImportOptions<'_>,
) -> Imported {
    let mut into = Imported::default();
    let mut other = None;
    let mut secrets = PullSecrets::default();
    let mut groups: Vec<_> = importable()
        .map(|(format, importer)| (format, importer, Vec::new()))
        .collect();
    for input in inputs {
        for document in documents(format, input, &mut into.diagnostics) {
            if let (Some(named), InputDocument::Tree(_)) = (format, &document) {
                other = other.or_else(|| detect(&document).filter(|found| *found != named));
            }
            let Some(format) = assign(format, &document, &mut secrets, &mut into.diagnostics)
            else {
                continue;
            };
            if let Some((_, _, group)) = groups.iter_mut().find(|(known, ..)| *known == format) {
                group.push(document);
            }
        }
    }
    for (format, importer, documents) in &groups {
        let is_foreign =
            |document: &InputDocument<'_>| detect(document).is_some_and(|found| found != *format);
        let context = ImportContext {
            options,
            pull_secrets: &secrets,
            is_foreign: &is_foreign,
        };
        if !documents.is_empty() {
            (importer.run)(documents, &context, &mut into);
        }
    }
    secrets.add_unused(&mut into);
    let hint = if let Some(other) = other {
        format!("it looks like the format {}", other.name)
    } else {
        format!(
            "see `roadstead import --help` for what is read of {}",
            names()
        )
    };
    finish::finish(&mut into, inputs, &hint, options);
    into
}

/// The names of all formats, for advice.
fn names() -> String {
    let names: Vec<_> = importable().map(|(format, _)| format.name).collect();
    names.join(", ")
}

fn documents<'t>(
    format: Option<&'static Format>,
    input: &Input<'t>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<InputDocument<'t>> {
    let text = match decode_text(input) {
        Ok(text) if is_pem(&text) => Err(skipped_certificate(input)),
        Err(_) if !input.is_named && is_binary(input.bytes) => Err(skipped_certificate(input)),
        read => read,
    };
    let text = match text {
        Ok(text) => text,
        Err(diagnostic) => {
            diagnostics.push(diagnostic);
            return Vec::new();
        }
    };
    let guess = Syntax::of(&text, input.name);
    let importer = format.and_then(|format| format.import.as_ref());
    let syntax = importer.map_or(guess, |importer| (importer.syntax)(&text, guess));
    let documents = parse(text, syntax, diagnostics);
    for document in &documents {
        if let InputDocument::Tree(node) = document {
            placeholders(node, diagnostics);
        }
    }
    documents
}

/// `I-SKIPPED`: folders such as certs.d have certificates beside the files that name them.
fn skipped_certificate(input: &Input<'_>) -> Diagnostic {
    let message = "certificates and keys are not read";
    Diagnostic::new(
        DiagnosticCode::Skipped,
        &Location::start(input.name),
        message,
    )
}

/// Whether a text has an unindented PEM block, which no format has.
fn is_pem(text: &SourceText<'_>) -> bool {
    let mut lines = text.lines();
    lines.any(|(_, line)| line.starts_with("-----BEGIN "))
}

/// Whether the file is binary, and not text in UTF-16.
fn is_binary(bytes: &[u8]) -> bool {
    let is_wide = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    bytes.contains(&0) && !is_wide
}

/// The format of a document. Pull Secrets serve every format, and are in none.
fn assign(
    format: Option<&'static Format>,
    document: &InputDocument<'_>,
    secrets: &mut PullSecrets,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<&'static Format> {
    let InputDocument::Tree(node) = document else {
        return format.or_else(|| detect(document));
    };
    if secrets.take(node, diagnostics) {
        return None;
    }
    let found = format.or_else(|| detect(document));
    if found.is_none() {
        diagnostics.push(if let Some(kind) = kube::kind(node) {
            let message = "objects of this kind are not read";
            Diagnostic::new(DiagnosticCode::Skipped, &node.location, message).excerpt(kind)
        } else {
            let message = "the format of this document is unknown";
            let fix = format!(
                "name the format, `roadstead import FORMAT FILE`: {}",
                names()
            );
            Diagnostic::new(DiagnosticCode::Kind, &node.location, message).fix(fix)
        });
    }
    found
}
