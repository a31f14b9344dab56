//! The complete samples of the registry override's document, word for word.

pub(super) const HELM: &str = r#"config:
  imageSwapImages:
    imageSwapInitImage: "harbor.example.org/airgap-images/gcr.io/spectro-images-public/release/thewebroot/imageswap-init:v1.5.2-spectro-4.1.1"
    imageSwapImage: "harbor.example.org/airgap-images/gcr.io/spectro-images-public/release/thewebroot/imageswap:v1.5.2-spectro-4.1.1"

  imageSwapConfig:
    isEKSCluster: true #If the Cluster you are trying to install is EKS cluster set value to true else set to false

  ociImageRegistry:
    endpoint: "harbor.example.org" #<Contact Spectro Cloud Sales for More info>
    name: "Internal Registry" #<Contact Spectro Cloud Sales for More info>
    password: "" #<Contact Spectro Cloud Sales for More info>
    username: "" #<Contact Spectro Cloud Sales for More info>
    baseContentPath: "airgap-images" #<Contact Spectro Cloud Sales for More info>
    insecureSkipVerify: false
    caCert: ""
    mirrorRegistries: "docker.io::harbor.example.org/airgap-images/docker.io,gcr.io::harbor.example.org/airgap-images/gcr.io,ghcr.io::harbor.example.org/airgap-images/ghcr.io,k8s.gcr.io::harbor.example.org/airgap-images/gcr.io,registry.k8s.io::harbor.example.org/airgap-images/k8s.io,quay.io::harbor.example.org/airgap-images/quay.io,us-docker.pkg.dev::harbor.example.org/airgap-images"
"#;

pub(super) const SECRET: &str = r#"---
apiVersion: v1
stringData:
  DOMAIN: "harbor.example.org"
  BASE_PATH: "airgap-images"
  USERNAME: ""
  PASSWORD: ""
  INSECURE: "false"
  CA_CERT: ""
  MIRROR_REGISTRIES: docker.io::harbor.example.org/airgap-images/docker.io,gcr.io::harbor.example.org/airgap-images/gcr.io,ghcr.io::harbor.example.org/airgap-images/ghcr.io,k8s.gcr.io::harbor.example.org/airgap-images/gcr.io,registry.k8s.io::harbor.example.org/airgap-images/k8s.io,quay.io::harbor.example.org/airgap-images/quay.io,us-docker.pkg.dev::harbor.example.org/airgap-images
kind: Secret
metadata:
  name: registry-info
  namespace: jet-system
type: Opaque
---
"#;

pub(super) const HELM_BLANK: &str = r#"ociImageRegistry:
  endpoint: "REPLACE_WITH_CUSTOM_REGISTRY_DOMAIN"
  name: "REPLACE_WITH_CUSTOM_REGISTRY_NAME"
  password: "REPLACE_WITH_CUSTOM_REGISTRY_PASSWORD"
  username: "REPLACE_WITH_CUSTOM_REGISTRY_USERNAME"
  baseContentPath: "REPLACE_WITH_CUSTOM_REGISTRY_BASE_PATH"
  insecureSkipVerify: false
  caCert: "REPLACE_WITH_CUSTOM_REGISTRY_CA_CERT"
  mirrorRegistries: "REPLACE_WITH_CUSTOM_REGISTRY_MIRROR_REGISTRIES"
"#;

pub(super) const SECRET_BLANK: &str = r#" ---
 apiVersion: v1
 stringData:
   DOMAIN: "REPLACE_WITH_CUSTOM_REGISTRY_DOMAIN"
   BASE_PATH: "REPLACE_WITH_CUSTOM_REGISTRY_BASE_PATH"
   USERNAME: "REPLACE_WITH_CUSTOM_REGISTRY_USERNAME"
   PASSWORD: "REPLACE_WITH_CUSTOM_REGISTRY_PASSWORD"
   INSECURE: "false"
   CA_CERT: "REPLACE_WITH_CUSTOM_REGISTRY_CA_CERT"
   MIRROR_REGISTRIES: REPLACE_WITH_CUSTOM_REGISTRY_MIRROR_REGISTRIES
 kind: Secret
 metadata:
   name: registry-info
   namespace: jet-system
 type: Opaque
 ---
"#;
