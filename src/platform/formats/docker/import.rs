//! Docker's `daemon.json`: mirrors of Docker Hub.

use std::net::IpAddr;

use crate::{
    oci::Registry,
    platform::{
        model::{
            context::ImportContext,
            endpoint::{ApiPathRule, HostSettings, MirrorEndpoint, SchemeDefault, is_local},
            imported::Imported,
        },
        reading::{
            diagnostic::{Diagnostic, DiagnosticCode},
            document::{InputDocument, trees},
            node::{Node, Scalar},
        },
    },
};

/// One entry of `insecure-registries`.
struct InsecureRegistry<'n> {
    scalar: &'n Scalar,
    what: InsecureHosts,
}

enum InsecureHosts {
    Host(Registry),
    /// An address, and the number of its low bits that may have any value.
    Network(u128, u32),
}

/// Whether a document is in this format.
pub(in crate::platform) fn detects(document: &InputDocument<'_>) -> bool {
    document.has_any(&[&["registry-mirrors"], &["insecure-registries"]])
}

pub(in crate::platform) fn import(
    documents: &[InputDocument<'_>],
    context: &ImportContext<'_>,
    into: &mut Imported,
) {
    for node in trees(documents) {
        read(node, context, into);
    }
}

fn read(node: &Node, context: &ImportContext<'_>, into: &mut Imported) {
    let mut insecure = Vec::new();
    for scalar in node.strings("insecure-registries", &mut into.diagnostics) {
        match InsecureRegistry::read(scalar) {
            Ok(one) => insecure.push(one),
            Err(diagnostic) => into.report(diagnostic),
        }
    }
    let mut to = Vec::new();
    let mut hosts = Vec::new();
    for scalar in node.strings("registry-mirrors", &mut into.diagnostics) {
        let endpoint =
            match MirrorEndpoint::read(scalar, SchemeDefault::HttpIfLocal, ApiPathRule::Append) {
                Ok(endpoint) => endpoint,
                Err(diagnostic) => {
                    into.report(diagnostic);
                    continue;
                }
            };
        let is_insecure = insecure.iter().any(|one| one.has(&endpoint.host));
        let host_settings = HostSettings {
            // The daemon trusts the local machine.
            is_verified: !is_insecure && !is_local(&endpoint.host),
            ..HostSettings::default()
        };
        let target = into.add_endpoint(&scalar.start, &endpoint, &host_settings);
        to.extend(target.as_deref().map(Into::into));
        hosts.push(endpoint.host);
    }
    for one in &insecure {
        if !hosts.iter().any(|host| one.has(host)) {
            let message = "none of the mirrors here is among these hosts, so this has no effect";
            let fix =
                "if images come from there, write [upstream.\"HOST\"] with tls_verify = false";
            let diagnostic = Diagnostic::new(DiagnosticCode::Ignored, &one.scalar.start, message);
            into.report(diagnostic.excerpt(&one.scalar.text).fix(fix));
        }
    }
    let Some(mirrors) = node.get("registry-mirrors") else {
        return;
    };
    to.push("source".into());
    into.route_mirrors(
        &mirrors.location,
        Some(&Registry::docker_hub()),
        to,
        context,
    );
}

impl<'n> InsecureRegistry<'n> {
    /// `HOST[:PORT]` or a network, `ADDRESS/BITS`.
    fn read(scalar: &'n Scalar) -> Result<Self, Diagnostic> {
        if let Some(what) = network(&scalar.text) {
            return Ok(Self { scalar, what });
        }
        let endpoint = MirrorEndpoint::read(scalar, SchemeDefault::Https, ApiPathRule::AsIsOrV2)?;
        if endpoint.is_whole(&endpoint.host) {
            let what = InsecureHosts::Host(endpoint.host);
            return Ok(Self { scalar, what });
        }
        let message = "this is neither HOST[:PORT] nor a network such as 10.0.0.0/8";
        Err(Diagnostic::new(DiagnosticCode::Value, &scalar.start, message).excerpt(&scalar.text))
    }

    fn has(&self, host: &Registry) -> bool {
        match &self.what {
            InsecureHosts::Host(known) => known == host,
            InsecureHosts::Network(network, any) => {
                let address = host.host().trim_matches(['[', ']']).parse().map(number);
                address.is_ok_and(|address| network.checked_shr(*any) == address.checked_shr(*any))
            }
        }
    }
}

fn network(text: &str) -> Option<InsecureHosts> {
    let (address, bits) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let whole: u32 = if address.is_ipv4() { 32 } else { 128 };
    let any = whole.checked_sub(bits.parse().ok()?)?;
    Some(InsecureHosts::Network(number(address), any))
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}
