//! Which Secret's credentials are for which repository. All Secrets usually have the same registry
//! as key, so the scope is that of the block that names the Secret; the Secret's own keys are only
//! checked.

use super::registry_block::{RegistryBlock, RepositoryPrefix};
use crate::{
    platform::{
        model::{
            context::ImportContext,
            imported::Imported,
            pull_secrets::{PullSecret, extends_within_element, string_prefix_diagnostic},
        },
        reading::{
            diagnostic::{Diagnostic, DiagnosticCode},
            location::Location,
        },
    },
    upstream::{CredentialSource, Keyring, KeyringEntry},
};

/// The credentials of Secrets that a block names.
#[derive(Default)]
pub(super) struct SecretCredentials {
    /// Those for which a block sets the scope.
    scoped: Vec<KeyringEntry>,
    all: Vec<(Location, KeyringEntry)>,
}

impl SecretCredentials {
    /// Uses the Secret of a block for the block's repository.
    pub(super) fn scope(
        &mut self,
        block: &RegistryBlock,
        context: &ImportContext<'_>,
        into: &mut Imported,
    ) {
        let Some(name) = &block.secret else { return };
        let found = context.pull_secrets.by_name(&name.text, &name.start, into);
        for secret in &found {
            let entries = secret.entries.iter();
            self.all
                .extend(entries.map(|entry| (secret.location.clone(), entry.clone())));
        }
        // Without a host each Deployment has its own registry, which only the Secrets have.
        let Some(host) = &block.host else { return };
        let mut fits = found.is_empty();
        for secret in found {
            let Some(entry) = best(secret, host) else {
                continue;
            };
            fits = true;
            check(entry, host, &name.start, into);
            if let CredentialSource::Static(credential) = &entry.source {
                into.add_credential(&secret.location, &host.to_string(), credential.clone());
            }
            self.scoped.push(entry.clone());
        }
        if !fits {
            let message = format!(
                "the Secret has no credentials for {}: none are used",
                host.registry
            );
            let diagnostic = Diagnostic::new(DiagnosticCode::CredentialScope, &name.start, message);
            let fix = format!("create it with --docker-server={}", host.registry);
            into.report(diagnostic.excerpt(&name.text).fix(fix));
        }
    }

    /// Adds the other credentials under their own keys: they are for Deployments' registries.
    pub(super) fn add_unscoped(self, into: &mut Imported) {
        for (location, entry) in self.all {
            if !self.scoped.contains(&entry) {
                into.add_credential_entry(&location, entry);
            }
        }
    }
}

/// The credentials for a repository, or at least for its registry.
fn best<'s>(secret: &'s PullSecret, host: &RepositoryPrefix) -> Option<&'s KeyringEntry> {
    let hosts = [host.registry.as_str()];
    let concerns = |entry: &KeyringEntry| Keyring::new(vec![entry.clone()]).has_any_for(&hosts);
    let keyring = Keyring::new(secret.entries.clone());
    let meant = match &host.path {
        Some(path) => keyring.find(&hosts, path),
        None => keyring.find_for_registry(&hosts),
    };
    let is_meant = |entry: &&KeyringEntry| match meant {
        Some(meant) => *entry == meant,
        None => concerns(entry),
    };
    secret.entries.iter().find(is_meant)
}

/// Reports a key for another part of the registry, which kubelet would not use, or only by
/// accident.
fn check(entry: &KeyringEntry, host: &RepositoryPrefix, named_at: &Location, into: &mut Imported) {
    let Some(path) = entry.scope.path() else {
        return;
    };
    let covers = |name: &crate::oci::RepositoryName| name.strip_prefix(path.as_str()).is_some();
    if host.path.as_ref().is_some_and(covers) {
        return;
    }
    let key = entry.scope.to_string();
    into.report(if extends_within_element(&host.to_string(), &key) {
        string_prefix_diagnostic(named_at, &key).excerpt(&host.to_string())
    } else {
        let message = format!("the Secret's credentials are for {key}; they are used for {host}");
        let fix = "name the Secret that is for this repository";
        Diagnostic::new(DiagnosticCode::CredentialScope, named_at, message).fix(fix)
    });
}
