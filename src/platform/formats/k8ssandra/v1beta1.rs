//! `config.k8ssandra.io/v1beta1`: whole references, and overrides of their registry and namespace.

use std::collections::BTreeMap;

use super::{
    built_in,
    image_config::{ComponentImage, ImageConfig, K8ssandraComponent, misplaced, part, registry},
};
use crate::platform::reading::{
    diagnostic::Diagnostic,
    location::Location,
    node::{Node, Scalar},
};

/// Overrides of parts of a reference, for all components or for one.
#[derive(Clone, Debug, Default)]
struct ReferenceOverride {
    registry: Option<String>,
    /// Empty removes the namespace.
    namespace: Option<String>,
    location: Option<Location>,
}

impl ReferenceOverride {
    fn read(node: &Node, config: &mut ImageConfig, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let secret = node.mapping("imagePullSecret", diagnostics);
        if let Some(named) = secret.and_then(|secret| secret.string("name", diagnostics)) {
            config.secret(named);
        }
        let keys = ["imageRegistry", "imageNamespace"];
        let mut keys = keys.iter().filter_map(|key| node.get(key));
        Self {
            registry: registry(node, "imageRegistry", diagnostics).filter(|text| !text.is_empty()),
            namespace: part(node, "imageNamespace", diagnostics),
            location: keys.next().map(|value| value.location.clone()),
        }
    }

    fn or(self, general: &Self) -> Self {
        let general = general.clone();
        Self {
            registry: self.registry.or(general.registry),
            namespace: self.namespace.or(general.namespace),
            location: self.location.or(general.location),
        }
    }

    /// The reference with its registry and first folder replaced. Only a first element with a dot
    /// or a colon is a registry, and a name without a folder gets none.
    fn apply(&self, image: &str) -> String {
        let (own, rest) = match image.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) => (Some(first), rest),
            _ => (None, image),
        };
        let rest = match (self.namespace.as_deref(), rest.split_once('/')) {
            (Some(""), Some((_, tail))) => tail.to_owned(),
            (Some(namespace), Some((_, tail))) => format!("{namespace}/{tail}"),
            _ => rest.to_owned(),
        };
        match self.registry.as_deref().or(own) {
            Some(registry) => format!("{registry}/{rest}"),
            None => rest,
        }
    }
}

pub(super) fn read(document: &Node, diagnostics: &mut Vec<Diagnostic>) -> ImageConfig {
    let message = "v1beta1 does not read this here";
    let fix = "only v1beta2 has it";
    misplaced(document, &["types", "overrides"], message, fix, diagnostics);
    let mut config = ImageConfig::default();
    let general = ReferenceOverride::read(document, &mut config, diagnostics);
    let defaults = document.mapping("defaults", diagnostics);
    let mut policies = BTreeMap::new();
    for (key, node) in defaults.into_iter().flat_map(Node::entries) {
        if node.is_mapping() {
            let policy = ReferenceOverride::read(node, &mut config, diagnostics).or(&general);
            policies.insert(key.text.clone(), policy);
        } else if !node.is_null() {
            diagnostics.push(node.wrong_type("a component's defaults must be a mapping"));
        }
    }
    let mut reader = V1Beta1Reader {
        general,
        policies,
        defaults,
        config,
        diagnostics,
    };
    reader.images(document);
    reader.servers();
    reader.unnamed();
    reader.config
}

struct V1Beta1Reader<'n, 'r> {
    general: ReferenceOverride,
    /// Overrides of single components, with the general one merged in.
    policies: BTreeMap<String, ReferenceOverride>,
    defaults: Option<&'n Node>,
    config: ImageConfig,
    diagnostics: &'r mut Vec<Diagnostic>,
}

impl V1Beta1Reader<'_, '_> {
    fn images(&mut self, document: &Node) {
        let Some(images) = document.mapping("images", self.diagnostics) else {
            return;
        };
        let message = "this is indented like the images and is taken for one";
        let fix = "indent it like `images`";
        misplaced(images, &MISPLACED, message, fix, self.diagnostics);
        for (key, node) in images.entries() {
            let name = key.text.as_str();
            if node.is_null() || MISPLACED.contains(&name) {
                continue;
            }
            if node.is_mapping() && SERVERS.iter().any(|(server, _)| *server == name) {
                for (version, node) in node.entries() {
                    self.image(name, Some(&version.text), version, node);
                }
            } else {
                self.image(name, None, key, node);
            }
        }
    }

    fn image(&mut self, name: &str, server: Option<&str>, key: &Scalar, node: &Node) {
        let Some(text) = node.text().filter(|text| !text.is_empty()) else {
            let fix = "write [REGISTRY/]REPOSITORY:TAG";
            let diagnostic = node.wrong_type("an image of v1beta1 must be one reference");
            self.diagnostics.push(diagnostic.fix(fix));
            return;
        };
        let image = |text: String| ComponentImage { text, around: None };
        let plain = Some(image(text.to_owned()));
        self.component((name, server), plain, key.start.clone(), |policy| {
            image(policy.apply(text))
        });
    }

    /// Servers' images are composed of a repository and the version.
    fn servers(&mut self) {
        for (name, default) in SERVERS {
            let own = self.defaults.and_then(|defaults| defaults.get(name));
            let mut text = |key: &str| own.and_then(|own| own.string(key, self.diagnostics));
            let repository = text("repository").filter(|text| !text.text.is_empty());
            // A suffix applies only to the user's own repository.
            let suffix = repository
                .and_then(|_| text("suffix"))
                .map_or("", |suffix| &suffix.text);
            let around = Some((String::new(), suffix.to_owned()));
            let image = |text: String| ComponentImage {
                text,
                around: around.clone(),
            };
            match repository {
                Some(Scalar { text, start, .. }) => {
                    let plain = Some(image(text.clone()));
                    self.component((name, None), plain, start.clone(), |policy| {
                        image(policy.apply(text))
                    });
                }
                None => self.overridden(name, default, image),
            }
        }
    }

    /// Overrides apply to all images, and so to known ones that the file does not name.
    fn unnamed(&mut self) {
        for known in &built_in::BUILT_IN_IMAGES {
            if !known.is_server && !self.config.names(known.component) {
                let place = [known.registry, known.repository, known.name].join("/");
                self.overridden(known.component, &place, |text| known.image(text));
            }
        }
    }

    /// A component that the file does not name, if an override changes its name.
    fn overridden(&mut self, name: &str, default: &str, image: impl Fn(String) -> ComponentImage) {
        let policy = self.policy(name);
        let text = policy.apply(default);
        if let Some(location) = policy.location.filter(|_| text != default) {
            self.component((name, None), None, location, |_| image(text));
        }
    }

    fn component(
        &mut self,
        (name, server): (&str, Option<&str>),
        plain: Option<ComponentImage>,
        location: Location,
        image: impl FnOnce(&ReferenceOverride) -> ComponentImage,
    ) {
        let policy = self.policy(name);
        self.config.components.push(K8ssandraComponent {
            name: name.to_owned(),
            server: server.map(str::to_owned),
            image: image(&policy),
            plain,
            placed_at: policy.location.unwrap_or_else(|| location.clone()),
            location,
        });
    }

    fn policy(&self, name: &str) -> ReferenceOverride {
        self.policies.get(name).unwrap_or(&self.general).clone()
    }
}

/// The servers and their default repositories.
const SERVERS: [(&str, &str); 3] = [
    ("cassandra", "k8ssandra/cass-management-api"),
    ("dse", "datastax/dse-mgmtapi-6_8"),
    ("hcd", "datastax/hcd"),
];

/// Keys that have no effect below `images`.
const MISPLACED: [&str; 5] = [
    "imageRegistry",
    "imageNamespace",
    "imagePullPolicy",
    "imagePullSecret",
    "defaults",
];
