//! containerd's `certs.d`: a folder for each registry, with its mirrors in `hosts.toml`.

use crate::{
    oci::Registry,
    platform::{
        model::{
            auth,
            context::ImportContext,
            endpoint::{ApiPathRule, HostSettings, MirrorEndpoint, SchemeDefault},
            imported::{CertificateAuthority, Imported},
        },
        reading::{
            diagnostic::{Diagnostic, DiagnosticCode},
            document::{InputDocument, trees},
            location::Location,
            node::{Node, NodeKind, Scalar},
        },
    },
    route::{RefKind, TargetText},
    secret::Secret,
    upstream::Credential,
};

/// A file and the registry that its folder is for.
struct HostsFile<'p> {
    node: &'p Node,
    folder: HostsFolder<'p>,
}

struct HostsFolder<'p> {
    /// The folder's path, for files in it.
    path: &'p str,
    /// `None`: all without their own folder.
    registry: Option<Registry>,
    /// `host_port_`, which containerd reads before `host:port`.
    is_first: bool,
}

/// Whether a document is in this format.
pub(in crate::platform) fn detects(document: &InputDocument<'_>) -> bool {
    document.has_any(&[&["host"], &["server"]])
}

pub(in crate::platform) fn import(
    documents: &[InputDocument<'_>],
    context: &ImportContext<'_>,
    into: &mut Imported,
) {
    let mut files = Vec::new();
    for node in trees(documents) {
        match HostsFolder::of(node) {
            Ok(folder) => files.push(HostsFile { node, folder }),
            Err(diagnostic) => into.report(diagnostic),
        }
    }
    for file in &files {
        let hiding = files.iter().find(|other| other.folder.hides(&file.folder));
        if let Some(other) = hiding {
            let message = format!("containerd reads {} only", other.node.location.file);
            let diagnostic = Diagnostic::new(DiagnosticCode::Ignored, &file.node.location, message);
            into.report(diagnostic.fix("move it there, or remove it"));
            continue;
        }
        file.read(context, into);
    }
}

impl<'p> HostsFolder<'p> {
    /// The folder of a file, from the file's path.
    fn of(node: &'p Node) -> Result<Self, Diagnostic> {
        let (path, _) = node.location.file.rsplit_once('/').unwrap_or_default();
        let name = path.rsplit('/').next().unwrap_or_default();
        let written = name.strip_suffix('_').and_then(|name| {
            let (host, port) = name.rsplit_once('_')?;
            Some(format!("{host}:{port}"))
        });
        let registry = written.as_deref().unwrap_or(name);
        let registry = match registry.parse::<Registry>() {
            _ if name == "_default" => None,
            Ok(found) if Registry::looks_like(registry) && registry != "certs.d" => Some(found),
            _ => {
                let message = "the file's folder must be named after a registry";
                let fix = "name it as it is on the node: certs.d/REGISTRY/hosts.toml, such as \
                           certs.d/docker.io/hosts.toml or certs.d/_default/hosts.toml";
                return Err(
                    Diagnostic::new(DiagnosticCode::Value, &node.location, message).fix(fix),
                );
            }
        };
        if registry.as_ref().is_some_and(Registry::is_docker_hub) && name != "docker.io" {
            let message = "images on Docker Hub are looked up in certs.d/docker.io only";
            let diagnostic =
                Diagnostic::new(DiagnosticCode::Misplaced, &node.location, message).excerpt(name);
            return Err(diagnostic.fix("rename the folder to docker.io"));
        }
        Ok(Self {
            path,
            registry,
            is_first: written.is_some(),
        })
    }

    fn hides(&self, other: &Self) -> bool {
        let above = |folder: &Self| {
            folder
                .path
                .rsplit_once('/')
                .map(|(above, _)| above.to_owned())
        };
        let is_same = self.registry == other.registry && above(self) == above(other);
        is_same && self.is_first && !other.is_first
    }
}

impl HostsFile<'_> {
    fn read(&self, context: &ImportContext<'_>, into: &mut Imported) {
        let mut to: Vec<TargetText> = Vec::new();
        for (key, node) in self.hosts(into) {
            if let Some(target) = self.target(key, node, into) {
                to.push(target);
            }
        }
        to.extend(self.server_target(into));
        let registry = self.folder.registry.as_ref();
        into.route_mirrors(&self.node.location, registry, to, context);
    }

    /// `[host."URL"]`, in the order of the file.
    fn hosts(&self, into: &mut Imported) -> Vec<(&Scalar, &Node)> {
        let Some(hosts) = self.node.get("host") else {
            return Vec::new();
        };
        if !hosts.is_mapping() {
            into.report(hosts.wrong_type("host must be a table of tables, [host.\"URL\"]"));
        }
        let (tables, others): (Vec<_>, Vec<_>) =
            hosts.entries().partition(|(_, host)| host.is_mapping());
        for (_, other) in others {
            into.report(other.wrong_type("a host must be a table"));
        }
        tables
    }

    /// The target after the hosts: `server`, or the registry itself.
    fn server_target(&self, into: &mut Imported) -> Option<TargetText> {
        let server = self.node.string("server", &mut into.diagnostics);
        match server.filter(|server| !server.text.is_empty()) {
            Some(server) => self.target(server, self.node, into),
            None => match &self.folder.registry {
                Some(registry) => {
                    let endpoint = MirrorEndpoint::of(registry);
                    self.host_target(&self.node.location, &endpoint, self.node, into)
                }
                None => Some("source".into()),
            },
        }
    }

    /// The target for a host or a server, with the settings in `node`.
    fn target(&self, url: &Scalar, node: &Node, into: &mut Imported) -> Option<TargetText> {
        let is_whole = node.flag("override_path", &mut into.diagnostics);
        let base = match is_whole {
            Some(true) => ApiPathRule::AsIs,
            _ => ApiPathRule::Append,
        };
        match MirrorEndpoint::read(url, SchemeDefault::Https, base) {
            Ok(endpoint) => self.host_target(&url.start, &endpoint, node, into),
            Err(diagnostic) => {
                into.report(diagnostic);
                None
            }
        }
    }

    fn host_target(
        &self,
        location: &Location,
        endpoint: &MirrorEndpoint,
        node: &Node,
        into: &mut Imported,
    ) -> Option<TargetText> {
        let ref_kind = ref_kind(location, node, into)?;
        let _checked = node.string("dial_timeout", &mut into.diagnostics);
        let skips_verification = node.flag("skip_verify", &mut into.diagnostics);
        let host_settings = HostSettings {
            is_verified: skips_verification != Some(true),
            ca: self.ca(node, into),
            client: self.client(node, into),
            ..HostSettings::default()
        };
        let registry = self.folder.registry.as_ref();
        let target = into.add_mirror(location, registry, endpoint, host_settings)?;
        header_credentials(endpoint, node, into);
        Some(TargetText {
            ref_kind,
            ..target.as_str().into()
        })
    }

    fn ca(&self, node: &Node, into: &mut Imported) -> Option<CertificateAuthority> {
        let mut files = node.strings("ca", &mut into.diagnostics).into_iter();
        let first = files.next()?;
        if let Some(next) = files.next() {
            let message = "only the first CA file is used";
            let diagnostic = Diagnostic::new(DiagnosticCode::Ignored, &next.start, message);
            into.report(diagnostic.fix("put all certificates into one file"));
        }
        Some(CertificateAuthority::File(self.path(&first.text)))
    }

    /// `FILE`, `[FILE, …]` or `[[CERTIFICATE, KEY], …]`; a single file has both.
    fn client(&self, node: &Node, into: &mut Imported) -> Option<(String, String)> {
        let client = node.get("client")?;
        let mut pairs: Vec<(&Location, String, String)> = Vec::new();
        let items = match &client.kind {
            NodeKind::Sequence(items) => items.as_slice(),
            _ => std::slice::from_ref(client),
        };
        for item in items {
            let texts: Option<Vec<&str>> = match &item.kind {
                NodeKind::Scalar(scalar) => Some(vec![&scalar.text]),
                _ => item.items().iter().map(Node::text).collect(),
            };
            match texts.as_deref() {
                Some([both] | [both, ""]) => {
                    pairs.push((&item.location, self.path(both), self.path(both)));
                }
                Some([certificate, key]) => {
                    pairs.push((&item.location, self.path(certificate), self.path(key)));
                }
                _ => into.report(item.wrong_type("client must be FILE or [CERTIFICATE, KEY]")),
            }
        }
        let mut pairs = pairs.into_iter();
        let (_, certificate, key) = pairs.next()?;
        if let Some((location, ..)) = pairs.next() {
            let message = "only the first client certificate is used";
            into.report(Diagnostic::new(DiagnosticCode::Ignored, location, message));
        }
        Some((certificate, key))
    }

    /// Relative paths start at the folder of `hosts.toml`.
    fn path(&self, file: &str) -> String {
        if file.starts_with('/') || self.folder.path.is_empty() {
            file.to_owned()
        } else {
            format!("{}/{file}", self.folder.path)
        }
    }
}

/// The references that a host is used for; `None`: it is not used.
fn ref_kind(location: &Location, node: &Node, into: &mut Imported) -> Option<RefKind> {
    let capabilities = node.strings("capabilities", &mut into.diagnostics);
    for capability in &capabilities {
        let known = ["pull", "resolve", "push", "referrers"];
        if !known.contains(&&*capability.text.to_ascii_lowercase()) {
            let message = "unknown capability";
            let diagnostic = Diagnostic::new(DiagnosticCode::Value, &capability.start, message);
            into.report(
                diagnostic
                    .excerpt(&capability.text)
                    .fix(format!("write any of {}", known.join(", "))),
            );
        }
    }
    let can = |what: &str| {
        let mut all = capabilities.iter();
        capabilities.is_empty() || all.any(|one| one.text.eq_ignore_ascii_case(what))
    };
    if !can("pull") {
        let message = "a host without the capability pull is not used";
        into.report(Diagnostic::new(DiagnosticCode::Ignored, location, message));
        return None;
    }
    Some(if can("resolve") {
        RefKind::Any
    } else {
        RefKind::Digest
    })
}

/// The credentials in `[host."URL".header]`.
fn header_credentials(endpoint: &MirrorEndpoint, node: &Node, into: &mut Imported) {
    let Some(headers) = node.get("header") else {
        return;
    };
    if !headers.is_mapping() {
        into.report(headers.wrong_type("header must be a table"));
    }
    for (key, _) in headers.entries() {
        if !key.text.eq_ignore_ascii_case("authorization") {
            let message = "only the authorization header is sent";
            let diagnostic = Diagnostic::new(DiagnosticCode::Ignored, &key.start, message);
            into.report(diagnostic.excerpt(&key.text));
            continue;
        }
        for value in headers.strings(&key.text, &mut into.diagnostics) {
            let credential = match value.text.split_once(' ') {
                Some((scheme, encoded)) if scheme.eq_ignore_ascii_case("basic") => {
                    auth::basic_credentials(encoded, &value.start)
                }
                Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                    Ok(Credential::Token(Secret::new(token.trim())))
                }
                _ => {
                    let message = "the authorization must be Basic or Bearer";
                    Err(Diagnostic::new(
                        DiagnosticCode::Value,
                        &value.start,
                        message,
                    ))
                }
            };
            match credential {
                Ok(credential) => {
                    into.add_credential(&value.start, &endpoint.credential_scope(), credential);
                }
                Err(diagnostic) => into.report(diagnostic),
            }
        }
    }
}
