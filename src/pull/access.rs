//! Who may see a kept blob: knowing a digest is not enough.

use super::{PullError, Puller};
use crate::{
    oci::{Digest, Origin, UpstreamName},
    store::Provenance,
};

impl Puller {
    /// Whether one of a name's origins has the right to hand out a kept blob.
    pub(super) async fn may_serve(
        &self,
        origins: &[Origin],
        digest: &Digest,
    ) -> Result<bool, PullError> {
        let store = &self.0.store;
        for origin in origins {
            let standing = store.provenance(digest, origin).await?;
            let confirmed_by = match standing {
                Provenance::Referenced => store.confirmed_by(digest).await?,
                Provenance::Confirmed | Provenance::Unknown => Vec::new(),
            };
            let is_public = |name: &UpstreamName| self.0.directory.is_public(name);
            if grants_access(standing, origin, &confirmed_by, is_public) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The rule: an origin that delivered or confirmed a blob may hand it out. One whose manifests
/// merely name it may do so if the bytes came from a public upstream or from its own, because a
/// forged manifest in one upstream must not open what another keeps private.
fn grants_access(
    standing: Provenance,
    origin: &Origin,
    confirmed_by: &[Origin],
    is_public: impl Fn(&UpstreamName) -> bool,
) -> bool {
    match standing {
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
        let named =
            |by: &str| grants_access(Provenance::Referenced, &of("mine"), &[of(by)], public);
        assert!(!named("private"));
        assert!(named("public"));
        assert!(named("mine"));
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
