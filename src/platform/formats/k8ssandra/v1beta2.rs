//! `config.k8ssandra.io/v1beta2`: separate registry, repository and name, with defaults for empty
//! fields and overrides for all.

use super::{
    built_in,
    image_config::{ComponentImage, ImageConfig, K8ssandraComponent, misplaced, part, registry},
};
use crate::{
    oci::Digest,
    platform::reading::{
        diagnostic::{Diagnostic, DiagnosticCode},
        location::Location,
        node::{Node, Scalar},
    },
};

/// `defaults` or `overrides`: an absent field has no effect, an empty one means empty.
#[derive(Debug, Default)]
struct ImageDefaults<'n> {
    registry: Option<String>,
    repository: Option<String>,
    secrets: Option<Vec<&'n Scalar>>,
    location: Option<Location>,
}

/// The parts of an image's name; empty ones are omitted.
#[derive(Clone, Debug)]
struct ImageParts {
    registry: String,
    repository: String,
    name: String,
}

impl<'n> ImageDefaults<'n> {
    fn read(document: &'n Node, key: &str, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let Some(node) = document.mapping(key, diagnostics) else {
            return Self::default();
        };
        let registry = registry(node, "registry", diagnostics);
        let repository = part(node, "repository", diagnostics);
        let places = ["registry", "repository"];
        let mut places = places.iter().filter_map(|key| node.get(key));
        Self {
            registry,
            repository,
            secrets: node
                .get("pullSecrets")
                .map(|_| node.strings("pullSecrets", diagnostics)),
            location: places.next().map(|value| value.location.clone()),
        }
    }

    /// Fills empty parts.
    fn fill(&self, parts: &mut ImageParts) {
        let fill = |part: &mut String, with: &Option<String>| {
            if part.is_empty() {
                *part = with.clone().unwrap_or_default();
            }
        };
        fill(&mut parts.registry, &self.registry);
        fill(&mut parts.repository, &self.repository);
    }

    /// Replaces all parts that are set.
    fn replace(&self, parts: &mut ImageParts) {
        let replace = |part: &mut String, with: &Option<String>| {
            if let Some(with) = with {
                part.clone_from(with);
            }
        };
        replace(&mut parts.registry, &self.registry);
        replace(&mut parts.repository, &self.repository);
    }
}

impl ImageParts {
    fn join(&self) -> String {
        let parts = [&self.registry, &self.repository, &self.name];
        let parts = parts.into_iter().filter(|part| !part.is_empty());
        parts.map(String::as_str).collect::<Vec<_>>().join("/")
    }
}

pub(super) fn read(document: &Node, diagnostics: &mut Vec<Diagnostic>) -> ImageConfig {
    let fix = "v1beta2 has `overrides: {registry: …, repository: …, pullSecrets: […]}`";
    misplaced(
        document,
        &MISPLACED,
        "v1beta2 does not read this here",
        fix,
        diagnostics,
    );
    let defaults = ImageDefaults::read(document, "defaults", diagnostics);
    let overrides = ImageDefaults::read(document, "overrides", diagnostics);
    let mut config = ImageConfig::default();
    let mut own_secrets = Vec::new();
    for part in ["images", "types"] {
        let Some(section) = document.mapping(part, diagnostics) else {
            continue;
        };
        misplaced(
            section,
            &MISPLACED,
            "this is not a component",
            fix,
            diagnostics,
        );
        for (key, node) in section.entries() {
            if node.is_null() || MISPLACED.contains(&key.text.as_str()) {
                continue;
            }
            let Some((mut parts, end)) = image(node, part, diagnostics) else {
                continue;
            };
            own_secrets.push(node.string("pullSecret", diagnostics));
            let put = |parts: &ImageParts| ComponentImage {
                text: format!("{}{}", parts.join(), end.0),
                around: end.1.clone(),
            };
            defaults.fill(&mut parts);
            let plain = put(&parts);
            overrides.replace(&mut parts);
            config.components.push(K8ssandraComponent {
                name: key.text.clone(),
                server: None,
                image: put(&parts),
                plain: Some(plain),
                location: key.start.clone(),
                placed_at: overrides.location.as_ref().unwrap_or(&key.start).clone(),
            });
        }
    }
    unnamed(&overrides, &mut config);
    let defaults = defaults.secrets.unwrap_or_default();
    if let Some(secrets) = overrides.secrets {
        for named in secrets {
            config.secret(named);
        }
    } else {
        let own = own_secrets.into_iter().flatten();
        own.chain(defaults).for_each(|named| config.secret(named));
    }
    config
}

/// The end of an image's name: its tag or digest, or prefix and suffix of a server's version.
type ImageSuffix = (String, Option<(String, String)>);

fn image(
    node: &Node,
    section: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<(ImageParts, ImageSuffix)> {
    if !node.is_mapping() {
        let fix = "write registry, repository, name and tag; a whole reference is v1beta1";
        diagnostics.push(
            node.wrong_type("an image of v1beta2 must be a mapping")
                .fix(fix),
        );
        return None;
    }
    let parts = ImageParts {
        registry: registry(node, "registry", diagnostics).unwrap_or_default(),
        repository: part(node, "repository", diagnostics).unwrap_or_default(),
        name: part(node, "name", diagnostics).unwrap_or_default(),
    };
    if parts.name.is_empty() {
        let diagnostic = Diagnostic::new(
            DiagnosticCode::Value,
            &node.location,
            "this image has no name",
        );
        diagnostics.push(diagnostic.fix("write `name: …`"));
        return None;
    }
    let mut text = |key: &str| {
        node.string(key, diagnostics)
            .filter(|text| !text.text.is_empty())
    };
    let (tag, digest) = (text("tag"), text("digest"));
    if section == "types" {
        let mut text = |key: &str| text(key).map(|text| text.text.clone()).unwrap_or_default();
        return Some((
            parts,
            (String::new(), Some((text("prefix"), text("suffix")))),
        ));
    }
    // The operator takes a tag with a colon for a digest.
    let digest = digest.or_else(|| tag.filter(|tag| tag.text.contains(':')));
    let end = match (digest, tag) {
        (Some(digest), _) => {
            if let Err(invalid) = digest.text.parse::<Digest>() {
                let diagnostic =
                    Diagnostic::new(DiagnosticCode::Digest, &digest.start, invalid.to_string());
                diagnostics.push(
                    diagnostic
                        .excerpt(&digest.text)
                        .fix("write sha256: and 64 hex digits"),
                );
                return None;
            }
            format!("@{}", digest.text)
        }
        (None, Some(tag)) => format!(":{}", tag.text),
        (None, None) => String::new(),
    };
    Some((parts, (end, None)))
}

/// Overrides apply to all images, and so to known ones that the file does not name.
fn unnamed(overrides: &ImageDefaults<'_>, config: &mut ImageConfig) {
    let Some(location) = &overrides.location else {
        return;
    };
    for known in &built_in::BUILT_IN_IMAGES {
        let mut parts = ImageParts {
            registry: known.registry.to_owned(),
            repository: known.repository.to_owned(),
            name: known.name.to_owned(),
        };
        overrides.replace(&mut parts);
        if !config.names(known.component) {
            config.components.push(K8ssandraComponent {
                name: known.component.to_owned(),
                server: None,
                image: known.image(parts.join()),
                plain: None,
                location: location.clone(),
                placed_at: location.clone(),
            });
        }
    }
}

/// Keys of v1beta1, and of defaults, that v1beta2 does not read here.
const MISPLACED: [&str; 7] = [
    "imageRegistry",
    "imageNamespace",
    "imagePullPolicy",
    "imagePullSecret",
    "registry",
    "repository",
    "pullSecrets",
];
