//! From the keyring to what a request logs in with.

use std::sync::Arc;

use super::helper;
use crate::upstream::{
    Credential, Source, UpstreamError,
    authentication::{Visit, plan::Trick},
    call::{caller::Shared, endpoint::Station, exchange::Failure, request::Request},
};

impl Shared {
    /// What we have to log in with for a request.
    pub(in crate::upstream) async fn credential(
        &self,
        station: &Station,
        request: &Request,
    ) -> Result<Option<Credential>, Failure> {
        match self.source(request) {
            None => Ok(None),
            Some(Source::Given(credential)) => Ok(Some(credential.clone())),
            Some(Source::Helper { name, server }) => {
                let found = self.helpers.get(name, server, request.deadline).await;
                // Without our login the answer would be about somebody else.
                found.map_err(|error| {
                    Failure::last(UpstreamError::Unreachable {
                        endpoint: Arc::clone(&station.label),
                        detail: format!("not asked without a login: {error}"),
                    })
                })
            }
        }
    }

    /// The program that has our login for a request.
    pub(in crate::upstream) fn helper(&self, request: &Request) -> Option<Arc<str>> {
        match self.source(request)? {
            Source::Helper { name, .. } => Some(helper::program(name).into()),
            Source::Given(_) => None,
        }
    }

    /// The login was refused: whether another may be had, which is worth one more request.
    pub(in crate::upstream) fn renew_login(&self, request: &Request, visit: &mut Visit) -> bool {
        let Some(Source::Helper { name, server }) = self.source(request) else {
            return false;
        };
        let Some(refused) = &visit.credential else {
            return false;
        };
        visit.tried.once(Trick::OtherLogin) && self.helpers.refused(name, server, refused)
    }

    fn source(&self, request: &Request) -> Option<&Source> {
        let entry = self.settings.login(request.name.as_ref())?;
        Some(&entry.source)
    }
}
