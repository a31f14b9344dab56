//! Which names may be served a stored blob: knowing a digest is not enough.

use super::{PullError, Puller};
use crate::{
    oci::{Digest, Origin, UpstreamName},
    store::Provenance,
};

impl Puller {
    /// Whether a name with these origins may be served a stored blob.
    pub(super) async fn may_serve(
        &self,
        origins: &[Origin],
        digest: &Digest,
    ) -> Result<bool, PullError> {
        let store = &self.0.store;
        for origin in origins {
            let provenance = store.provenance(digest, origin).await?;
            let confirmed_by = match provenance {
                Provenance::Referenced => store.confirmed_by(digest).await?,
                Provenance::Confirmed | Provenance::Unknown => Vec::new(),
            };
            let is_public = |name: &UpstreamName| self.0.directory.is_public(name);
            if grants_access(provenance, origin, &confirmed_by, is_public) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The rule: an origin that delivered or confirmed a blob grants access to it. One whose manifests
/// merely reference it does so if the bytes came from a public upstream or from its own, because a
/// forged manifest in one upstream must not open what another keeps private.
fn grants_access(
    provenance: Provenance,
    origin: &Origin,
    confirmed_by: &[Origin],
    is_public: impl Fn(&UpstreamName) -> bool,
) -> bool {
    match provenance {
        Provenance::Confirmed => true,
        Provenance::Unknown => false,
        Provenance::Referenced => confirmed_by.iter().any(|source| match (source, origin) {
            (Origin::Upstream { upstream, .. }, Origin::Upstream { upstream: own, .. }) => {
                upstream == own || is_public(upstream)
            }
            (Origin::Upstream { upstream, .. }, Origin::Local(_)) => is_public(upstream),
            (Origin::Local(_), _) => false,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_manifest_opens_nothing() {
        let of = |upstream: &str| Origin::Upstream {
            upstream: upstream.parse().unwrap(),
            name: "a/b".parse().unwrap(),
        };
        let public = |name: &UpstreamName| name.as_str() == "public";
        let grants =
            |by: &str| grants_access(Provenance::Referenced, &of("mine"), &[of(by)], public);
        assert!(!grants("private"));
        assert!(grants("public"));
        assert!(grants("mine"));
        assert!(grants_access(
            Provenance::Confirmed,
            &of("mine"),
            &[],
            public
        ));
        assert!(!grants_access(
            Provenance::Unknown,
            &of("mine"),
            &[of("public")],
            public
        ));
    }
}
