//! One good file of each format, with as many of its keys as fit.

/// The format, what the file is called, and its text.
pub(super) const SAMPLES: &[(&str, &str, &str)] = &[
    (
        "palette",
        "registry-info.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: registry-info}\nstringData:\n  \
         DOMAIN: harbor.example\n  BASE_PATH: airgap\n  USERNAME: robot$a\n  PASSWORD: canary\n  \
         INSECURE: \"false\"\n  CA_CERT: \"\"\n  MIRROR_REGISTRIES: docker.io::harbor.example/airgap/hub,\
         k8s.gcr.io::harbor.example/airgap/gcr.io,us-docker.pkg.dev::harbor.example/airgap\n",
    ),
    (
        "palette",
        "user-data.yaml",
        "#cloud-config\nstylus:\n  externalRegistries:\n    registries:\n      - domain: \"e.example/images\"\n        \
         username: admin\n        password: canary\n      - domain: s.example:8443\n        username: bob\n        \
         encodedPassword: Y29kZWQ=\n        insecure: true\n    registryMappingRules:\n      \
         \"us-docker.pkg.dev/palette\": \"e.example/images\"\n      quay.io: e.example/quay\n",
    ),
    (
        "imageswap",
        "maps",
        "# a map\ndefault::\ndocker.io::harbor.example/hub\nquay.io:5000::harbor.example:8443/q # why\n\
         [EXACT]nginx:1.25::harbor.example/web/nginx:2\n[REPLACE]gcr.io/*/b:*::harbor.example/x\n\
         docker.io/library::harbor.example/lib\nnoswap_wildcards::noswap.example,ignore/*\n",
    ),
    (
        "imageswap",
        "map.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: imageswap-maps}\ndata:\n  maps: |\n    \
         default:rest.example\n    docker.io::harbor.example/hub-\n    ghcr.io::\n",
    ),
    (
        "k8ssandra",
        "config.yaml",
        "apiVersion: config.k8ssandra.io/v1beta2\nkind: ImageConfig\nimages:\n  system-logger:\n    \
         registry: \"ghcr.io\"\n    repository: \"k8ssandra\"\n    name: \"system-logger\"\n    tag: \"latest\"\n  \
         k8ssandra-client:\n    repository: k8ssandra\n    name: client\n    tag: \"v0.8.3\"\n    \
         digest: \"sha256:93a57444c14cec724942103543db6bb140ea444dca19b001701cc736b9e0d959\"\n\
         defaults:\n  registry: \"docker.io\"\n\ntypes:\n  cassandra:\n    repository: k8ssandra\n    \
         name: cass\n    suffix: \"-ubi\"\n    prefix: v\n  dse:\n    name: dse-mgmtapi-6_8\n\
         overrides:\n  registry: private.example\n  repository: enterprise\n\n",
    ),
    (
        "k8ssandra",
        "kustomization.yaml",
        include_str!("../../../../tests/e2e/platforms/k8ssandra.yaml"),
    ),
    (
        "calico",
        "calico.yaml",
        "apiVersion: operator.tigera.io/v1\nkind: Installation\nmetadata: {name: default}\nspec:\n  variant: Calico\n  \
         registry: private.example/\n  imagePath: calico-mirror\n  imagePrefix: cal-\n  imagePullSecrets:\n    - name: pull\n\
         ---\napiVersion: v1\nkind: Secret\nmetadata: {name: pull}\ntype: kubernetes.io/dockerconfigjson\nstringData:\n  \
         .dockerconfigjson: '{\"auths\": {\"private.example\": {\"username\": \"me\", \"password\": \"canary\"}}}'\n\
         ---\napiVersion: operator.tigera.io/v1\nkind: ImageSet\nmetadata: {name: calico-v3.27.0}\nspec:\n  images:\n    \
         - image: calico/node\n      \
         digest: sha256:93a57444c14cec724942103543db6bb140ea444dca19b001701cc736b9e0d959\n",
    ),
    (
        "openshift",
        "sets.yaml",
        "apiVersion: config.openshift.io/v1\nkind: ImageDigestMirrorSet\nspec:\n  imageDigestMirrors:\n    \
         - source: quay.io/enmasse\n      mirrors: [registry.corp/enmasse, m2.corp:5000]\n---\n\
         apiVersion: config.openshift.io/v1\nkind: ImageTagMirrorSet\nspec:\n  imageTagMirrors:\n    - source: '*.quay.io'\n      \
         mirrors:\n        - registry.corp/quay\n      mirrorSourcePolicy: NeverContactSource\n---\n\
         apiVersion: operator.openshift.io/v1alpha1\nkind: ImageContentSourcePolicy\nspec:\n  repositoryDigestMirrors:\n    \
         - source: registry-a.com\n      mirrors: [m1.corp]\n",
    ),
    (
        "openshift",
        "stream.yaml",
        "apiVersion: image.openshift.io/v1\nkind: ImageStream\nmetadata: {name: infinispan, namespace: infra}\nspec:\n  \
         lookupPolicy: {local: true}\n  tags:\n    - name: latest\n      from: {kind: DockerImage, name: 'quay.io/a/b:1'}\n      \
         referencePolicy: {type: Local}\n    - name: old\n      from: {kind: ImageStreamTag, name: 'infinispan:latest'}\n",
    ),
    (
        "enmasse",
        "iot.yaml",
        "apiVersion: iot.enmasse.io/v1alpha1\nkind: IoTConfig\nmetadata: {name: default}\nspec:\n  imageOverrides:\n    \
         iot-device-registry-infinispan:\n      name: infinispan:latest\n      pullPolicy: Always\n    iot-http-adapter:\n      \
         name: registry.corp/dev/adapter:7\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: enmasse-operator}\n\
         spec:\n  template:\n    spec:\n      containers:\n        - name: controller\n          env:\n            \
         - {name: ROUTER_IMAGE, value: 'registry.corp/qdrouterd:1'}\n            - {name: BROKER_IMAGE, value: 'quay.io/enmasse/broker:1'}\n",
    ),
    (
        "astronomer",
        "astronomer.yaml",
        include_str!("../../../../tests/e2e/platforms/astronomer.yaml"),
    ),
    (
        "hosts-toml",
        "certs.d/docker.io/hosts.toml",
        "server = \"https://docker.io\"\n\n[host.\"https://m.corp/v2/x\"]\n  capabilities = [\"pull\", \"resolve\"]\n  \
         override_path = true\n  skip_verify = true\n  ca = [\"/etc/ca.pem\"]\n\n  [host.\"https://m.corp/v2/x\".header]\n    \
         authorization = \"Basic bWU6Y2FuYXJ5\"\n\n[host.\"http://n.corp:5000\"]\n  client = \"/etc/client.pem\"\n",
    ),
    (
        "containerd",
        "config.toml",
        "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\n  endpoint = [\"https://a.corp\", \
         \"http://b.corp:5000/v2/hub\"]\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"*\"]\n  \
         endpoint = [\"https://c.corp\"]\n[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"a.corp\".auth]\n  \
         username = \"me\"\n  password = \"canary\"\n[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"a.corp\".tls]\n  \
         insecure_skip_verify = true\n  ca_file = \"/etc/ca.pem\"\n",
    ),
    (
        "k3s",
        "registries.yaml",
        "mirrors:\n  docker.io:\n    endpoint:\n      - \"https://m.corp\"\n      - http://n.corp:5000/v2\n    rewrite:\n      \
         \"^rancher/(.*)\": \"mirror/rancher-images/$1\"\n  \"*\":\n    endpoint: [\"https://rest.corp\"]\nconfigs:\n  \
         \"m.corp\":\n    auth:\n      username: me\n      password: canary\n    tls:\n      ca_file: /etc/ca.pem\n      \
         insecure_skip_verify: false\n  n.corp:5000: {auth: {auth: bWU6Y2FuYXJ5}}\n",
    ),
    (
        "talos",
        "talos.yaml",
        "version: v1alpha1\nmachine:\n  registries:\n    mirrors:\n      docker.io:\n        \
         endpoints: ['https://a.corp', 'http://b.corp/v2/hub']\n        overridePath: true\n      ghcr.io:\n        \
         endpoints: ['https://a.corp/ghcr']\n        skipFallback: true\n    config:\n      a.corp:\n        \
         auth: {username: me, password: canary}\n---\napiVersion: v1alpha1\nkind: RegistryMirrorConfig\nname: registry.k8s.io\n\
         endpoints:\n  - url: https://my.local:5000\n---\napiVersion: v1alpha1\nkind: RegistryAuthConfig\nname: my.local:5000\n\
         identityToken: canary\n",
    ),
    (
        "registries-conf",
        "registries.conf",
        "unqualified-search-registries = [\"example.com\"]\n[[registry]]\nprefix = \"example.com/foo\"\ninsecure = false\n\
         blocked = false\nlocation = \"internal.example/bar\"\n[[registry.mirror]]\nlocation = \"m0.local/foo\"\n\
         pull-from-mirror = \"digest-only\"\n[[registry.mirror]]\nlocation = \"m1.local/foo\"\ninsecure = true\n\
         [[registry]]\nprefix = \"*.example.com\"\nlocation = \"b.corp/x\"\n[[registry]]\nlocation = \"no.example\"\nblocked = true\n\
         [aliases]\n\"alpine\" = \"docker.io/library/alpine\"\n",
    ),
    (
        "docker",
        "daemon.json",
        "{\"registry-mirrors\": [\"https://a.corp\", \"http://b.corp:5000/base\"],\n \"insecure-registries\": [\"a.corp\", \
         \"10.0.0.0/8\"], \"proxies\": {\"http-proxy\": \"http://p:1\"}, \"debug\": true}\n",
    ),
    (
        "docker-config",
        "config.json",
        "{\"auths\": {\"https://index.docker.io/v1/\": {\"auth\": \"bWU6Y2FuYXJ5\"},\n \"r.corp/team\": {\"identitytoken\": \
         \"canary\"}, \"s.corp:5000\": {\"username\": \"me\", \"password\": \"canary\"}},\n \"credHelpers\": {\"gcr.io\": \"gcloud\"}, \
         \"credsStore\": \"desktop\"}\n",
    ),
    (
        "docker-config",
        "secrets.yaml",
        "apiVersion: v1\nkind: List\nitems:\n  - apiVersion: v1\n    kind: Secret\n    metadata: {name: a, namespace: x}\n    \
         type: kubernetes.io/dockerconfigjson\n    data: {.dockerconfigjson: \
         eyJhdXRocyI6eyJhLmNvcnAiOnsiYXV0aCI6ImJXVTZZMkZ1WVhKNSJ9fX0=}\n  - apiVersion: v1\n    kind: Secret\n    \
         metadata: {name: b}\n    type: kubernetes.io/dockercfg\n    stringData: {.dockercfg: '{\"b.corp\": {\"auth\": \"bWU6cHc=\"}}'}\n",
    ),
    (
        "buildkitd",
        "buildkitd.toml",
        "[worker.oci]\nenabled = true\n[registry.\"docker.io\"]\nmirrors = [\"m.example:5000\", \
         \"harbor.example/hub\"]\nhttp = true\n[registry.\"m.example:5000\"]\nhttp = true\ninsecure = true\n\
         [registry.\"harbor.example\"]\nca = [\"/etc/ca.pem\"]\ntlsconfigdir = [\"/etc/certs\"]\n\
         [[registry.\"harbor.example\".keypair]]\nkey = \"/etc/k.pem\"\ncert = \"/etc/c.pem\"\n",
    ),
];

/// What stands in the place of a word, sooner or later.
pub(super) const WORDS: &[&str] = &[
    "",
    "~",
    "null",
    "true",
    "no",
    "0",
    "-1",
    "1e400",
    "[]",
    "{}",
    "[a, b]",
    "{a: b}",
    "''",
    "\"\"",
    "\"",
    "'",
    "\\",
    "|",
    ">-",
    "&a b",
    "*a",
    "<<: *a",
    "!!binary aGk=",
    "---",
    "...",
    "#",
    "%YAML 9",
    "\t",
    "::",
    ":",
    ",",
    "a::b",
    "default::",
    "default::-",
    "[EXACT]",
    "[REPLACE]*",
    "[EXACT]a::b",
    "noswap_wildcards::*",
    "docker.io",
    "index.docker.io",
    "registry-1.docker.io",
    "Docker.IO",
    "docker.io/library",
    "library/nginx",
    "nginx:1.25",
    "*",
    "**",
    "*.example",
    "*.*",
    "?",
    "a.example:*",
    "localhost",
    "localhost:5000",
    "127.0.0.1:5000",
    "[::1]:5000",
    "a.example:0",
    "a.example:99999",
    "a.example:",
    ":5000",
    "a..b",
    "-a.example",
    "a.example/",
    "/a",
    "//",
    "a//b",
    "../..",
    "a/../b",
    "A/B",
    "a_b.example",
    "xn--a.example",
    "ä.example",
    "source",
    "deny",
    "https://a.example",
    "https://a.example/v2",
    "https://a.example/v2/",
    "https://a.example//v2//x",
    "https://me:canary@a.example",
    "http://a.example:80",
    "https://a.example:443/",
    "HTTPS://A.example",
    "unix:/run/x",
    "ftp://a.example",
    "https://",
    "https://a.example?x=y",
    "https://a.example#x",
    "{repository}",
    "{1}",
    "{nope}",
    "{",
    "}",
    "$1",
    "$$1",
    "${1}",
    "${a}",
    "^",
    "(",
    ")",
    "(.*)",
    "(?P<n>a)",
    "a{1000}{1000}",
    "[a",
    "\\d",
    "@",
    "@sha256:0",
    "a.example/b@sha256:93a57444c14cec724942103543db6bb140ea444dca19b001701cc736b9e0d959",
    "sha256:0",
    "latest",
    ":latest",
    "-ubi",
    "v",
    "/etc/ca.pem",
    "-----BEGIN CERTIFICATE-----\\nMIID\\n-----END CERTIFICATE-----",
    "canary",
    "bWU6Y2FuYXJ5",
    "Og==",
    "<token>",
    "REPLACE_WITH_X",
    "<your-registry>",
    "kind: Secret",
    "kind: ConfigMap",
    "\u{0}",
    "\u{1b}[31m",
    "\u{7}",
    "\r",
    "\r\n",
    "\u{85}",
    "\u{2028}",
    "\u{feff}",
    "\u{202e}",
    "\u{fffd}",
    "💥",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example",
];
