//! Helm values that lead Astronomer's platform and Deployments to the mirror, and a pull Secret.

use crate::{
    oci::Registry,
    platform::model::rendering::{Mirror, RenderedFile, Rendering},
};

/// The pull Secret's name in what is rendered.
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
            "updateRegistry.host is where your Deployments' images are: write \
             {authority}/REGISTRY/REPOSITORY, the registry and repository that CI pushes to; CI \
             itself goes on pushing there, since the mirror takes nothing"
        ),
        format!(
            "the mirror asks nobody for a login, so {SECRET} holds none; the registries' own logins \
             belong into the mirror's configuration"
        ),
        "secret.yaml goes into the platform's namespace, written here as astronomer".to_owned(),
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
            "container runtimes take {authority} for a folder of Docker Hub: call the mirror by a \
             name with a dot, or with its port"
        ));
    }
    if !mirror.is_tls {
        notes.push(format!(
            "nodes must be told that {authority} is met by plain HTTP"
        ));
    }
    notes
}
