//! Logins as nodes' files have them: a user name and a password, a token, or both in base64.

use super::{
    docker_config,
    node::Node,
    remark::{Code, Remark},
    spot::Spot,
};
use crate::{secret::Secret, upstream::Credential};

/// The login of `username` and `password`, of the identity token under `token_key`, or of `auth`:
/// the first that is there, as containerd has it. None, for nobody, where all are empty.
pub(super) fn credential(
    node: &Node,
    token_key: &str,
    remarks: &mut Vec<Remark>,
) -> Option<Credential> {
    let mut field = |key: &str| {
        let scalar = node.string(key, remarks)?;
        Some(scalar).filter(|scalar| !scalar.text.is_empty())
    };
    let [username, password] = ["username", "password"].map(&mut field);
    let [token, auth] = [token_key, "auth"].map(&mut field);
    let read = if let Some(username) = username {
        let password = password.map_or("", |password| &password.text);
        let found = docker_config::pair(&username.text, password);
        found.map_err(|(_, reason)| Remark::new(Code::Value, &username.start, reason))
    } else if let Some(token) = token {
        Ok(Credential::Refresh(Secret::new(&*token.text)))
    } else if let Some(auth) = auth {
        basic(&auth.text, &auth.start)
    } else {
        return None;
    };
    read.map_err(|remark| remarks.push(remark)).ok()
}

/// The login in a base64 of `USER:PASSWORD`.
pub(super) fn basic(coded: &str, spot: &Spot) -> Result<Credential, Remark> {
    let fix = "write the base64 of USER:PASSWORD";
    let remark = |reason| Remark::new(Code::AuthBase64, spot, reason).fix(fix);
    docker_config::decoded(coded).map_err(remark)
}
