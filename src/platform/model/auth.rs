//! Credentials in nodes' files: user name and password, a token, or base64.

use super::docker_auth::basic;
use crate::{
    platform::reading::{
        diagnostic::{Diagnostic, DiagnosticCode},
        location::Location,
        node::Node,
    },
    secret::Secret,
    upstream::Credential,
};

/// The credentials from `username` and `password`, the identity token at `token_key`, or `auth`:
/// the first that is set, as in containerd. `None` if all are empty.
pub(in crate::platform) fn credential(
    node: &Node,
    token_key: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Credential> {
    let mut field = |key: &str| {
        let scalar = node.string(key, diagnostics)?;
        Some(scalar).filter(|scalar| !scalar.text.is_empty())
    };
    let [username, password] = ["username", "password"].map(&mut field);
    let [token, auth] = [token_key, "auth"].map(&mut field);
    let read = if let Some(username) = username {
        let password = password.map_or("", |password| &password.text);
        let found = basic::password_credentials(&username.text, password);
        found.map_err(|(_, reason)| Diagnostic::new(DiagnosticCode::Value, &username.start, reason))
    } else if let Some(token) = token {
        Ok(Credential::Refresh(Secret::new(&*token.text)))
    } else if let Some(auth) = auth {
        basic_credentials(&auth.text, &auth.start)
    } else {
        return None;
    };
    read.map_err(|diagnostic| diagnostics.push(diagnostic)).ok()
}

/// Credentials from the base64 of `USER:PASSWORD`.
pub(in crate::platform) fn basic_credentials(
    encoded: &str,
    location: &Location,
) -> Result<Credential, Diagnostic> {
    let fix = "write the base64 of USER:PASSWORD";
    let diagnostic =
        |reason| Diagnostic::new(DiagnosticCode::AuthBase64, location, reason).fix(fix);
    basic::decode_basic(encoded).map_err(diagnostic)
}
