//! The credentials of Docker's `config.json`.

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

/// The logins of files that hold nothing else.
pub(in crate::platform) fn import(
    pieces: &[InputDocument<'_>],
    _context: &ImportContext<'_>,
    into: &mut Imported,
) {
    for node in trees(pieces) {
        if let Some(kind) = kube::kind(node) {
            let message = "this kind of object holds no logins";
            into.report(
                Diagnostic::new(DiagnosticCode::Skipped, &node.spot, message).excerpt(kind),
            );
            continue;
        }
        let logins = docker_auth::read(node, &mut into.diagnostics);
        for ImportedCredentials { entry, spot } in
            docker_auth::first_per_scope(logins, &mut into.diagnostics)
        {
            into.add_credential_entry(&spot, entry);
        }
    }
}
