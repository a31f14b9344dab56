//! An import, written as our configuration.

mod credentials;
pub(super) mod secrets_folder;
mod toml;

use self::{
    secrets_folder::{SecretFile, SecretsFolder},
    toml::{TomlWriter, duration, list, string},
};
use super::{CertificateAuthority, Imported, ImportedUpstream, RegistryAlias};
use crate::route::{
    Action, LibraryPrefix, MatchText, RefKind, RefusalPolicy, RewriteText, RuleText, TargetText,
    UnmatchedPolicy,
};

/// A configuration, and the files that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenConfig {
    /// TOML that `serve` accepts as it is.
    pub toml: String,
    /// The files for the given folder, if there is one.
    pub files: Vec<SecretFile>,
    /// How many credentials are in comments only, because no folder was given.
    pub credentials_left_out: usize,
    /// How many CA certificates are.
    pub cas_left_out: usize,
}

/// Writes the configuration. Credentials and certificates go to files in `secrets_folder`, which
/// the configuration names by this path; without a folder they become comments, without secrets.
pub fn write(imported: &Imported, secrets_folder: Option<&str>) -> WrittenConfig {
    let mut toml = TomlWriter::default();
    let mut folder = SecretsFolder::new(secrets_folder);
    if let Some(unmatched) = imported.unmatched {
        let word = match unmatched {
            UnmatchedPolicy::Auto => "auto",
            UnmatchedPolicy::Deny => "deny",
            UnmatchedPolicy::Source => "source",
        };
        toml.entry("unmatched", &string(word));
    }
    aliases(&mut toml, &imported.aliases);
    let mut authorities_left_out = 0;
    for one in &imported.upstreams {
        authorities_left_out +=
            usize::from(upstream(&mut toml, one, &mut folder) == CaFileState::None);
    }
    let logins_left_out = credentials::write(&mut toml, &imported.credentials, &mut folder);
    for one in &imported.routes {
        route(&mut toml, one);
    }
    WrittenConfig {
        toml: toml.into_text(),
        files: folder.files,
        credentials_left_out: logins_left_out,
        cas_left_out: authorities_left_out,
    }
}

/// Whether an upstream's CA certificates, if any, have a file.
#[derive(PartialEq, Eq)]
enum CaFileState {
    Fine,
    None,
}

fn aliases(toml: &mut TomlWriter, aliases: &[RegistryAlias]) {
    if !aliases.is_empty() {
        toml.gap();
        toml.line("[aliases]");
    }
    for alias in aliases {
        toml.comment(&alias.location);
        let registries = alias.registries.iter();
        let registries = registries.map(|registry| string(registry.as_str()));
        toml.entry(&string(&alias.prefix), &one_or_list(registries.collect()));
    }
}

fn upstream(
    toml: &mut TomlWriter,
    upstream: &ImportedUpstream,
    folder: &mut SecretsFolder<'_>,
) -> CaFileState {
    let ImportedUpstream {
        name,
        urls,
        api_path,
        send_ns,
        ca,
        client,
        is_verified,
        location,
    } = upstream;
    toml.table(&format!("[upstream.{}]", string(name.as_str())), location);
    if !urls.is_empty() {
        let urls = urls.iter().map(|url| string(url));
        toml.entry("url", &one_or_list(urls.collect()));
    }
    if let Some(path) = api_path {
        toml.entry("api_path", &string(path));
    }
    if *send_ns {
        toml.entry("send_ns", "true");
    }
    let ca_file = match ca {
        None => Ok(None),
        Some(CertificateAuthority::File(path)) => Ok(Some(path.clone())),
        Some(CertificateAuthority::Pem(pem)) => {
            let path = folder.add(name.as_str(), "-ca.pem", pem);
            path.map(Some).ok_or(CaFileState::None)
        }
    };
    match &ca_file {
        Ok(None) => {}
        Ok(Some(path)) => toml.entry("ca_file", &string(path)),
        Err(_) => toml.comment("ca_file = \"…\": the certificates are in the file above"),
    }
    if let Some((certificate, key)) = client {
        toml.entry("client_cert_file", &string(certificate));
        toml.entry("client_key_file", &string(key));
    }
    if !is_verified {
        toml.entry("tls_verify", "false");
    }
    ca_file.map_or_else(|none| none, |_path| CaFileState::Fine)
}

fn route(toml: &mut TomlWriter, route: &RuleText) {
    let RuleText {
        matches,
        ref_kind,
        action,
        to,
        rewrite,
        library,
        digest,
        band,
        tag_fresh,
        tag_stale_max,
        location,
    } = route;
    toml.table("[[route]]", location);
    match matches {
        MatchText::From(from) => {
            toml.entry(
                "from",
                &one_or_list(from.iter().map(|from| string(from)).collect()),
            );
        }
        MatchText::Glob(text) => toml.entry("from_glob", &string(text)),
        MatchText::Regex(text) => toml.entry("from_regex", &string(text)),
        MatchText::Contains(text) => toml.entry("contains", &string(text)),
    }
    if let Some(word) = ref_word(*ref_kind) {
        toml.entry("ref", &string(word));
    }
    match action {
        Action::Route => {}
        Action::Deny => toml.entry("action", &string("deny")),
    }
    if !to.is_empty() {
        toml.entry("to", &list(&to.iter().map(target).collect::<Vec<_>>()));
    }
    if !rewrite.is_empty() {
        let one = |RewriteText { regex, with }: &RewriteText| {
            format!("{{ regex = {}, with = {} }}", string(regex), string(with))
        };
        toml.entry(
            "rewrite",
            &list(&rewrite.iter().map(one).collect::<Vec<_>>()),
        );
    }
    let library = match library {
        LibraryPrefix::Auto => None,
        LibraryPrefix::Both => Some("both"),
        LibraryPrefix::Keep => Some("keep"),
        LibraryPrefix::Strip => Some("strip"),
    };
    let texts = [
        ("library", library.map(str::to_owned)),
        ("digest", digest.clone()),
        ("tag_fresh", tag_fresh.map(duration)),
        ("tag_stale_max", tag_stale_max.map(duration)),
    ];
    for (key, text) in texts {
        if let Some(text) = text {
            toml.entry(key, &string(&text));
        }
    }
    if let Some(band) = band {
        toml.entry("band", &band.to_string());
    }
}

fn target(text: &TargetText) -> String {
    let TargetText {
        target,
        ref_kind,
        refused,
    } = text;
    let refused = refused.map(|refused| match refused {
        RefusalPolicy::Auto => "auto",
        RefusalPolicy::Next => "next",
        RefusalPolicy::Stop => "stop",
    });
    let more = [("ref", ref_word(*ref_kind)), ("refused", refused)];
    let more: String = more
        .into_iter()
        .filter_map(|(key, word)| Some(format!(", {key} = {}", string(word?))))
        .collect();
    if more.is_empty() {
        string(target)
    } else {
        format!("{{ target = {}{more} }}", string(target))
    }
}

fn ref_word(kind: RefKind) -> Option<&'static str> {
    match kind {
        RefKind::Any => None,
        RefKind::Tag => Some("tag"),
        RefKind::Digest => Some("digest"),
    }
}

/// A single value is written without brackets.
fn one_or_list(values: Vec<String>) -> String {
    match <[String; 1]>::try_from(values) {
        Ok([one]) => one,
        Err(values) => list(&values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        platform::{Location, reading::location::SourceText},
        secret::Secret,
        upstream::{Credential, CredentialSource},
    };

    fn imported() -> Imported {
        let mut imported = Imported::default();
        let at = |line| SourceText::file("a.yaml", "").location(line, 3);
        let hub = "docker.io".parse().unwrap();
        imported.add_alias(&at(1), "airgap/docker.io", &hub);
        let upstream = imported.upstream(&at(2), "r.example:5000").unwrap();
        upstream.urls = vec!["http://r.example:5000".to_owned()];
        upstream.ca = Some(CertificateAuthority::Pem("PEM".to_owned()));
        let secret = || Secret::new("canary");
        let password = Credential::Password {
            username: "robot$a".to_owned(),
            password: secret(),
        };
        imported.add_credential(&at(3), "r.example:5000/a", password);
        imported.add_credential(&at(4), "s.example", Credential::Refresh(secret()));
        let helper = "t.example".parse().unwrap();
        imported.add_credential_entry(
            &at(5),
            crate::upstream::KeyringEntry {
                scope: helper,
                source: CredentialSource::helper("ecr-login", "t.example"),
            },
        );
        let odd = Location::start("odd\n[server]");
        let to = ["r.example:5000/a/{repository}", "source"];
        imported.route(&odd, "docker.io", &to).library = LibraryPrefix::Keep;
        imported.route_matching(&at(7), MatchText::Regex(r"a\.b/(c)".to_owned()), &[]);
        imported
    }

    #[test]
    fn it_reads_well() {
        let WrittenConfig { toml, files, .. } = write(&imported(), Some("/s"));
        let want = r#"
[aliases]
# a.yaml:1:3
"airgap/docker.io" = "docker.io"

# a.yaml:2:3
[upstream."r.example:5000"]
url = "http://r.example:5000"
ca_file = "/s/r.example_5000-ca.pem"

# a.yaml:3:3
[[credential]]
for = "r.example:5000/a"
username = "robot$a"
password_file = "/s/r.example_5000_a.password"

# a.yaml:5:3
[[credential]]
for = "t.example"
helper = "ecr-login"

# a.yaml:4:3
[credentials]
docker_config_files = ["/s/docker-config.json"]

# odd\n[server]:1:1
[[route]]
from = "docker.io"
to = ["r.example:5000/a/{repository}", "source"]
library = "keep"

# a.yaml:7:3
[[route]]
from_regex = 'a\.b/(c)'
action = "deny"
"#;
        assert_eq!(toml, want.trim_start());
        let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "r.example_5000-ca.pem",
                "r.example_5000_a.password",
                "docker-config.json"
            ]
        );
    }

    #[test]
    fn without_a_folder_secrets_are_comments() {
        let written = write(&imported(), None);
        assert_eq!((written.credentials_left_out, written.cas_left_out), (2, 1));
        assert!(written.files.is_empty() && !written.toml.contains("canary"));
        let commented = "\n# a.yaml:3:3\n# [[credential]]\n# for = \"r.example:5000/a\"\n";
        assert!(written.toml.contains(commented), "{}", written.toml);
    }
}
