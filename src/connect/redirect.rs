//! Where a redirect may lead. Nothing here is remembered: targets are signed for minutes, and the
//! registry is asked again each time.

use reqwest::Url;

use super::guard::{AddressGuard, ForbiddenAddress};

/// Most redirects of one request.
pub const REDIRECTS_MAX: usize = 5;

/// Why a redirect is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedirectError {
    /// The target's address must not be contacted.
    Address(ForbiddenAddress),
    /// The target is not one that a redirect may have.
    Refused(&'static str),
}

/// The next address to ask.
pub fn next_url(
    from: &Url,
    location: Option<&[u8]>,
    guard: &AddressGuard,
) -> Result<Url, RedirectError> {
    let location = location.and_then(|value| std::str::from_utf8(value).ok());
    let location = location.ok_or(RedirectError::Refused("it names no target"))?;
    let mut url = from
        .join(location)
        .map_err(|_error| RedirectError::Refused("its target is not a URL"))?;
    url.set_fragment(None);
    match (from.scheme(), url.scheme()) {
        (_, "https") | ("http", "http") => {}
        ("https", "http") => return Err(RedirectError::Refused("from https to http")),
        _ => return Err(RedirectError::Refused("neither http nor https")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(RedirectError::Refused("its target contains credentials"));
    }
    match url.host_str() {
        Some(host) if guard.admits_literal(host) => Ok(url),
        Some(_) => Err(RedirectError::Address(ForbiddenAddress)),
        None => Err(RedirectError::Refused("its target has no host")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::guard::{GuardPolicy, NamedBy, NetworkZone};

    fn guard(own: &str) -> AddressGuard {
        AddressGuard::new(GuardPolicy {
            own_hosts: vec![own.to_owned()],
            least_zone: NetworkZone::Public,
            named_by: NamedBy::Configuration,
            allowed_hosts: Vec::new(),
            proxy_hosts: Vec::new(),
        })
    }

    fn follow(from: &str, location: &str) -> Result<String, RedirectError> {
        let from: Url = from.parse().unwrap();
        let guard = guard(from.host_str().unwrap());
        next_url(&from, Some(location.as_bytes()), &guard).map(|url| url.to_string())
    }

    #[test]
    fn b093_b094_redirects_that_are_refused() {
        let from = "https://r.example/v2/a/blobs/b";
        let good = [
            ("/elsewhere?x=1", "https://r.example/elsewhere?x=1"),
            ("https://cdn.example/x#y", "https://cdn.example/x"),
            ("//cdn.example/x", "https://cdn.example/x"),
            ("https://1.1.1.1/x", "https://1.1.1.1/x"),
        ];
        for (location, want) in good {
            assert_eq!(follow(from, location).as_deref(), Ok(want), "{location}");
        }
        let bad = [
            "http://cdn.example/x",
            "file:///etc/passwd",
            "https://user:pw@cdn.example/x",
            "https://user@cdn.example/x",
            "https://",
            "https://10.0.0.1/",
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://127.1/",
            "https://127.0.0.1./",
            "https://localhost/",
            "https://localhost./",
            "https://x.localhost/",
            "https://LOCALHOST/",
            "https://[::1]/",
            "https://[::]/",
            "https://[fe80::1%25eth0]/",
            "https://[::ffff:7f00:1]/",
            "https://169.254.169.254./",
            "https://①⑥⑨.254.169.254/",
            "https://ⓛocalhost/",
            "https://0/",
            "https://[::ffff:169.254.169.254]/",
            "https://169.254.169.254/latest/meta-data",
            "unix:/run/docker.sock",
        ];
        for location in bad {
            assert!(follow(from, location).is_err(), "{location}");
        }
        assert!(next_url(&from.parse().unwrap(), None, &guard("r.example")).is_err());
    }

    #[test]
    fn plain_http_may_lead_to_plain_http() {
        assert!(follow("http://r.example/", "http://cdn.example/").is_ok());
        assert!(follow("http://127.0.0.1:5000/", "http://127.0.0.1:5001/").is_ok());
    }
}
