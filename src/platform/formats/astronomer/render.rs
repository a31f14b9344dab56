//! Helm values that point Astronomer's platform and Deployments at the mirror, and a pull Secret.

use crate::{
    oci::Registry,
    platform::model::rendering::{Mirror, RenderedFile, Rendering},
};

/// The name of the rendered pull Secret.
const SECRET: &str = "roadstead-pull";

pub(in crate::platform) fn render(mirror: &Mirror) -> Rendering {
    let Mirror { authority, .. } = mirror;
    let values = format!(
        "\
global:
  privateRegistry:
    enabled: true
    repository: {authority}/quay.io/astronomer
    secretName: {SECRET}
astronomer:
  houston:
    config:
      registry:
        protectedCustomRegistry:
          enabled: true
          baseRegistry:
            enabled: true
            host: {authority}/quay.io/astronomer/ap-airflow
            secretName: {SECRET}
          updateRegistry:
            enabled: true
            host: {authority}/quay.io/astronomer/ap-airflow
            secretName: {SECRET}
"
    );
    let secret = format!(
        "\
apiVersion: v1
kind: Secret
metadata:
  name: {SECRET}
  namespace: astronomer
  annotations:
    astronomer.io/commander-sync: platform=astronomer
type: kubernetes.io/dockerconfigjson
stringData:
  .dockerconfigjson: '{{\"auths\":{{\"{authority}\":{{}}}}}}'
"
    );
    let file = |path: &str, text| RenderedFile {
        path: path.to_owned(),
        text,
    };
    Rendering {
        files: vec![file("values.yaml", values), file("secret.yaml", secret)],
        notes: notes(mirror),
    }
}

fn notes(mirror: &Mirror) -> Vec<String> {
    let Mirror { authority, .. } = mirror;
    let mut notes = vec![
        format!(
            "updateRegistry.host is the location of your Deployments' images: write \
             {authority}/REGISTRY/REPOSITORY with the registry and repository that CI pushes to; \
             CI still pushes there, since the mirror is read-only"
        ),
        format!(
            "the mirror requires no credentials, so {SECRET} has none; the registries' \
             credentials belong in the mirror's configuration"
        ),
        "secret.yaml belongs in the platform's namespace, here astronomer".to_owned(),
    ];
    if !mirror
        .registries
        .iter()
        .any(|one| one.as_str() == "quay.io")
    {
        notes.push("the mirror needs a route for quay.io/astronomer".to_owned());
    }
    if !Registry::looks_like(authority.as_str()) {
        notes.push(format!(
            "container runtimes take {authority} for a folder of Docker Hub: use a name with a \
             dot or a port for the mirror"
        ));
    }
    if !mirror.is_tls {
        notes.push(format!(
            "configure the nodes to use plain HTTP for {authority}"
        ));
    }
    notes
}
