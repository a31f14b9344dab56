//! From what the operator would use to what the user's file says: the routes.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    built_in::{BUILT_IN_IMAGES, BuiltInImage, SUFFIXES},
    image_config::{ComponentImage, ImageConfig, K8ssandraComponent},
};
use crate::{
    oci::{Digest, ImageReference, InvalidReference, Reference, Repository},
    platform::{
        model::{context::ImportContext, imported::Imported},
        reading::{
            diagnostic::{Diagnostic, DiagnosticCode},
            location::Location,
        },
    },
};

/// Leads every image that the file moves, also under names of earlier releases, to where it says.
pub(super) fn add_routes(
    config: &ImageConfig,
    baseline: &[ImageConfig],
    context: &ImportContext<'_>,
    into: &mut Imported,
) {
    let mut leading = K8ssandraRoutes {
        baseline,
        falls_back: context.adds_source(),
        known: BTreeMap::new(),
        reported: BTreeSet::new(),
        into,
    };
    let parse = |component| Some((component, leading.parse(component)?));
    let components: Vec<_> = config.components.iter().filter_map(parse).collect();
    for (component, target) in &components {
        leading.repositories(component, target);
    }
    for (component, target) in &components {
        leading.tags(component, target, config);
    }
    // An operator that has the file already asks for these itself.
    for (component, target) in &components {
        let own = format!("{}:*", target.repository);
        if !leading.known.contains_key(&own) {
            leading.route(&component.location, own, "source".to_owned(), None);
        }
    }
}

struct K8ssandraRoutes<'c, 'i> {
    baseline: &'c [ImageConfig],
    falls_back: bool,
    /// Where each name leads that is led already.
    known: BTreeMap<String, (String, Option<Digest>)>,
    /// What is said once of each place, whatever number of images it is about.
    reported: BTreeSet<(DiagnosticCode, Location)>,
    into: &'i mut Imported,
}

impl K8ssandraRoutes<'_, '_> {
    /// Where a component's image comes from. A server's tag is one of no version.
    fn parse(&mut self, component: &K8ssandraComponent) -> Option<ImageReference> {
        let K8ssandraComponent {
            image, location, ..
        } = component;
        let target = self.reference(image, location)?;
        let is_root = target.repository.registry.is_docker_hub()
            && target.repository.name.elements().next() == Some("library")
            && !image.text.contains("library/");
        let once = (DiagnosticCode::HubRoot, component.placed_at.clone());
        if is_root && self.reported.insert(once) {
            let message = "at the root of Docker Hub are Docker's own images only: every runtime \
                           reads library/ in front of this name";
            let diagnostic =
                Diagnostic::new(DiagnosticCode::HubRoot, &component.placed_at, message);
            let fix = "name the folder: docker.io/FOLDER/NAME";
            self.into.report(diagnostic.excerpt(&image.text).fix(fix));
        }
        Some(target)
    }

    fn reference(&mut self, image: &ComponentImage, location: &Location) -> Option<ImageReference> {
        let text = image.reference("0");
        let parsed: Result<ImageReference, InvalidReference> = text.parse();
        let invalid = match parsed {
            Ok(reference) => return Some(reference),
            Err(invalid) => invalid,
        };
        let code = match invalid {
            InvalidReference::Digest(_) => DiagnosticCode::Digest,
            InvalidReference::Name(_) | InvalidReference::Tag(_) => DiagnosticCode::Reference,
        };
        if self.reported.insert((code, location.clone())) {
            let message = format!("this makes no image reference: {invalid}");
            let diagnostic = Diagnostic::new(code, location, message).excerpt(&text);
            let fix = "an image is [REGISTRY/]FOLDER/NAME with a tag or a digest, in small letters";
            self.into.report(diagnostic.fix(fix));
        }
        None
    }

    /// Routes for every tag, and for the one tag that is another in the file.
    fn repositories(&mut self, component: &K8ssandraComponent, target: &ImageReference) {
        let built_in = BUILT_IN_IMAGES
            .iter()
            .find(|known| known.component == component.name);
        let same = |other: &&K8ssandraComponent| {
            (&other.name, &other.server) == (&component.name, &component.server)
        };
        let given: Vec<_> = self
            .baseline
            .iter()
            .flat_map(|config| &config.components)
            .filter(same)
            .collect();
        let mut names: Vec<(ComponentImage, Location)> = Vec::new();
        names.extend(
            component
                .plain
                .clone()
                .map(|image| (image, component.location.clone())),
        );
        names.extend(
            given
                .iter()
                .map(|given| (given.image.clone(), given.location.clone())),
        );
        if given.is_empty() && component.server.is_none() {
            let images = built_in.into_iter().flat_map(BuiltInImage::images);
            names.extend(images.map(|image| (image, component.location.clone())));
        }
        for given in given {
            if given.image.around != component.image.around {
                let message = "the tags around the server's version differ from the baseline's; \
                               routes leave tags as they are";
                let diagnostic =
                    Diagnostic::new(DiagnosticCode::Ignored, &component.location, message);
                let fix = "keep the images under the baseline's tags too";
                self.into
                    .report(diagnostic.excerpt(&component.name).fix(fix));
            }
        }
        for (image, location) in names {
            let Some(name) = self.reference(&image, &location) else {
                continue;
            };
            self.repository(&component.location, &name.repository, &target.repository);
            if image.around.is_none()
                && name.reference != target.reference
                && let Reference::Tag(tag) = &name.reference
            {
                self.tag(&component.location, &name.repository, tag.as_str(), target);
            }
        }
    }

    /// Routes for the tags of one version of a server that has an image of its own.
    fn tags(
        &mut self,
        component: &K8ssandraComponent,
        target: &ImageReference,
        config: &ImageConfig,
    ) {
        let Some(version) = &component.server else {
            return;
        };
        let general = |config: &ImageConfig| {
            let components = config.components.iter();
            let found =
                components.filter(|other| other.name == component.name && other.server.is_none());
            found
                .map(|other| other.plain.clone().unwrap_or_else(|| other.image.clone()))
                .collect::<Vec<_>>()
        };
        let mut images: Vec<_> = self.baseline.iter().flat_map(general).collect();
        if images.is_empty() {
            let known = BUILT_IN_IMAGES
                .iter()
                .filter(|known| known.component == component.name);
            for image in known.flat_map(BuiltInImage::images) {
                images.extend(SUFFIXES.map(|suffix| ComponentImage {
                    around: Some((String::new(), suffix.to_owned())),
                    ..image.clone()
                }));
            }
        }
        images.extend(general(config));
        for image in images {
            let parsed: Result<ImageReference, _> = image.reference(version).parse();
            match parsed {
                Ok(ImageReference {
                    repository,
                    reference: Reference::Tag(tag),
                }) => {
                    self.tag(&component.location, &repository, tag.as_str(), target);
                }
                Ok(_) => {}
                Err(invalid) => {
                    let diagnostic = Diagnostic::new(
                        DiagnosticCode::Reference,
                        &component.location,
                        invalid.to_string(),
                    );
                    let diagnostic = diagnostic
                        .excerpt(version)
                        .fix("write a version of the server");
                    self.into.report(diagnostic);
                    return;
                }
            }
        }
    }

    fn repository(&mut self, location: &Location, name: &Repository, target: &Repository) {
        self.route(location, format!("{name}:*"), target_of(name, target), None);
    }

    fn tag(&mut self, location: &Location, name: &Repository, tag: &str, target: &ImageReference) {
        let from = format!("{name}:{tag}");
        match &target.reference {
            Reference::Digest(digest) => {
                self.route(location, from, target.repository.to_string(), Some(*digest));
            }
            Reference::Tag(own) if own.as_str() == tag => {
                // The route for every tag may say so already.
                let general = self.known.get(&format!("{name}:*"));
                let to = target_of(name, &target.repository);
                if general.is_none_or(|(known, _)| *known != to) {
                    self.route(location, from, to, None);
                }
            }
            Reference::Tag(_) => self.route(location, from, target.to_string(), None),
        }
    }

    fn route(&mut self, location: &Location, from: String, to: String, pin: Option<Digest>) {
        let meant = (to, pin);
        match self.known.get(&from) {
            Some(known) if *known == meant => return,
            Some((known, _)) => {
                let message =
                    format!("{from} is another component's image too, and leads to {known}");
                let diagnostic =
                    Diagnostic::new(DiagnosticCode::Ignored, location, message).excerpt(&meant.0);
                let fix = "give both components one image, or write a route by hand";
                self.into.report(diagnostic.fix(fix));
                return;
            }
            None => {}
        }
        let mut to = vec![meant.0.as_str()];
        if self.falls_back && meant.0 != "source" {
            to.push("source");
        }
        let route = self.into.route(location, &from, &to);
        route.digest = pin.map(|digest| digest.to_string());
        self.known.insert(from, meant);
    }
}

/// A repository as the target of a route for `name`.
fn target_of(name: &Repository, target: &Repository) -> String {
    if name == target {
        "source".to_owned()
    } else {
        target.to_string()
    }
}
