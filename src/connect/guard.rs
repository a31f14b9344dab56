//! Which addresses may be contacted, and the resolver that enforces it at connect time, where no
//! second lookup can give another answer.

use std::{
    collections::BTreeMap,
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};
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
pub enum NetworkZone {
    /// Anywhere on the Internet.
    Public,
    /// Inside a site.
    Private,
    /// This machine.
    Loopback,
}

/// Who named the hosts of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedBy {
    /// A table, a route or the built-in list.
    Configuration,
    /// A client, by a route from `*` to `source`.
    Client,
}

/// Who of a service stands where.
#[derive(Debug)]
pub struct GuardPolicy {
    /// The endpoints' own hosts, as they stand in URLs.
    pub own_hosts: Vec<String>,
    /// How near the upstream is at least; a Unix socket is on this machine.
    pub least_zone: NetworkZone,
    /// Who named the endpoints.
    pub named_by: NamedBy,
    /// Hosts that may be private although the upstream is not, `HOST` or `HOST:PORT`.
    pub allowed_hosts: Vec<String>,
    /// The proxies' hosts. Only the client itself connects to them; no redirect or realm leads there.
    pub proxy_hosts: Vec<String>,
}

/// Says which addresses may be contacted. Endpoints, redirects and token services are judged by it,
/// as they are written, whether a proxy will be asked for them or not, and, in the resolver, by what
/// their names stand for. Names that a proxy resolves are the proxy's to judge.
#[derive(Debug)]
pub struct AddressGuard {
    /// The endpoints' own hosts, and where they were found last. The keys never change.
    own_hosts: Mutex<BTreeMap<String, Vec<IpAddr>>>,
    least_zone: NetworkZone,
    named_by: NamedBy,
    allowed_hosts: Vec<String>,
    proxy_hosts: Vec<String>,
}

/// Every address of a name is forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the name stands for addresses that must not be contacted")]
pub struct ForbiddenAddress;

impl AddressGuard {
    /// Knows no address yet but those that are written.
    pub fn new(bounds: GuardPolicy) -> Self {
        let found = |host: String| {
            let literal = literal_address(&host).into_iter().collect();
            (host, literal)
        };
        let listed = bounds
            .allowed_hosts
            .iter()
            .filter_map(|text| allowed_host(text));
        Self {
            own_hosts: Mutex::new(bounds.own_hosts.into_iter().map(found).collect()),
            least_zone: bounds.least_zone,
            named_by: bounds.named_by,
            allowed_hosts: listed.collect(),
            proxy_hosts: bounds.proxy_hosts,
        }
    }

    /// Whether a URL's host may be contacted as far as its text tells; names pass, for they are
    /// judged when they are resolved.
    pub fn admits_literal(&self, host: &str) -> bool {
        let is_own = self.is_own(host);
        let is_proxy = self.proxy_hosts.iter().any(|proxy| proxy == host);
        if is_proxy && !is_own && !self.is_allowed_private(host) {
            return false;
        }
        literal_address(host).is_none_or(|address| match self.named_by {
            NamedBy::Client if self.own_hosts.lock().contains_key(host) => false,
            _ => self.admits(host, address),
        })
    }

    fn admits(&self, host: &str, address: IpAddr) -> bool {
        match zone(address) {
            None => false,
            Some(_) if self.is_own(host) => true,
            Some(NetworkZone::Public) => true,
            Some(NetworkZone::Private) => {
                self.own_zone() >= NetworkZone::Private || self.is_allowed_private(host)
            }
            Some(NetworkZone::Loopback) => self.own_zone() == NetworkZone::Loopback,
        }
    }

    /// Whether the configuration itself names the host as an endpoint's; what a client names may
    /// be no more than a stranger.
    fn is_own(&self, host: &str) -> bool {
        self.named_by == NamedBy::Configuration && self.own_hosts.lock().contains_key(host)
    }

    fn is_allowed_private(&self, host: &str) -> bool {
        self.allowed_hosts.iter().any(|listed| listed == host)
    }

    /// How near the upstream itself was found.
    fn own_zone(&self) -> NetworkZone {
        let own = self.own_hosts.lock();
        let found = own.values().flatten().copied().filter_map(zone);
        found.fold(self.least_zone, NetworkZone::max)
    }

    /// Keeps what may be contacted of a name's addresses, and remembers it of our own names.
    fn filter(&self, host: &str, found: Vec<IpAddr>) -> Result<Vec<IpAddr>, ForbiddenAddress> {
        let is_proxy = self.proxy_hosts.iter().any(|proxy| proxy == host);
        let fit = |address: &IpAddr| is_proxy || self.admits(host, *address);
        let good: Vec<_> = found.into_iter().filter(fit).take(ADDRESSES_MAX).collect();
        if good.is_empty() {
            return Err(ForbiddenAddress);
        }
        if let Some(last) = self.own_hosts.lock().get_mut(host) {
            last.clone_from(&good);
        }
        Ok(good)
    }

    /// Where one of our own names was found last: a name server that fails must not stop a
    /// registry that works.
    fn last_known(&self, host: &str) -> Option<Vec<IpAddr>> {
        let own = self.own_hosts.lock();
        own.get(host).filter(|last| !last.is_empty()).cloned()
    }
}

/// Where names are looked up.
pub type DnsLookup =
    Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// The system's resolver.
pub fn system_lookup() -> DnsLookup {
    Arc::new(|host| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

/// The resolver that a client is built with. It is asked for each new connection.
#[derive(Clone)]
pub(super) struct GuardedResolver {
    pub(super) guard: Arc<AddressGuard>,
    pub(super) lookup: DnsLookup,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = Arc::clone(&self.guard);
        let host = name.as_str().to_ascii_lowercase();
        let found = (self.lookup)(host.clone());
        Box::pin(async move {
            let good = match found.await {
                Ok(found) => guard.filter(&host, found)?,
                Err(error) => guard.last_known(&host).ok_or(error)?,
            };
            // Port 0 stands for the URL's own.
            let good = good.into_iter().map(|address| SocketAddr::new(address, 0));
            let addresses: Addrs = Box::new(good);
            Ok(addresses)
        })
    }
}

impl fmt::Debug for GuardedResolver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Guarded").field(&self.guard).finish()
    }
}

/// Whether a URL leads to one of these hosts: `HOST` is meant with any port, `HOST:PORT` with that
/// one alone.
pub fn is_allowed_host(hosts: &[String], url: &Url) -> bool {
    let matches = |listed: AllowedHost| {
        let port = listed.port;
        url.host_str() == Some(&listed.host)
            && port.is_none_or(|port| url.port_or_known_default() == Some(port))
    };
    hosts
        .iter()
        .filter_map(|host| AllowedHost::parse(host))
        .any(matches)
}

/// The host of such an entry, as it stands in URLs.
pub(super) fn allowed_host(listed: &str) -> Option<String> {
    Some(AllowedHost::parse(listed)?.host)
}

/// An entry of `redirects` or `realms`.
struct AllowedHost {
    /// As it stands in URLs.
    host: String,
    port: Option<u16>,
}

impl AllowedHost {
    fn parse(text: &str) -> Option<Self> {
        let port = match text.rsplit_once(':') {
            Some((_, port)) if !port.contains(']') => Some(port.parse().ok()?),
            _ => None,
        };
        let url: Url = format!("http://{text}").parse().ok()?;
        let host = url.host_str()?.to_owned();
        Some(Self { host, port })
    }
}

/// How near an address is; none: it must never be contacted.
fn zone(address: IpAddr) -> Option<NetworkZone> {
    match address {
        IpAddr::V4(address) => zone_v4(address),
        IpAddr::V6(address) => zone_v6(address),
    }
}

fn zone_v4(address: Ipv4Addr) -> Option<NetworkZone> {
    match address.octets() {
        _ if METADATA_V4.contains(&address) => None,
        // "This network", link-local, protocol assignments, multicast and reserved.
        [0 | 224..=255, ..] | [169, 254, ..] | [192, 0, 0, _] => None,
        [127, ..] => Some(NetworkZone::Loopback),
        [100, 64..=127, ..] | [198, 18..=19, ..] => Some(NetworkZone::Private),
        _ if address.is_private() => Some(NetworkZone::Private),
        _ => Some(NetworkZone::Public),
    }
}

fn zone_v6(address: Ipv6Addr) -> Option<NetworkZone> {
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        zone_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        _ if METADATA_V6.contains(&address) => None,
        [0, 0, 0, 0, 0, 0, 0, 1] => Some(NetworkZone::Loopback),
        // IPv4 in its several disguises: mapped, compatible, translated, NAT64, 6to4 and Teredo.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => embedded(high, low),
        [0x2001, 0, .., high, low] => embedded(!high, !low),
        // Link-local and multicast.
        [0xfe80..=0xfebf | 0xff00..=0xffff, ..] => None,
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] | [0x64, 0xff9b, 1, ..] => {
            Some(NetworkZone::Private)
        }
        _ => Some(NetworkZone::Public),
    }
}

/// The address that a URL's host is, if it is one. The URL's parser has already made one spelling
/// out of many; `localhost` and what is below it are this machine whatever a name server says.
pub(super) fn literal_address(host: &str) -> Option<IpAddr> {
    let name = host.strip_suffix('.').unwrap_or(host);
    if name == "localhost" || name.ends_with(".localhost") {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    let inner = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    inner.unwrap_or(host).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(own: &str, listed: &[&str]) -> AddressGuard {
        AddressGuard::new(GuardPolicy {
            own_hosts: vec![own.to_owned()],
            least_zone: NetworkZone::Public,
            named_by: NamedBy::Configuration,
            allowed_hosts: listed.iter().map(|host| (*host).to_owned()).collect(),
            proxy_hosts: vec!["proxy.corp".to_owned()],
        })
    }

    #[test]
    fn addresses_are_as_near_as_they_are() {
        let check = |address: &str, want: Option<NetworkZone>| {
            assert_eq!(zone(address.parse().unwrap()), want, "{address}");
        };
        for public in [
            "8.8.8.8",
            "172.32.0.1",
            "2606:4700::1111",
            "64:ff9b::8.8.8.8",
        ] {
            check(public, Some(NetworkZone::Public));
        }
        for private in [
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "fd12::1",
            "::ffff:10.0.0.1",
            "2002:a00:1::",
            // 10.0.0.1 as a Teredo client (inverted), and translated.
            "2001::f5ff:fffe",
            "::ffff:0:10.0.0.1",
        ] {
            check(private, Some(NetworkZone::Private));
        }
        for loopback in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            check(loopback, Some(NetworkZone::Loopback));
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
            "2001::5601:5601",
            "::ffff:0:169.254.169.254",
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
        check("localhost", &[], "127.0.0.1", true);
        check("r.example", &[], "localhost", false);
        check("r.example", &[], "localhost.", false);
        check("r.example", &[], "x.localhost", false);
        check("r.example", &[], "notlocalhost", true);
        check("127.0.0.1", &["169.254.169.254"], "169.254.169.254", false);
        check("169.254.1.1", &[], "169.254.1.1", false);
    }

    #[test]
    fn names_are_judged_by_their_addresses() {
        let guard = guard("registry.corp", &["cdn.corp"]);
        let sift = |host: &str, address: &str| guard.filter(host, vec![address.parse().unwrap()]);
        assert!(sift("cdn.else", "10.1.1.1").is_err());
        assert!(sift("cdn.corp", "10.1.1.1").is_ok());
        assert!(sift("registry.corp", "169.254.169.254").is_err());
        assert!(guard.last_known("registry.corp").is_none());
        assert!(sift("registry.corp", "10.0.0.1").is_ok());
        assert!(guard.last_known("registry.corp").is_some());
        assert!(sift("cdn.else", "10.1.1.1").is_ok());
        assert!(guard.last_known("cdn.else").is_none());
    }

    #[test]
    fn t05_what_a_client_names_is_on_the_internet() {
        let guard = |own: &str| AddressGuard {
            named_by: NamedBy::Client,
            ..guard(own, &[])
        };
        for literal in [
            "8.8.8.8",
            "10.0.0.1",
            "127.0.0.1",
            "[::1]",
            "localhost",
            "a.localhost.",
        ] {
            assert!(!guard(literal).admits_literal(literal), "{literal}");
        }
        assert!(!guard("proxy.corp").admits_literal("proxy.corp"));
        let named = guard("r.example");
        assert!(named.admits_literal("r.example") && named.admits_literal("1.1.1.1"));
        let sift = |address: &str| named.filter("r.example", vec![address.parse().unwrap()]);
        for near in ["10.0.0.1", "127.0.0.1", "::1", "fd12::1", "169.254.169.254"] {
            assert!(sift(near).is_err(), "{near}");
        }
        assert!(sift("93.184.216.34").is_ok());
    }

    #[test]
    fn nobody_is_led_to_the_proxy() {
        let guard = guard("registry.corp", &[]);
        assert!(!guard.admits_literal("proxy.corp"));
        assert!(
            guard
                .filter("proxy.corp", vec!["10.0.0.9".parse().unwrap()])
                .is_ok()
        );
        assert!(self::guard("r.corp", &["proxy.corp"]).admits_literal("proxy.corp"));
        assert!(self::guard("proxy.corp", &[]).admits_literal("proxy.corp"));
    }

    #[test]
    fn a_listed_host_is_meant_with_its_port_if_it_has_one() {
        let check = |entry: &str, url: &str, want: bool| {
            let url = url.parse().unwrap();
            assert_eq!(
                is_allowed_host(&[entry.to_owned()], &url),
                want,
                "{entry} {url}"
            );
        };
        check("auth.corp", "https://auth.corp/token", true);
        check("auth.corp", "https://auth.corp:8443/token", true);
        check("auth.corp:443", "https://auth.corp/token", true);
        check("auth.corp:443", "http://auth.corp/token", false);
        check("auth.corp:8443", "https://auth.corp/token", false);
        check("Auth.corp", "https://auth.CORP/token", true);
        check("auth.corp", "https://a.auth.corp/token", false);
        check("auth.corp", "https://auth.corp.example/token", false);
        check("[::1]:5000", "http://[0:0::1]:5000/", true);
        check("[::1]", "http://[::1]:5000/", true);
        check("10.0.0.1", "http://167772161/", true);
        check("", "http://a/", false);
    }

    /// Answers in turn, the last one again and again.
    fn turns(answers: &[&[&str]]) -> DnsLookup {
        let parse = |addresses: &&[&str]| -> Vec<IpAddr> {
            addresses.iter().map(|text| text.parse().unwrap()).collect()
        };
        let answers = Mutex::new(answers.iter().map(parse).collect::<Vec<_>>());
        Arc::new(move |_host| {
            let mut answers = answers.lock();
            let answer = if answers.len() > 1 {
                answers.remove(0)
            } else {
                answers.first().unwrap().clone()
            };
            Box::pin(async { Ok(answer) })
        })
    }

    #[tokio::test]
    async fn t38_each_lookup_is_judged_anew() {
        let guarded = GuardedResolver {
            guard: Arc::new(guard("r.example", &[])),
            lookup: turns(&[
                &["93.184.216.34"],
                &["169.254.169.254"],
                &["169.254.169.254", "93.184.216.34", "127.0.0.1", "10.0.0.1"],
                &["fe80::1", "::ffff:169.254.169.254"],
            ]),
        };
        let ask = async |host: &str| match guarded.resolve(host.parse().unwrap()).await {
            Ok(found) => found.map(|address| address.ip().to_string()).collect(),
            Err(error) => {
                assert!(error.is::<ForbiddenAddress>(), "{error}");
                Vec::new()
            }
        };
        assert_eq!(ask("cdn.example").await, ["93.184.216.34"]);
        assert!(ask("cdn.example").await.is_empty());
        assert_eq!(ask("cdn.example").await, ["93.184.216.34"]);
        assert!(ask("r.example").await.is_empty());
    }
}
