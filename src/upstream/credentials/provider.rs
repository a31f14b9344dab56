//! From the keyring to what a request logs in with.

use std::sync::Arc;

use super::{
    helper,
    keyring::{Credential, CredentialSource},
};
use crate::upstream::{
    authentication::state::{AuthFallback, AuthState},
    call::{endpoint::Endpoint, failure::AttemptFailure, request::UpstreamRequest, state::Caller},
    error::UpstreamError,
};

impl Caller {
    /// What we have to log in with for a request.
    pub(in crate::upstream) async fn credential(
        &self,
        endpoint: &Endpoint,
        request: &UpstreamRequest,
    ) -> Result<Option<Credential>, AttemptFailure> {
        match self.source(request) {
            None => Ok(None),
            Some(CredentialSource::Static(credential)) => Ok(Some(credential.clone())),
            Some(CredentialSource::Helper { name, server }) => {
                let found = self.helpers.get(name, server, request.deadline).await;
                // Without our login the answer would be about somebody else.
                found.map_err(|error| {
                    AttemptFailure::permanent(UpstreamError::Unreachable {
                        endpoint: Arc::clone(&endpoint.label),
                        detail: format!("not asked without a login: {error}"),
                    })
                })
            }
        }
    }

    /// The program that has our login for a request.
    pub(in crate::upstream) fn helper(&self, request: &UpstreamRequest) -> Option<Arc<str>> {
        match self.source(request)? {
            CredentialSource::Helper { name, .. } => Some(helper::program(name).into()),
            CredentialSource::Static(_) => None,
        }
    }

    /// The login was refused: whether another may be had, which is worth one more request.
    pub(in crate::upstream) fn renew_credentials(
        &self,
        request: &UpstreamRequest,
        auth: &mut AuthState,
    ) -> bool {
        let Some(CredentialSource::Helper { name, server }) = self.source(request) else {
            return false;
        };
        let Some(refused) = &auth.credential else {
            return false;
        };
        auth.attempts.once(AuthFallback::NewCredentials)
            && self.helpers.discard_refused(name, server, refused)
    }

    fn source(&self, request: &UpstreamRequest) -> Option<&CredentialSource> {
        let entry = self.settings.find_credentials(request.name.as_ref())?;
        Some(&entry.source)
    }
}
