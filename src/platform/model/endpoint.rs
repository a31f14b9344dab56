//! A mirror's address in a node's file, and its route target and upstream.

use std::net::IpAddr;

use super::imported::{CertificateAuthority, Imported, ImportedUpstream};
use crate::{
    oci::{Registry, RepositoryName, UpstreamName},
    platform::{
        model::context::ImportContext,
        reading::{
            diagnostic::{Diagnostic, DiagnosticCode, Severity},
            location::Location,
            node::Scalar,
        },
    },
    route::{LibraryPrefix, TargetText},
};

/// What a missing scheme means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::platform) enum SchemeDefault {
    /// `https://`; `http://` for this machine.
    HttpIfLocal,
    /// `https://`.
    Https,
    /// An error.
    Required,
}

/// What an address's path means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::platform) enum ApiPathRule {
    /// `/v2` is appended, unless the path ends in it.
    Append,
    /// The path is everything before the repository's name.
    AsIs,
    /// As `AsIs`, but an empty path means `/v2`.
    AsIsOrV2,
    /// As `AsIs`, but an empty path or a lone slash means `/v2`.
    AsIsBelowRoot,
}

/// A mirror's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::platform) struct MirrorEndpoint {
    /// Without its scheme's default port.
    pub(in crate::platform) host: Registry,
    pub(in crate::platform) is_tls: bool,
    /// `/v2`, or the path in its place; `/` for none.
    api_path: String,
    /// The folder of repositories below the API path; may be empty.
    prefix: String,
}

/// A mirror's settings besides its address. The defaults are those of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::platform) struct HostSettings {
    pub(in crate::platform) send_ns: bool,
    pub(in crate::platform) is_verified: bool,
    pub(in crate::platform) ca: Option<CertificateAuthority>,
    /// Files of the client certificate and its key.
    pub(in crate::platform) client: Option<(String, String)>,
}

impl Default for HostSettings {
    fn default() -> Self {
        Self {
            send_ns: false,
            is_verified: true,
            ca: None,
            client: None,
        }
    }
}

impl MirrorEndpoint {
    /// Parses `[SCHEME://]HOST[:PORT][/PATH]`.
    ///
    /// # Errors
    /// The reason; credentials in the address are not repeated.
    pub(in crate::platform) fn read(
        scalar: &Scalar,
        scheme: SchemeDefault,
        base: ApiPathRule,
    ) -> Result<Self, Diagnostic> {
        let report = |error: MirrorEndpointError| {
            let diagnostic = Diagnostic::new(error.code, &scalar.start, error.message);
            let diagnostic = if scalar.text.contains(['@', '?', '#']) {
                diagnostic
            } else {
                diagnostic.excerpt(&scalar.text)
            };
            diagnostic.fix(error.fix)
        };
        Self::parse(scalar.text.trim(), scheme, base).map_err(report)
    }

    /// The registry's own address, as in containerd.
    pub(in crate::platform) fn of(registry: &Registry) -> Self {
        Self {
            host: registry.clone(),
            is_tls: !is_local(registry),
            api_path: V2.to_owned(),
            prefix: String::new(),
        }
    }

    /// The scope of credentials for it.
    pub(in crate::platform) fn credential_scope(&self) -> String {
        match self.prefix.as_str() {
            "" => self.host.to_string(),
            prefix => format!("{}/{prefix}", self.host),
        }
    }

    /// Whether it is a whole registry, and not a folder of one.
    pub(in crate::platform) fn is_whole(&self, registry: &Registry) -> bool {
        self.host == *registry && self.api_path == V2 && self.prefix.is_empty()
    }

    fn parse(
        text: &str,
        scheme: SchemeDefault,
        base: ApiPathRule,
    ) -> Result<Self, MirrorEndpointError> {
        let (written, rest) = match text.split_once("://") {
            Some((written, rest)) => (Some(written.to_ascii_lowercase()), rest),
            None => (None, text),
        };
        let (authority, path) = match rest.find('/').and_then(|at| rest.split_at_checked(at)) {
            Some((authority, path)) => (authority, path),
            None => (rest, ""),
        };
        if authority.contains('@') {
            return Err(CREDENTIALS_IN_URL);
        }
        if rest.contains(['?', '#']) {
            return Err(QUERY_IN_URL);
        }
        let host: Registry = authority.parse().map_err(|_invalid| MISSING_HOST)?;
        let is_tls = match (written.as_deref(), scheme) {
            (Some("https"), _) | (None, SchemeDefault::Https) => true,
            (Some("http"), _) => false,
            (None, SchemeDefault::HttpIfLocal) => !is_local(&host),
            (Some(_), _) => return Err(UNKNOWN_SCHEME),
            (None, SchemeDefault::Required) => return Err(MISSING_SCHEME),
        };
        let default_port = if is_tls { ":443" } else { ":80" };
        let host = host
            .as_str()
            .strip_suffix(default_port)
            .and_then(|bare| bare.parse().ok())
            .unwrap_or(host);
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
        let elements = path.split('/').filter(|element| !element.is_empty());
        let mut elements: Vec<&str> = elements.collect();
        if elements
            .iter()
            .any(|element| matches!(*element, "." | "..") || !element.bytes().all(sound))
        {
            return Err(INVALID_PATH);
        }
        match base {
            ApiPathRule::Append if elements.last() == Some(&"v2") => {}
            ApiPathRule::Append => elements.push("v2"),
            ApiPathRule::AsIsOrV2 if path.is_empty() => elements.push("v2"),
            ApiPathRule::AsIsBelowRoot if elements.is_empty() => elements.push("v2"),
            ApiPathRule::AsIs | ApiPathRule::AsIsOrV2 | ApiPathRule::AsIsBelowRoot => {}
        }
        let path = format!("/{}", elements.join("/"));
        // With the API at `/v2`, the rest of the path is a folder of the registry.
        let folder = path.strip_prefix("/v2/").map(str::parse::<RepositoryName>);
        let (api_path, prefix) = match folder {
            Some(Ok(prefix)) => (V2.to_owned(), prefix.to_string()),
            _ => (path, String::new()),
        };
        Ok(Self {
            host,
            is_tls,
            api_path,
            prefix,
        })
    }

    fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        let host = if self.host.is_docker_hub() {
            "registry-1.docker.io"
        } else {
            self.host.as_str()
        };
        format!("{scheme}://{host}")
    }

    /// The host, or host and path as a valid name.
    fn name(&self, number: usize) -> Option<UpstreamName> {
        let mut name = self.host.to_string();
        if self.api_path != V2 {
            name += &self.api_path.replace('/', "_").replace('~', "-");
        }
        if number > 1 {
            name = format!("{name}_{number}");
        }
        // In the form that the configuration parses.
        let name = match name.parse::<Registry>() {
            Ok(registry) => registry.to_string(),
            Err(_) => name.to_ascii_lowercase(),
        };
        name.parse().ok()
    }
}

impl Imported {
    /// The route target of a mirror. Mirrors at one host that differ in anything else get different
    /// names.
    pub(in crate::platform) fn add_endpoint(
        &mut self,
        location: &Location,
        endpoint: &MirrorEndpoint,
        settings: &HostSettings,
    ) -> Option<String> {
        let target = |name: &UpstreamName| match endpoint.prefix.as_str() {
            "" => name.to_string(),
            prefix => format!("{name}/{prefix}"),
        };
        for number in 1..=self.upstreams.len() + 1 {
            let Some(name) = endpoint.name(number) else {
                self.report(Diagnostic::new(
                    DiagnosticCode::Value,
                    location,
                    "the address is too long",
                ));
                return None;
            };
            let is_plain = endpoint.is_tls && name.as_str() == endpoint.host.as_str();
            let urls = if is_plain && Registry::looks_like(name.as_str()) {
                Vec::new()
            } else {
                vec![endpoint.url()]
            };
            let upstream = ImportedUpstream {
                name,
                urls,
                api_path: Some(endpoint.api_path.clone()).filter(|path| path != V2),
                send_ns: settings.send_ns,
                ca: settings.ca.clone(),
                client: settings.client.clone(),
                is_verified: settings.is_verified,
                location: location.clone(),
            };
            match self
                .upstreams
                .iter()
                .find(|known| known.name == upstream.name)
            {
                Some(known) if known.has_same_settings(&upstream) => {
                    return Some(target(&upstream.name));
                }
                Some(_) => {}
                None => {
                    if !upstream.is_verified && upstream.ca.is_some() {
                        let message = "certificates are not verified, so the CA has no effect";
                        let diagnostic =
                            Diagnostic::new(DiagnosticCode::Authority, location, message);
                        let diagnostic = diagnostic.level(Severity::Warning);
                        self.report(diagnostic.fix("keep one of the two"));
                    }
                    let target = target(&upstream.name);
                    self.upstreams.push(upstream);
                    return Some(target);
                }
            }
        }
        None
    }
}

impl Imported {
    /// The target for a mirror of a registry, or of any, with requests as containerd sends them:
    /// with `ns` unless the mirror is that registry; `source` if it is the whole registry.
    pub(in crate::platform) fn add_mirror(
        &mut self,
        location: &Location,
        registry: Option<&Registry>,
        endpoint: &MirrorEndpoint,
        settings: HostSettings,
    ) -> Option<String> {
        let send_ns = registry != Some(&endpoint.host);
        let target = self.add_endpoint(
            location,
            endpoint,
            &HostSettings {
                send_ns,
                ..settings
            },
        )?;
        let is_source = registry
            .is_some_and(|registry| endpoint.is_whole(registry) && target == registry.as_str());
        Some(if is_source {
            "source".to_owned()
        } else {
            target
        })
    }
}

impl Imported {
    /// Adds the route for the mirrors of a registry, or of any registry, in the order of the node.
    pub(in crate::platform) fn route_mirrors(
        &mut self,
        location: &Location,
        registry: Option<&Registry>,
        mut to: Vec<TargetText>,
        context: &ImportContext<'_>,
    ) {
        if context.adds_source() {
            to.push("source".into());
        }
        let mut once: Vec<TargetText> = Vec::new();
        for target in to {
            let is_allowed = target.target != "source" || context.keeps_source();
            if is_allowed && !once.contains(&target) {
                once.push(target);
            }
        }
        if registry.is_none() && once.iter().any(|target| target.target == "source") {
            let message = "every requested name is fetched, from any registry";
            let fix = "import with fallback = \"deny\", or name the registries";
            self.report(Diagnostic::new(DiagnosticCode::Open, location, message).fix(fix));
        }
        let from = registry.map_or("*", Registry::as_str);
        // Nodes request full names only.
        self.route_to(location, from, once).library = LibraryPrefix::Keep;
    }
}

/// Whether a host is the local machine of the file's node.
pub(in crate::platform) fn is_local(host: &Registry) -> bool {
    let host = host.host().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

const V2: &str = "/v2";

/// An invalid address.
#[derive(Clone, Copy, Debug)]
struct MirrorEndpointError {
    code: DiagnosticCode,
    message: &'static str,
    fix: &'static str,
}

const CREDENTIALS_IN_URL: MirrorEndpointError = MirrorEndpointError {
    code: DiagnosticCode::Value,
    message: "an address must not contain credentials",
    fix: "remove the part before the @; credentials have keys of their own",
};
const QUERY_IN_URL: MirrorEndpointError = MirrorEndpointError {
    code: DiagnosticCode::Value,
    message: "a mirror's address must not have a query or a fragment",
    fix: "write https://HOST[:PORT][/PATH]",
};
const MISSING_HOST: MirrorEndpointError = MirrorEndpointError {
    code: DiagnosticCode::Reference,
    message: "the address has no host",
    fix: "write https://HOST[:PORT][/PATH]",
};
const UNKNOWN_SCHEME: MirrorEndpointError = MirrorEndpointError {
    code: DiagnosticCode::Scheme,
    message: "the scheme must be http or https",
    fix: "write https://HOST[:PORT][/PATH]",
};
const MISSING_SCHEME: MirrorEndpointError = MirrorEndpointError {
    code: DiagnosticCode::Scheme,
    message: "the address has no scheme",
    fix: "start it with https:// or http://",
};
const INVALID_PATH: MirrorEndpointError = MirrorEndpointError {
    code: DiagnosticCode::Value,
    message: "a path may contain letters, digits and . _ ~ - between slashes, and no ..",
    fix: "write https://HOST[:PORT][/PATH]",
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scalar(text: &str) -> Scalar {
        Scalar {
            text: text.to_owned(),
            start: Location::start("f"),
            is_plain: false,
            is_verbatim: true,
        }
    }

    /// `TARGET` and `URL API_PATH`, or the diagnostic.
    fn read(
        text: &str,
        scheme: SchemeDefault,
        base: ApiPathRule,
    ) -> Result<(String, String), String> {
        let endpoint = MirrorEndpoint::read(&scalar(text), scheme, base);
        let endpoint = endpoint.map_err(|diagnostic| diagnostic.to_string())?;
        let mut into = Imported::default();
        let target = into.add_endpoint(&Location::start("f"), &endpoint, &HostSettings::default());
        let target = target.ok_or("too long")?;
        let known = &into.upstreams[0];
        let url = known.urls.first().map_or("", String::as_str);
        let api_path = known.api_path.as_deref().unwrap_or("");
        Ok((target, format!("{url} {api_path}")))
    }

    #[test]
    fn addresses_become_targets_and_upstreams() {
        use ApiPathRule::{Append, AsIs, AsIsOrV2};
        for (text, rule, target, upstream) in [
            ("https://m.corp", Append, "m.corp", " "),
            ("https://M.corp:443/", Append, "m.corp", " "),
            ("m.corp", AsIsOrV2, "m.corp", " "),
            ("http://m.corp:80", Append, "m.corp", "http://m.corp "),
            ("https://mirror", Append, "mirror", "https://mirror "),
            (
                "localhost:5000",
                Append,
                "localhost:5000",
                "http://localhost:5000 ",
            ),
            ("[::1]:5000", Append, "[::1]:5000", "http://[::1]:5000 "),
            ("https://x.y/v2/a/b", AsIs, "x.y/a/b", " "),
            ("https://x.y/v2/a", Append, "x.y/a/v2", " "),
            ("https://x.y/v2/A", AsIs, "x.y_v2_a", "https://x.y /v2/A"),
            ("https://x.y/us", Append, "x.y_us_v2", "https://x.y /us/v2"),
            (
                "https://x.y/us/v2/",
                Append,
                "x.y_us_v2",
                "https://x.y /us/v2",
            ),
            ("https://x.y/us", AsIs, "x.y_us", "https://x.y /us"),
            ("https://x.y/us", AsIsOrV2, "x.y_us", "https://x.y /us"),
            // Both leave the API out altogether.
            ("https://x.y/", AsIsOrV2, "x.y_", "https://x.y /"),
            ("https://x.y", AsIs, "x.y_", "https://x.y /"),
            (
                "https://x.y:5000/p",
                AsIs,
                "x.y:5000_p",
                "https://x.y:5000 /p",
            ),
            ("https://registry-1.docker.io", Append, "docker.io", " "),
        ] {
            let found = read(text, SchemeDefault::HttpIfLocal, rule).unwrap();
            assert_eq!(found, (target.to_owned(), upstream.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_says_why_and_shows_no_login() {
        let check = |text: &str, want: &str| {
            let found = read(text, SchemeDefault::Required, ApiPathRule::Append).unwrap_err();
            assert!(
                found.starts_with(&format!("f:1:1: {want}")),
                "{text}: {found}"
            );
            assert!(!found.contains("canary"), "{found}");
        };
        check("m.corp", "E-SCHEME: the address has no scheme: \"m.corp\"");
        check("ftp://m.corp", "E-SCHEME: the scheme must be http or https");
        check(
            "https://u:canary@m.corp",
            "E-VALUE: an address must not contain credentials;",
        );
        check(
            "u:canary@m.corp",
            "E-VALUE: an address must not contain credentials;",
        );
        check("https://m.corp/?key=canary", "E-VALUE: a mirror's");
        check("https://m.corp?key=canary", "E-VALUE: a mirror's");
        check("https://m.corp/a/../b", "E-VALUE: a path may");
        check("https://m.corp/a b", "E-VALUE: a path may");
        check("https://m.corp:0", "E-REF: the address has no host");
        check("https://", "E-REF: the address has no host");
        check("https:///v2", "E-REF: the address has no host");
        check("", "E-REF: the address has no host");
    }

    #[test]
    fn mirrors_at_one_host_that_differ_get_different_names() {
        let mut into = Imported::default();
        let mut target = |text: &str, settings: &HostSettings| {
            let endpoint =
                MirrorEndpoint::read(&scalar(text), SchemeDefault::Https, ApiPathRule::Append)
                    .unwrap();
            into.add_endpoint(&Location::start("f"), &endpoint, settings)
                .unwrap()
        };
        let plain = HostSettings::default();
        let unverified = HostSettings {
            is_verified: false,
            ..HostSettings::default()
        };
        assert_eq!(target("m.corp", &plain), "m.corp");
        assert_eq!(target("m.corp/v2/a", &plain), "m.corp/a/v2");
        assert_eq!(target("m.corp", &unverified), "m.corp_2");
        assert_eq!(target("http://m.corp", &plain), "m.corp_3");
        assert_eq!(target("https://m.corp/", &unverified), "m.corp_2");
        assert_eq!(target("m.corp/p/q", &plain), "m.corp_p_q_v2");
        assert_eq!(target("m.corp/p_q", &plain), "m.corp_p_q_v2_2");
        let urls: Vec<_> = into.upstreams.iter().map(|one| one.urls.concat()).collect();
        let https = "https://m.corp";
        assert_eq!(urls, ["", https, "http://m.corp", https, https]);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,60}", path in "[/a-z.:v2@]{0,30}") {
            for text in [text, format!("https://m.corp{path}")] {
                for base in [ApiPathRule::Append, ApiPathRule::AsIs, ApiPathRule::AsIsOrV2, ApiPathRule::AsIsBelowRoot] {
                    let _found = read(&text, SchemeDefault::HttpIfLocal, base);
                }
            }
        }
    }
}
