//! The Tigera operator's `Installation` with the mirror's path for Calico's registries, and an
//! `ImageSet` of the digests that the mirror keeps.

use std::collections::BTreeMap;

use super::sources::{FOLDERS, SOURCES};
use crate::{
    oci::{Digest, Registry, Tag},
    platform::model::rendering::{DigestPin, Mirror, RenderedFile, Rendering},
};

pub(in crate::platform) fn render(mirror: &Mirror) -> Rendering {
    let mut notes = Vec::new();
    let alias = alias(mirror, &mut notes);
    let registry = format!("{}/{alias}/", mirror.authority);
    notes.push(format!(
        "The operator's own image is not governed by the Installation: \
         sed -i 's?quay.io/?{registry}?g' tigera-operator.yaml"
    ));
    if !mirror.is_tls {
        notes.push(format!(
            "The images' names begin with {}: configure every node's runtime to use plain HTTP \
             for this registry.",
            mirror.authority
        ));
    }
    let installation = format!("{INSTALLATION}  registry: \"{registry}\"\n");
    let mut rendering = Rendering::one("installation.yaml", installation);
    let sets = sets(&mirror.pins);
    for (release, images) in &sets {
        let path = format!("imageset-{release}.yaml");
        let text = image_set(release, images);
        rendering.files.push(RenderedFile { path, text });
    }
    notes.push(if sets.is_empty() {
        "No ImageSet is written, because the mirror stores no calico/node of any release."
            .to_owned()
    } else {
        "If there is any ImageSet, the operator requires one for its own release with every image \
         that it uses (`operator --print-images=list`): add the missing images, or apply none of \
         the sets."
            .to_owned()
    });
    rendering.notes = notes;
    rendering
}

/// The path prefix for both of Calico's registries.
fn alias<'m>(mirror: &'m Mirror, notes: &mut Vec<String>) -> &'m str {
    let is_both = |registries: &[Registry]| {
        registries.len() == SOURCES.len()
            && registries
                .iter()
                .all(|registry| SOURCES.contains(&registry.as_str()))
            && registries.first() != registries.last()
    };
    let known = mirror
        .aliases
        .iter()
        .find(|(_, registries)| is_both(registries));
    if let Some((prefix, _)) = known {
        return prefix;
    }
    notes.push(format!(
        "The mirror's configuration needs these two lines:\n[aliases]\n\"{ALIAS}\" = [\"quay.io\", \
         \"docker.io\"]"
    ));
    ALIAS
}

/// The kept digests of each release, by the images' original names. The tags of calico/node are the
/// releases.
fn sets(pins: &[DigestPin]) -> BTreeMap<&Tag, BTreeMap<&str, &Digest>> {
    let ours = |pin: &&DigestPin| {
        let folder = pin.repository.name.elements().next().unwrap_or_default();
        SOURCES.contains(&pin.repository.registry.as_str()) && FOLDERS.contains(&folder)
    };
    let is_release = |pin: &&DigestPin| {
        pin.repository.name.as_str() == "calico/node" && !pin.tag.as_str().ends_with("-fips")
    };
    let mut sets: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for pin in pins.iter().filter(ours).filter(is_release) {
        sets.entry(&pin.tag).or_default();
    }
    for registry in SOURCES {
        for pin in pins.iter().filter(ours) {
            if let Some(images) = sets
                .get_mut(&pin.tag)
                .filter(|_| pin.repository.registry.as_str() == registry)
            {
                images
                    .entry(pin.repository.name.as_str())
                    .or_insert(&pin.digest);
            }
        }
    }
    sets
}

fn image_set(release: &Tag, images: &BTreeMap<&str, &Digest>) -> String {
    let image = |(image, digest)| format!("    - image: \"{image}\"\n      digest: \"{digest}\"\n");
    let images: Vec<_> = images.iter().map(image).collect();
    format!(
        "apiVersion: operator.tigera.io/v1\nkind: ImageSet\nmetadata:\n  \
         name: \"calico-{release}\"\nspec:\n  images:\n{}",
        images.concat()
    )
}

const INSTALLATION: &str = "\
apiVersion: operator.tigera.io/v1
kind: Installation
metadata:
  name: default
spec:
  variant: Calico
";

const ALIAS: &str = "calico-any";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::{ImportOptions, vectors};

    fn mirror() -> Mirror {
        Mirror {
            is_tls: true,
            authority: "mirror.corp:5000".parse().unwrap(),
            registries: Vec::new(),
            falls_back: false,
            ca_file: None,
            aliases: Vec::new(),
            pins: Vec::new(),
        }
    }

    fn pin(repository: &str, tag: &str, digit: &str) -> DigestPin {
        let (registry, name) = repository.split_once('/').unwrap();
        DigestPin {
            repository: crate::oci::Repository {
                registry: registry.parse().unwrap(),
                name: name.parse().unwrap(),
            },
            tag: tag.parse().unwrap(),
            digest: format!("sha256:{}", digit.repeat(64)).parse().unwrap(),
        }
    }

    #[test]
    fn what_is_rendered_leads_to_the_mirror() {
        let rendering = render(&mirror());
        assert!(
            rendering.notes[0]
                .ends_with("[aliases]\n\"calico-any\" = [\"quay.io\", \"docker.io\"]")
        );
        let file = &rendering.files[0];
        let files = [(file.path.as_str(), file.text.as_str())];
        let imported = vectors::read("calico", &files, &vectors::OPTIONS);
        let want = ["mirror.corp:5000/calico-any/calico/node"];
        let table = vectors::table(&imported);
        assert_eq!(
            vectors::outcome(&table, "quay.io/calico/node:v3.31.7"),
            want
        );
        let own = |registry: &Registry| registry.as_str() == "mirror.corp:5000";
        let options = ImportOptions {
            own: &own,
            ..vectors::OPTIONS
        };
        assert!(vectors::read("calico", &files, &options).is_refused());
    }

    #[test]
    fn an_alias_for_both_registries_is_used() {
        let mut mirror = mirror();
        let both = |texts: [&str; 2]| texts.map(|text| text.parse().unwrap()).to_vec();
        mirror.aliases = vec![
            ("one".to_owned(), both(["quay.io", "ghcr.io"])),
            ("two".to_owned(), both(["docker.io", "quay.io"])),
        ];
        let rendering = render(&mirror);
        assert!(
            rendering.files[0]
                .text
                .ends_with("  registry: \"mirror.corp:5000/two/\"\n")
        );
        assert!(
            !rendering
                .notes
                .iter()
                .any(|note| note.contains("[aliases]"))
        );
    }

    #[test]
    fn pins_become_a_set_for_each_release() {
        let mut mirror = mirror();
        mirror.pins = vec![
            pin("docker.io/calico/node", "v3.31.7", "1"),
            pin("quay.io/calico/node", "v3.31.7", "2"),
            pin("docker.io/calico/typha", "v3.31.7", "3"),
            pin("quay.io/calico/node", "v3.31.7-fips", "4"),
            pin("quay.io/tigera/operator", "v1.40.15", "5"),
            pin("ghcr.io/calico/node", "v3.30.0", "6"),
        ];
        let rendering = render(&mirror);
        assert_eq!(rendering.files.len(), 2);
        let want = format!(
            "apiVersion: operator.tigera.io/v1\nkind: ImageSet\nmetadata:\n  \
             name: \"calico-v3.31.7\"\nspec:\n  images:\n    - image: \"calico/node\"\n      \
             digest: \"sha256:{}\"\n    - image: \"calico/typha\"\n      digest: \"sha256:{}\"\n",
            "2".repeat(64),
            "3".repeat(64)
        );
        assert_eq!(rendering.files[1].path, "imageset-v3.31.7.yaml");
        assert_eq!(rendering.files[1].text, want);
    }
}
