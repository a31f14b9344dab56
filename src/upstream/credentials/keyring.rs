//! Whose login goes where. Pure.

use std::{fmt, str::FromStr, sync::Arc};

use thiserror::Error;

use super::scope::{HostPattern, HostPort};
use crate::{
    oci::{RepositoryName, UpstreamName},
    secret::Secret,
};

/// What Docker's programs keep Docker Hub's login under.
const DOCKER_HUB_SERVER: &str = "https://index.docker.io/v1/";

/// Logins and what they are for; the longest place that fits wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keyring(Arc<[KeyringEntry]>);

/// One login and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyringEntry {
    /// What it is for.
    pub scope: CredentialScope,
    /// Where it comes from.
    pub source: CredentialSource,
}

/// `HOST[:PORT][/PATH]`: a part of a registry. Within a label of the host, `*` is any text,
/// `?` one letter, and `[a-z]` one of these letters.
///
/// No port means https's own, 443, which may be written as well; every other port must be the
/// same. The path covers whole elements of a repository's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CredentialScope {
    host: HostPattern,
    path: Vec<String>,
}

/// Not written as a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "a place is written HOST[:PORT][/PATH]; *, ? and [a-z] stand for text within one label of the host"
)]
pub struct InvalidCredentialScope;

/// Where a login comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialSource {
    /// From the configuration and its files.
    Static(Credential),
    /// From a program that speaks Docker's credential helper protocol, each time it is needed.
    Helper {
        /// Its name: `docker-credential-NAME` is run.
        name: String,
        /// What it is asked for. Empty in the configuration's whole keyring where the place fits
        /// several hosts; [`Keyring::for_registry`] fills it in.
        server: String,
    },
}

/// What we log in with. Two are equal only if their secrets are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Credential {
    /// A user name and a password, by Basic authentication, to the registry or its token service.
    Password {
        /// The user name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A refresh token, which the token service takes for tokens.
    Refresh(Secret),
    /// A token that is sent as it is.
    Token(Secret),
}

impl Keyring {
    /// Takes the logins; of equal places the first wins.
    pub fn new(entries: Vec<KeyringEntry>) -> Self {
        Self(entries.into())
    }

    /// All of them, in the order given.
    pub fn entries(&self) -> &[KeyringEntry] {
        &self.0
    }

    /// The login for a repository of a registry that is called by these names (its own, and those
    /// of its endpoints, each `HOST[:PORT]`): the longest path, then a host before a pattern, then
    /// the order given.
    pub fn find(&self, hosts: &[&str], name: &RepositoryName) -> Option<&KeyringEntry> {
        self.best(hosts, |place| place.covers(name))
    }

    /// The login for such a registry as a whole.
    pub fn find_for_registry(&self, hosts: &[&str]) -> Option<&KeyringEntry> {
        self.best(hosts, |place| place.path.is_empty())
    }

    fn best(
        &self,
        hosts: &[&str],
        covers: impl Fn(&CredentialScope) -> bool,
    ) -> Option<&KeyringEntry> {
        let fits = |entry: &&KeyringEntry| {
            covers(&entry.scope) && entry.scope.matching_host(hosts).is_some()
        };
        // Of equal ones the last is the greatest.
        let fitting = self.0.iter().rev().filter(fits);
        fitting.max_by_key(|entry| (entry.scope.path.len(), entry.scope.host.specificity()))
    }

    /// Whether there is any login for such a registry.
    pub fn has_any_for(&self, hosts: &[&str]) -> bool {
        self.0
            .iter()
            .any(|entry| entry.scope.matching_host(hosts).is_some())
    }

    /// The logins for one registry, so that another's new password changes nothing for it; `own`
    /// comes first and is for no other. Helpers of places with several hosts learn which it is.
    #[must_use]
    pub fn for_registry(&self, hosts: &[&str], own: Option<KeyringEntry>) -> Self {
        let concerning = self.0.iter().filter_map(|entry| {
            let host = entry.scope.matching_host(hosts)?;
            let mut entry = entry.clone();
            if let CredentialSource::Helper { name, server } = &entry.source
                && server.is_empty()
            {
                entry.source = CredentialSource::helper(name, host);
            }
            Some(entry)
        });
        own.into_iter().chain(concerning).collect::<Vec<_>>().into()
    }
}

impl From<Vec<KeyringEntry>> for Keyring {
    fn from(entries: Vec<KeyringEntry>) -> Self {
        Self::new(entries)
    }
}

impl CredentialSource {
    /// A helper that is asked for `HOST[:PORT]`, under the name that `docker login` stores it by.
    pub fn helper(name: &str, host: &str) -> Self {
        let server = if HostPort::from_text(host).is_docker_hub() {
            DOCKER_HUB_SERVER
        } else {
            host
        };
        Self::Helper {
            name: name.to_owned(),
            server: server.to_owned(),
        }
    }

    /// Whether text can be a helper's name; it becomes a part of a program's.
    pub fn is_helper_name(text: &str) -> bool {
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !text.is_empty() && text.len() <= 64 && text.bytes().all(sound)
    }
}

impl Credential {
    /// Whom we log in as, as far as it can be said without a secret.
    pub fn username(&self) -> &str {
        match self {
            Self::Password { username, .. } => username,
            Self::Refresh(_) | Self::Token(_) => "<token>",
        }
    }
}

impl CredentialScope {
    /// An upstream by the name that it has in the configuration.
    pub fn of_upstream(name: &UpstreamName) -> Self {
        Self {
            host: HostPattern::Exact(HostPort::from_text(name.as_str())),
            path: Vec::new(),
        }
    }

    /// Every host, where no other place fits.
    pub fn any_host() -> Self {
        Self {
            host: HostPattern::Any,
            path: Vec::new(),
        }
    }

    /// Whether it is every host.
    pub fn is_any_host(&self) -> bool {
        self.host == HostPattern::Any
    }

    /// Host and port, if there is only one.
    pub fn host(&self) -> Option<String> {
        match &self.host {
            HostPattern::Exact(address) => Some(address.to_string()),
            HostPattern::Glob(_) | HostPattern::Any => None,
        }
    }

    /// The path as the name of a repository, or of the folder that repositories are in.
    pub fn path(&self) -> Option<RepositoryName> {
        self.path.join("/").parse().ok()
    }

    /// The first of a registry's names that it fits.
    fn matching_host<'h>(&self, hosts: &[&'h str]) -> Option<&'h str> {
        hosts.iter().copied().find(|host| self.host.matches(host))
    }

    fn covers(&self, name: &RepositoryName) -> bool {
        let mut elements = name.elements();
        self.path
            .iter()
            .all(|element| elements.next() == Some(element.as_str()))
    }
}

impl FromStr for CredentialScope {
    type Err = InvalidCredentialScope;

    fn from_str(text: &str) -> Result<Self, InvalidCredentialScope> {
        let (host, path) = match text.split_once('/') {
            Some((host, path)) => (host, Some(path)),
            None => (text, None),
        };
        let path = match path {
            Some(path) => {
                let name: RepositoryName =
                    path.parse().map_err(|_invalid| InvalidCredentialScope)?;
                name.elements().map(str::to_owned).collect()
            }
            None => Vec::new(),
        };
        let host = HostPattern::parse(host).ok_or(InvalidCredentialScope)?;
        Ok(Self { host, path })
    }
}

impl fmt::Display for CredentialScope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            HostPattern::Exact(address) | HostPattern::Glob(address) => {
                write!(formatter, "{address}")?;
            }
            HostPattern::Any => formatter.write_str("every host")?,
        }
        self.path
            .iter()
            .try_for_each(|element| write!(formatter, "/{element}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(place: &str) -> KeyringEntry {
        let password = Secret::new("canary");
        KeyringEntry {
            scope: place.parse().unwrap(),
            source: CredentialSource::Static(Credential::Password {
                username: place.to_owned(),
                password,
            }),
        }
    }

    fn found<'a>(places: &'a [&str], hosts: &[&str], name: &str) -> Option<&'a str> {
        let entries: Vec<_> = places.iter().map(|place| entry(place)).collect();
        let keyring = Keyring::new(entries.clone());
        let found = match name {
            "" => keyring.find_for_registry(hosts)?.clone(),
            name => keyring.find(hosts, &name.parse().unwrap())?.clone(),
        };
        assert!(keyring.has_any_for(hosts));
        let at = entries.iter().position(|entry| *entry == found).unwrap();
        Some(places[at])
    }

    #[test]
    fn places_fit_hosts_ports_and_whole_elements() {
        for (place, host, name, fits) in [
            ("quay.io", "quay.io", "a/b", true),
            ("Quay.IO", "quay.io", "a/b", true),
            ("quay.io", "quay.io.example", "a", false),
            ("quay.io", "x.quay.io", "a", false),
            ("quay.io:443", "quay.io", "a", true),
            ("quay.io", "quay.io:443", "a", true),
            ("quay.io", "quay.io:5000", "a", false),
            ("quay.io:5000", "quay.io", "a", false),
            ("quay.io:5000", "quay.io:5000", "a", true),
            ("[::1]:5000", "[::1]:5000", "a", true),
            ("hub", "hub", "a", true),
            // S-08 and S-09: whole elements, unlike kubelet.
            ("reg.io/foo", "reg.io", "foo", true),
            ("reg.io/foo", "reg.io", "foo/x", true),
            ("reg.io/foo", "reg.io", "foobar/x", false),
            ("reg.io/foo/bar", "reg.io", "foo", false),
            // S-01 to S-06, S-12: as many labels on both sides.
            ("*.kubernetes.io", "prefix.kubernetes.io", "a", true),
            ("*.kubernetes.io", "kubernetes.io", "a", false),
            ("*.kubernetes.io", "a.prefix.kubernetes.io", "a", false),
            ("prefix.*.io/foo", "prefix.kubernetes.io", "foo/bar", true),
            ("prefix.*.io/foo", "prefix.kubernetes.io", "bar", false),
            ("k*.io", "quay.io", "a", false),
            ("q*y.io", "quay.io", "a", true),
            ("*u*a*.io", "quay.io", "a", true),
            ("*a*u*.io", "quay.io", "a", false),
            ("qu*uay.io", "quay.io", "a", false),
            ("*.corp:5000", "a.corp:5000", "a", true),
            ("*.corp:5000", "a.corp", "a", false),
            ("*.corp:443", "a.corp", "a", true),
            ("reg?.corp", "reg1.corp", "a", true),
            ("reg?.corp", "reg.corp", "a", false),
            ("reg-[a-c].corp", "reg-b.corp", "a", true),
            ("reg-[a-c].corp", "reg-d.corp", "a", false),
            ("reg-[^a-c]*.corp", "reg-dd.corp", "a", true),
            ("reg-[^a-c]*.corp", "reg-a.corp", "a", false),
            ("[qx]uay.io", "quay.io", "a", true),
        ] {
            let expected = fits.then_some(place);
            assert_eq!(found(&[place], &[host], name), expected, "{place} {host}");
        }
    }

    #[test]
    fn q46_docker_hubs_names_are_one() {
        let names = ["docker.io", "index.docker.io", "registry-1.docker.io"];
        for place in names {
            for host in names {
                assert_eq!(found(&[place], &[host], "library/a"), Some(place));
            }
            assert_eq!(place.parse::<CredentialScope>(), "docker.io".parse());
            assert_eq!(found(&[place], &["hub.docker.io"], "library/a"), None);
        }
        // S-05: a pattern is about the host that is contacted.
        let hosts = ["docker.io", "registry-1.docker.io"];
        assert_eq!(found(&["*.docker.io"], &hosts, "a"), Some("*.docker.io"));
    }

    #[test]
    fn the_longest_path_wins_then_a_host_then_the_order() {
        let hosts = ["mirror", "my.local"];
        for (places, name, best) in [
            (
                &["my.local", "my.local/foo/bar/image", "my.local/foo"][..],
                "foo/zip",
                Some("my.local/foo"),
            ),
            (&["my.local", "my.local/foo"], "x", Some("my.local")),
            (&["*.local/foo", "my.local"], "foo/a", Some("*.local/foo")),
            (&["*.local", "my.local"], "foo/a", Some("my.local")),
            (&["m*.local", "*.local"], "foo/a", Some("m*.local")),
            (&["mirror", "my.local"], "a", Some("mirror")),
            (&["my.local", "mirror"], "a", Some("my.local")),
            (&["other.local", "my.local/b"], "a", None),
            // The registry as a whole.
            (&["my.local/a", "my.local"], "", Some("my.local")),
            (&["my.local/a"], "", None),
        ] {
            assert_eq!(found(places, &hosts, name), best, "{places:?}");
        }
    }

    #[test]
    fn what_is_no_place() {
        for text in [
            "",
            "/",
            "a.b/",
            "a.b//c",
            "/a",
            "https://a.b",
            "a.b/C",
            "a.b/c:1",
            "a.b:x",
            "reg[a.b",
            "reg[].b",
            "reg[a-].b",
            "a.b:0",
            "a.b:*",
            "*",
            "*:5000",
            "a..b",
            "*..b",
            "me:canary@a.b",
            "a.b/c?x",
            "[::g]",
            "a b",
        ] {
            assert_eq!(
                text.parse::<CredentialScope>(),
                Err(InvalidCredentialScope),
                "{text}"
            );
        }
        assert_eq!(
            "A.b:443/c/d"
                .parse::<CredentialScope>()
                .unwrap()
                .to_string(),
            "a.b/c/d"
        );
    }

    #[test]
    fn a_helper_of_many_hosts_is_asked_for_the_one() {
        let helper = |place: CredentialScope, server: &str| KeyringEntry {
            scope: place,
            source: CredentialSource::Helper {
                name: "x".into(),
                server: server.into(),
            },
        };
        let ecr = "*.dkr.ecr.*.amazonaws.com";
        let keyring = Keyring::new(vec![
            helper(CredentialScope::any_host(), ""),
            helper(ecr.parse().unwrap(), ""),
            entry("quay.io"),
        ]);
        let server = |hosts: &[&str]| {
            let narrowed = keyring.for_registry(hosts, None);
            let found = narrowed.find_for_registry(hosts).unwrap();
            match &found.source {
                CredentialSource::Helper { server, .. } => server.clone(),
                CredentialSource::Static(credential) => credential.username().to_owned(),
            }
        };
        let account = "1.dkr.ecr.eu-west-1.amazonaws.com";
        assert_eq!(server(&["ecr", account]), account);
        assert_eq!(server(&["quay.io"]), "quay.io");
        assert_eq!(server(&["docker.io"]), "https://index.docker.io/v1/");
        assert_eq!(server(&["hub", "10.0.0.7:5000"]), "10.0.0.7:5000");
        assert!(!keyring.for_registry(&["hub"], None).has_any_for(&["hub"]));
        // Credentials of another registry are left out.
        assert_eq!(keyring.for_registry(&["ghcr.io"], None).entries().len(), 1);
    }

    #[test]
    fn t35_nothing_prints_a_secret() {
        let mut entries = vec![entry("a.b")];
        for credential in [Credential::Refresh, Credential::Token] {
            let source = CredentialSource::Static(credential(Secret::new("canary")));
            entries.push(KeyringEntry {
                scope: CredentialScope::any_host(),
                source,
            });
        }
        let text = format!("{:?} {:#?}", entries, Keyring::new(entries.clone()));
        assert!(!text.contains("canary"), "{text}");
    }
}
