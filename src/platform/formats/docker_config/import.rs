//! Credentials of Docker's `config.json`.

use crate::platform::{
    model::{
        context::ImportContext,
        docker_auth,
        imported::{Imported, ImportedCredentials},
    },
    reading::{
        diagnostic::{Diagnostic, DiagnosticCode},
        document::{InputDocument, trees},
        kube,
    },
};

/// Whether a document is in this format.
pub(in crate::platform) fn detects(document: &InputDocument<'_>) -> bool {
    let InputDocument::Tree(node) = document else {
        return false;
    };
    match kube::kind(node) {
        Some("Secret") => [".dockerconfigjson", ".dockercfg"]
            .iter()
            .any(|key| kube::has_data_key(node, key)),
        Some(_) => false,
        None => node.has_any(&[&["auths"], &["credHelpers"], &["credsStore"]]),
    }
}

/// Imports files of credentials only.
pub(in crate::platform) fn import(
    documents: &[InputDocument<'_>],
    _context: &ImportContext<'_>,
    into: &mut Imported,
) {
    for node in trees(documents) {
        if let Some(kind) = kube::kind(node) {
            let message = "this kind of object has no credentials";
            into.report(
                Diagnostic::new(DiagnosticCode::Skipped, &node.location, message).excerpt(kind),
            );
            continue;
        }
        let credentials = docker_auth::read(node, &mut into.diagnostics);
        for ImportedCredentials { entry, location } in
            docker_auth::first_per_scope(credentials, &mut into.diagnostics)
        {
            into.add_credential_entry(&location, entry);
        }
    }
}
