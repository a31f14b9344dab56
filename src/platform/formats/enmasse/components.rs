//! The images that `EnMasse` uses by default.

/// A component and the repository of its image; the tag is the release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::platform) struct EnmasseComponent {
    pub(in crate::platform) name: &'static str,
    pub(in crate::platform) repository: &'static str,
}

impl EnmasseComponent {
    /// Whether an `IoTConfig` can override it.
    pub(in crate::platform) fn is_iot(self) -> bool {
        self.name.starts_with("iot-")
    }

    /// Whether it is released together with the operator.
    pub(in crate::platform) fn is_own(self) -> bool {
        OWN.contains(&(self.name, self.repository))
    }

    /// The operator's variable that overrides it.
    pub(in crate::platform) fn variable(self) -> String {
        let name = self.name.replace('-', "_").to_ascii_uppercase();
        format!("RELATED_IMAGE_{name}")
    }
}

/// The component of an operator's variable. Up to 0.31 the variables ended in `_IMAGE`.
pub(super) fn of_variable(name: &str) -> Option<String> {
    let name = name
        .strip_prefix("RELATED_IMAGE_")
        .or_else(|| name.strip_suffix("_IMAGE"))?;
    Some(name.to_ascii_lowercase().replace('_', "-"))
}

/// All components of 0.29 to 0.32.
pub(in crate::platform) fn components() -> impl Iterator<Item = EnmasseComponent> {
    let component = |&(name, repository)| EnmasseComponent { name, repository };
    OWN.iter().chain(&FOREIGN).map(component)
}

/// The operator's default namespace.
pub(in crate::platform) const DEFAULT_NAMESPACE: &str = "enmasse-infra";

macro_rules! own {
    ($($name:literal)+) => {
        [$(($name, concat!("quay.io/enmasse/", $name)),)+]
    };
}

const OWN: [(&str, &str); 31] = own! {
    "access-control-server"
    "address-space-controller"
    "agent"
    "api-server"
    "broker-plugin"
    "console-httpd"
    "console-init"
    "console-server"
    "controller-manager"
    "iot-amqp-adapter"
    "iot-auth-service"
    "iot-device-connection-infinispan"
    "iot-device-connection-jdbc"
    "iot-device-registry-file"
    "iot-device-registry-infinispan"
    "iot-device-registry-jdbc"
    "iot-gc"
    "iot-http-adapter"
    "iot-lorawan-adapter"
    "iot-mqtt-adapter"
    "iot-proxy-configurator"
    "iot-sigfox-adapter"
    "iot-tenant-cleaner"
    "iot-tenant-service"
    "keycloak-plugin"
    "mqtt-gateway"
    "mqtt-lwt"
    "none-authservice"
    "service-broker"
    "standard-controller"
    "topic-forwarder"
};

const FOREIGN: [(&str, &str); 6] = [
    ("broker", "quay.io/enmasse/artemis-base"),
    (
        "console-proxy-kubernetes",
        "quay.io/oauth2-proxy/oauth2-proxy",
    ),
    (
        "console-proxy-openshift",
        "quay.io/openshift/origin-oauth-proxy",
    ),
    ("keycloak", "quay.io/enmasse/keycloak-openshift"),
    ("qdrouterd-base", "quay.io/enmasse/qdrouterd-base"),
    ("router", "quay.io/interconnectedcloud/qdrouterd"),
];
