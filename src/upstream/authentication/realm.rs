//! Which token services may be contacted, and which may receive credentials. Pure.

use std::fmt;

use reqwest::Url;
use thiserror::Error;

use crate::{
    connect::{self, AddressGuard},
    upstream::error::ProtocolViolation,
};

/// Longest address of a token service.
const BYTES_MAX: usize = 2048;

/// Token services of another domain than their registry's, as those registries name them: the
/// registry's domain, and the service's host.
const KNOWN_REALMS: [(&str, &str); 2] = [
    ("redhat.io", "sso.redhat.com"),
    ("nvcr.io", "authn.nvidia.com"),
];

/// Domains whose hosts are different customers' although the Public Suffix List does not say so.
const SHARED_DOMAINS: [&str; 5] = [
    "amazonaws.com",
    "azurecr.cn",
    "azurecr.io",
    "azurecr.us",
    "jfrog.io",
];

/// The address of a token service. Its query may be a secret, and is never printed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(in crate::upstream) struct Realm(Url);

/// Why a realm is not asked at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum UnusableRealm {
    /// No absolute address.
    #[error("its realm is not a URL")]
    NoAddress,
    /// Neither http nor https.
    #[error("its realm is neither http nor https")]
    Scheme,
    /// `user:password@`.
    #[error("its realm contains credentials")]
    Userinfo,
    /// `#`.
    #[error("its realm contains a fragment")]
    Fragment,
    /// From https to http.
    #[error("its realm is not https")]
    Downgrade,
    /// A literal address that the guard refuses.
    #[error("its realm is an address that must not be contacted")]
    Address,
}

impl Realm {
    /// Takes what a challenge says, if it is an address that could be asked.
    pub(super) fn parse(text: &str) -> Result<Self, UnusableRealm> {
        // The library would forgive blanks, backslashes and missing or further slashes.
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'<');
        let (scheme, rest) = text.split_once("://").ok_or(UnusableRealm::NoAddress)?;
        if text.len() > BYTES_MAX || !text.bytes().all(is_plain) || rest.starts_with('/') {
            return Err(UnusableRealm::NoAddress);
        }
        if !["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()) {
            return Err(UnusableRealm::Scheme);
        }
        let url: Url = text.parse().map_err(|_error| UnusableRealm::NoAddress)?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(UnusableRealm::Userinfo);
        }
        if url.fragment().is_some() {
            return Err(UnusableRealm::Fragment);
        }
        Ok(Self(url))
    }

    /// What a request is built on; the query is kept.
    pub(super) fn url(&self) -> &Url {
        &self.0
    }

    /// `SCHEME://HOST[:PORT]`, for people.
    pub(super) fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// Whether an endpoint may send us there, with or without a login.
    pub(super) fn check_allowed(
        &self,
        base: &Url,
        guard: &AddressGuard,
    ) -> Result<(), UnusableRealm> {
        if base.scheme() == "https" && self.0.scheme() != "https" {
            return Err(UnusableRealm::Downgrade);
        }
        match self.0.host_str() {
            Some(host) if guard.admits_literal(host) => Ok(()),
            Some(_) => Err(UnusableRealm::Address),
            None => Err(UnusableRealm::NoAddress),
        }
    }

    /// Whether our login for an endpoint may be sent there: to its own host and its registrable
    /// domain, to the known service of its domain, and to what the configuration lists.
    pub(super) fn may_receive_credentials(&self, base: &Url, listed: &[String]) -> bool {
        let (Some(own), Some(host)) = (base.host_str(), self.0.host_str()) else {
            return false;
        };
        let domain = base.domain().and_then(psl::domain_str);
        let theirs = self.0.domain().and_then(psl::domain_str);
        let is_sibling =
            || domain == theirs && domain.is_some_and(|domain| !SHARED_DOMAINS.contains(&domain));
        let is_known = || {
            KNOWN_REALMS
                .iter()
                .any(|known| Some(known.0) == domain && known.1 == host)
        };
        own == host || is_sibling() || is_known() || connect::is_allowed_host(listed, &self.0)
    }
}

impl fmt::Debug for Realm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.origin())
    }
}

impl From<UnusableRealm> for ProtocolViolation {
    fn from(why: UnusableRealm) -> Self {
        Self::Realm(why.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::{GuardPolicy, NamedBy, NetworkZone};

    /// Whether an endpoint's realm may be asked at all, and whether with our login.
    fn judge(base: &str, realm: &str, listed: &[&str]) -> Result<bool, UnusableRealm> {
        let base: Url = base.parse().unwrap();
        let listed: Vec<_> = listed.iter().map(|host| (*host).to_owned()).collect();
        let guard = AddressGuard::new(GuardPolicy {
            own_hosts: vec![base.host_str().unwrap().to_owned()],
            least_zone: NetworkZone::Public,
            named_by: NamedBy::Configuration,
            allowed_hosts: listed.clone(),
            proxy_hosts: Vec::new(),
        });
        let realm = Realm::parse(realm)?;
        realm.check_allowed(&base, &guard)?;
        Ok(realm.may_receive_credentials(&base, &listed))
    }

    #[test]
    fn t06_hostile_realms_get_no_login() {
        use UnusableRealm::{Address, Downgrade, Fragment, NoAddress, Scheme, Userinfo};
        let base = "https://registry.example.com";
        let rows = [
            ("https://evil.example.net/token", Ok(false)),
            ("https://registry.example.com.evil.net/token", Ok(false)),
            ("https://evilexample.com/token", Ok(false)),
            ("https://com/token", Ok(false)),
            ("https://example.co.uk/token", Ok(false)),
            ("https://\u{435}xample.com/token", Err(NoAddress)),
            ("https://xn--xample-2of.com/token", Ok(false)),
            ("https://8.8.8.8/token", Ok(false)),
            ("http://registry.example.com/token", Err(Downgrade)),
            ("http://evil.example.net/token", Err(Downgrade)),
            ("https://user:pw@registry.example.com/", Err(Userinfo)),
            ("https://registry.example.com@evil.net/", Err(Userinfo)),
            ("https://@registry.example.com/", Err(Userinfo)),
            ("https://registry.example.com/#x", Err(Fragment)),
            ("https://127.0.0.1/token", Err(Address)),
            ("https://2130706433/token", Err(Address)),
            ("https://0x7f.1/token", Err(Address)),
            ("https://[::1]/token", Err(Address)),
            ("https://[::ffff:169.254.169.254]/", Err(Address)),
            ("https://169.254.169.254/latest", Err(Address)),
            ("https://10.0.0.1/token", Err(Address)),
            ("file:///etc/passwd", Err(NoAddress)),
            ("ftp://registry.example.com/", Err(Scheme)),
            ("unix:/run/x", Err(NoAddress)),
            ("/token", Err(NoAddress)),
            ("//registry.example.com/token", Err(NoAddress)),
            ("https:/registry.example.com", Err(NoAddress)),
            ("https:///registry.example.com", Err(NoAddress)),
            ("https:\\\\registry.example.com", Err(NoAddress)),
            ("https://registry.example.com\\@evil.net/", Err(NoAddress)),
            (" https://registry.example.com/", Err(NoAddress)),
            ("https://registry.example.com/ x", Err(NoAddress)),
            ("https://registry.example.com:99999/", Err(NoAddress)),
            ("https://", Err(NoAddress)),
            ("", Err(NoAddress)),
        ];
        for (realm, want) in rows {
            assert_eq!(judge(base, realm, &[]), want, "{realm}");
        }
    }

    #[test]
    fn t06_other_customers_of_one_domain_get_no_login() {
        for domain in [
            "azurecr.io",
            "azurecr.us",
            "azurecr.cn",
            "jfrog.io",
            "amazonaws.com",
            "github.io",
            "blob.core.windows.net",
            "cloudfront.net",
            "s3.amazonaws.com",
            "us-east-1.elb.amazonaws.com",
            "eu-west-1.compute.amazonaws.com",
            "herokuapp.com",
            "pages.dev",
            "run.app",
            "web.app",
            "ngrok.io",
        ] {
            let (ours, theirs) = (
                format!("https://ours.{domain}"),
                format!("https://x.{domain}/"),
            );
            assert_eq!(judge(&ours, &theirs, &[]), Ok(false), "{domain}");
            assert_eq!(judge(&ours, &ours.clone(), &[]), Ok(true), "{domain}");
        }
    }

    #[test]
    fn q10_q11_q12_logins_go_to_the_registrys_own_services() {
        let rows = [
            (
                "https://registry-1.docker.io",
                "https://auth.docker.io/token",
            ),
            ("https://index.docker.io", "https://auth.docker.io/token"),
            ("https://ghcr.io", "https://ghcr.io/token"),
            ("https://quay.io", "https://quay.io/v2/auth"),
            ("https://gcr.io", "https://gcr.io/v2/token"),
            ("https://eu.gcr.io", "https://gcr.io/v2/token"),
            (
                "https://europe-docker.pkg.dev",
                "https://europe-docker.pkg.dev/v2/token",
            ),
            ("https://registry.gitlab.com", "https://gitlab.com/jwt/auth"),
            ("https://public.ecr.aws", "https://public.ecr.aws/token/"),
            ("https://x.azurecr.io", "https://x.azurecr.io/oauth2/token"),
            (
                "https://mcr.microsoft.com",
                "https://mcr.microsoft.com/oauth2/token",
            ),
            (
                "https://registry.redhat.io",
                "https://sso.redhat.com/auth/realms/rhcc",
            ),
            (
                "https://harbor.corp.example",
                "https://harbor.corp.example:8443/service/token",
            ),
            (
                "https://registry.corp.example",
                "https://sso.corp.example/token?x=1",
            ),
            ("https://harbor", "https://harbor/service/token"),
            ("http://10.0.0.5:5000", "http://10.0.0.5:5001/token"),
            ("http://registry.corp.example", "https://auth.corp.example/"),
        ];
        for (base, realm) in rows {
            assert_eq!(judge(base, realm, &[]), Ok(true), "{base} {realm}");
        }
    }

    #[test]
    fn t06_neighbours_are_no_relatives() {
        let rows = [
            // Hosts of a shared domain belong to different customers.
            ("https://a.azurecr.io", "https://b.azurecr.io/oauth2/token"),
            ("https://a.jfrog.io", "https://b.jfrog.io/"),
            ("https://a.github.io", "https://b.github.io/"),
            ("https://a.co.uk", "https://b.co.uk/"),
            ("https://harbor", "https://auth/"),
            ("https://harbor", "https://auth.harbor/"),
            ("https://10.0.0.5", "https://10.0.0.6/"),
            ("https://quay.io", "https://auth.docker.io/token"),
        ];
        for (base, realm) in rows {
            assert_eq!(judge(base, realm, &[]), Ok(false), "{base} {realm}");
        }
    }

    #[test]
    fn t06_listed_realms_are_trusted_by_host_or_by_host_and_port() {
        let check = |realm: &str, listed: &str, want| {
            assert_eq!(
                judge("https://r.example", realm, &[listed]),
                want,
                "{realm} {listed}"
            );
        };
        check("https://sso.else/", "sso.else", Ok(true));
        check("https://sso.else:8443/", "SSO.else", Ok(true));
        check("https://sso.else/", "sso.else:443", Ok(true));
        check("https://sso.else:8443/", "sso.else:443", Ok(false));
        check("https://a.sso.else/", "sso.else", Ok(false));
        check("https://10.0.0.1/", "10.0.0.1", Ok(true));
        check(
            "http://sso.else/",
            "sso.else",
            Err(UnusableRealm::Downgrade),
        );
        check(
            "https://169.254.169.254/",
            "169.254.169.254",
            Err(UnusableRealm::Address),
        );
    }

    #[test]
    fn t35_a_realms_query_is_not_printed() {
        let realm = Realm::parse("https://a.example/token?key=canary").unwrap();
        assert_eq!(format!("{realm:?}"), "https://a.example");
        assert_eq!(realm.url().query(), Some("key=canary"));
    }
}
