//! Which addresses may be contacted, and the resolver that enforces it at connect time, where no
//! second lookup can give another answer.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use parking_lot::Mutex;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;

/// Most addresses of one name that are tried.
const ADDRESSES_MAX: usize = 16;

/// Addresses that answer with the machine's own credentials in some cloud.
const METADATA_V4: [Ipv4Addr; 2] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
];
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// How near an address is; a nearer one may lead to farther ones, never the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// Anywhere on the Internet.
    Public,
    /// Inside a site.
    Private,
    /// This machine.
    Loopback,
}

/// Who of an upstream stands where. Redirects are judged by it.
#[derive(Debug)]
pub(super) struct Guard {
    /// The endpoints' own hosts, and where they were found last. The keys never change.
    own: Mutex<BTreeMap<String, Vec<IpAddr>>>,
    /// How near the upstream is at least; a Unix socket is on this machine.
    least: Reach,
    /// Hosts that may be private although the upstream is not.
    listed: Vec<String>,
}

/// Every address of a name is forbidden.
#[derive(Clone, Copy, Debug, Error)]
#[error("the name stands for addresses that must not be contacted")]
pub(super) struct Forbidden;

impl Guard {
    /// Takes the endpoints' hosts as they stand in URLs, how near the upstream is at least, and the
    /// hosts that redirects may lead to.
    pub(super) fn new(own: Vec<String>, least: Reach, listed: &[String]) -> Self {
        let found = |host: String| {
            let literal = literal(&host).into_iter().collect();
            (host, literal)
        };
        let host = |listed: &String| {
            let host = match listed.rsplit_once(':') {
                Some((host, port)) if !port.contains(']') => host,
                _ => listed,
            };
            host.to_ascii_lowercase()
        };
        Self {
            own: Mutex::new(own.into_iter().map(found).collect()),
            least,
            listed: listed.iter().map(host).collect(),
        }
    }

    /// Whether a host that is written as an address may be contacted; names pass, for they are
    /// judged when they are resolved.
    pub(super) fn admits_literal(&self, host: &str) -> bool {
        literal(host).is_none_or(|address| self.admits(host, address))
    }

    fn admits(&self, host: &str, address: IpAddr) -> bool {
        let is_own = self.own.lock().contains_key(host);
        match reach(address) {
            None => false,
            Some(_) if is_own => true,
            Some(Reach::Public) => true,
            Some(Reach::Private) => {
                self.reach() >= Reach::Private || self.listed.iter().any(|listed| listed == host)
            }
            Some(Reach::Loopback) => self.reach() == Reach::Loopback,
        }
    }

    /// How near the upstream itself was found.
    fn reach(&self) -> Reach {
        let own = self.own.lock();
        let found = own.values().flatten().copied().filter_map(reach);
        found.fold(self.least, Reach::max)
    }

    /// Keeps what may be contacted of a name's addresses, and remembers it of our own names.
    fn sift(&self, host: &str, found: Vec<IpAddr>) -> Result<Vec<IpAddr>, Forbidden> {
        let fit = |address: &IpAddr| self.admits(host, *address);
        let good: Vec<_> = found.into_iter().filter(fit).take(ADDRESSES_MAX).collect();
        if good.is_empty() {
            return Err(Forbidden);
        }
        if let Some(last) = self.own.lock().get_mut(host) {
            last.clone_from(&good);
        }
        Ok(good)
    }

    /// Where one of our own names was found last: a name server that fails must not stop a
    /// registry that works.
    fn last(&self, host: &str) -> Option<Vec<IpAddr>> {
        let own = self.own.lock();
        own.get(host).filter(|last| !last.is_empty()).cloned()
    }
}

/// The resolver that a client is built with.
#[derive(Debug)]
pub(super) struct Guarded(pub(super) Arc<Guard>);

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = Arc::clone(&self.0);
        Box::pin(async move {
            let host = name.as_str().to_ascii_lowercase();
            let good = match tokio::net::lookup_host((host.as_str(), 0)).await {
                Ok(found) => guard.sift(&host, found.map(|address| address.ip()).collect())?,
                Err(error) => guard.last(&host).ok_or(error)?,
            };
            // Port 0 stands for the URL's own.
            let good = good.into_iter().map(|address| SocketAddr::new(address, 0));
            let addresses: Addrs = Box::new(good);
            Ok(addresses)
        })
    }
}

/// How near an address is; none: it must never be contacted.
fn reach(address: IpAddr) -> Option<Reach> {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

fn reach_v4(address: Ipv4Addr) -> Option<Reach> {
    match address.octets() {
        _ if METADATA_V4.contains(&address) => None,
        // "This network", link-local, protocol assignments, multicast and reserved.
        [0 | 224..=255, ..] | [169, 254, ..] | [192, 0, 0, _] => None,
        [127, ..] => Some(Reach::Loopback),
        [100, 64..=127, ..] | [198, 18..=19, ..] => Some(Reach::Private),
        _ if address.is_private() => Some(Reach::Private),
        _ => Some(Reach::Public),
    }
}

fn reach_v6(address: Ipv6Addr) -> Option<Reach> {
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        reach_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        _ if METADATA_V6.contains(&address) => None,
        [0, 0, 0, 0, 0, 0, 0, 1] => Some(Reach::Loopback),
        // IPv4 in its several disguises: mapped, compatible, NAT64 and 6to4.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            embedded(high, low)
        }
        [0x2002, high, low, ..] => embedded(high, low),
        // Link-local and multicast.
        [0xfe80..=0xfebf | 0xff00..=0xffff, ..] => None,
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] | [0x64, 0xff9b, 1, ..] => Some(Reach::Private),
        _ => Some(Reach::Public),
    }
}

/// The address that a URL's host is, if it is one.
fn literal(host: &str) -> Option<IpAddr> {
    let inner = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    inner.unwrap_or(host).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(own: &str, listed: &[&str]) -> Guard {
        let listed: Vec<_> = listed.iter().map(|host| (*host).to_owned()).collect();
        Guard::new(vec![own.to_owned()], Reach::Public, &listed)
    }

    #[test]
    fn addresses_are_as_near_as_they_are() {
        let check = |address: &str, want: Option<Reach>| {
            assert_eq!(reach(address.parse().unwrap()), want, "{address}");
        };
        for public in [
            "8.8.8.8",
            "172.32.0.1",
            "2606:4700::1111",
            "64:ff9b::8.8.8.8",
        ] {
            check(public, Some(Reach::Public));
        }
        for private in [
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "fd12::1",
            "::ffff:10.0.0.1",
            "2002:a00:1::",
        ] {
            check(private, Some(Reach::Private));
        }
        for loopback in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            check(loopback, Some(Reach::Loopback));
        }
        for never in [
            "169.254.169.254",
            "100.100.100.200",
            "168.63.129.16",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "::",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
        ] {
            check(never, None);
        }
    }

    #[test]
    fn an_upstream_leads_only_as_near_as_it_stands() {
        let check = |own, listed: &[&str], host, want| {
            assert_eq!(
                guard(own, listed).admits_literal(host),
                want,
                "{own} {host}"
            );
        };
        check("8.8.8.8", &[], "1.1.1.1", true);
        check("8.8.8.8", &[], "10.0.0.1", false);
        check("8.8.8.8", &["10.0.0.1:9000"], "10.0.0.1", true);
        check("8.8.8.8", &["127.0.0.1"], "127.0.0.1", false);
        check("10.0.0.1", &[], "192.168.0.1", true);
        check("10.0.0.1", &[], "127.0.0.1", false);
        check("10.0.0.1", &[], "169.254.169.254", false);
        check("127.0.0.1", &[], "[::1]", true);
        check("127.0.0.1", &["169.254.169.254"], "169.254.169.254", false);
        check("169.254.1.1", &[], "169.254.1.1", false);
    }

    #[test]
    fn names_are_judged_by_their_addresses() {
        let guard = guard("registry.corp", &["cdn.corp"]);
        let sift = |host: &str, address: &str| guard.sift(host, vec![address.parse().unwrap()]);
        assert!(sift("cdn.else", "10.1.1.1").is_err());
        assert!(sift("cdn.corp", "10.1.1.1").is_ok());
        assert!(sift("registry.corp", "169.254.169.254").is_err());
        assert!(guard.last("registry.corp").is_none());
        assert!(sift("registry.corp", "10.0.0.1").is_ok());
        assert!(guard.last("registry.corp").is_some());
        assert!(sift("cdn.else", "10.1.1.1").is_ok());
        assert!(guard.last("cdn.else").is_none());
    }
}
