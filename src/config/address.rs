//! Addresses as they are written: of listeners, upstreams and the mirror itself.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use super::problem::ValueError;
use crate::{oci::Registry, server::ListenAddress, upstream::EndpointAddress};

/// Longest path of a Unix socket, in bytes: the kernel's limit without the terminating zero.
const UNIX_PATH_BYTES_MAX: usize = 107;

/// Reads `HOST:PORT` or `unix:PATH`. The host is an IP address or `localhost`: what a name
/// resolves to may change.
pub(super) fn parse_listen(text: &str) -> Result<ListenAddress, ValueError> {
    if let Some(path) = text.strip_prefix("unix:") {
        return unix(path).map(ListenAddress::Unix);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(ListenAddress::Tcp(address));
    }
    let error = ValueError::new("an address must be IP:PORT or unix:PATH");
    let number = |port: &str| port.parse::<u16>().ok();
    match text.rsplit_once(':') {
        Some(("localhost", port)) if number(port).is_some() => {
            let address = (Ipv4Addr::LOCALHOST, number(port).unwrap_or_default());
            Ok(ListenAddress::Tcp(address.into()))
        }
        Some(("" | "*", port)) if number(port).is_some() => Err(error.hint(format!(
            "did you mean \"0.0.0.0:{port}\" (everyone) or \"127.0.0.1:{port}\" (this machine)?"
        ))),
        _ if number(text).is_some() => Err(error.hint(format!(
            "did you mean \"0.0.0.0:{text}\" (everyone) or \"127.0.0.1:{text}\" (this machine)?"
        ))),
        _ if text.parse::<IpAddr>().is_ok() => Err(error.hint("add a port, such as :5000")),
        _ if text.starts_with('/') => Err(error.hint(format!("did you mean \"unix:{text}\"?"))),
        _ => Err(error),
    }
}

/// Reads `https://HOST[:PORT]`, `http://HOST[:PORT]` or `unix:PATH`.
pub(super) fn parse_endpoint(text: &str) -> Result<EndpointAddress, ValueError> {
    if let Some(path) = text.strip_prefix("unix:") {
        return unix(path).map(EndpointAddress::Unix);
    }
    let error = ValueError::new("a URL must be https://HOST[:PORT], http://… or unix:PATH");
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(match text.parse::<Registry>() {
            Ok(_) => error.hint(format!("did you mean \"https://{text}\"?")),
            Err(_) => error,
        });
    };
    if scheme != "https" && scheme != "http" {
        return Err(error);
    }
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let (host, path) = match authority.find(['/', '?', '#']) {
        Some(end) => authority.split_at_checked(end).unwrap_or((authority, "")),
        None => (authority, ""),
    };
    if host.contains('@') {
        let error = ValueError::new("credentials must not be part of the URL");
        return Err(error.hint("use username = \"…\" and password_file = \"FILE\""));
    }
    if !path.is_empty() {
        let error = ValueError::new("the URL must not have a path");
        return Err(error.hint(format!(
            "put an image prefix into `to`, the API's path into api_path (\"{path}/v2\")"
        )));
    }
    match host.parse::<Registry>() {
        Ok(_) => Ok(EndpointAddress::Url(format!(
            "{scheme}://{}",
            host.to_ascii_lowercase()
        ))),
        Err(invalid) => Err(ValueError::new(invalid.to_string())),
    }
}

/// Reads the mirror's URL for nodes: `https://HOST[:PORT]` or `http://HOST[:PORT]`.
pub(super) fn parse_public_url(text: &str) -> Result<String, ValueError> {
    let hint = match parse_endpoint(text) {
        Ok(EndpointAddress::Url(url)) => return Ok(url),
        Ok(EndpointAddress::Unix(_)) => None,
        // The other hints are for upstreams.
        Err(error) => error.hint.filter(|_| !text.contains("://")),
    };
    let reason = "it must be http://HOST[:PORT] or https://HOST[:PORT]";
    Err(ValueError {
        hint,
        ..ValueError::new(reason)
    })
}

/// Host and port of a URL, with the scheme's default port.
pub(super) fn host_and_port(url: &str) -> Option<(String, u16)> {
    let (default, authority) = match url.split_once("://")? {
        ("http", authority) => (80, authority),
        (_, authority) => (443, authority),
    };
    let registry = authority.parse::<Registry>().ok()?;
    let host = registry
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    Some((host.to_owned(), registry.port().unwrap_or(default)))
}

/// Whether a request to `endpoint` arrives at `address`, as far as that is known without DNS.
pub(super) fn leads_to(endpoint: &EndpointAddress, address: &ListenAddress) -> bool {
    match (endpoint, address) {
        (EndpointAddress::Unix(theirs), ListenAddress::Unix(ours)) => theirs == ours,
        (EndpointAddress::Url(url), ListenAddress::Tcp(ours)) => {
            let Some((host, port)) = host_and_port(url) else {
                return false;
            };
            let (local, ip) = match host.parse::<IpAddr>() {
                Ok(ip) => (ip.is_loopback() || ip.is_unspecified(), Some(ip)),
                Err(_) => (host == "localhost", None),
            };
            let here = ours.ip().is_loopback() && host == "localhost";
            port == ours.port()
                && (ip == Some(ours.ip()) || here || (ours.ip().is_unspecified() && local))
        }
        _ => false,
    }
}

/// Whether an address is reachable from this machine only.
pub(super) fn is_local(address: &ListenAddress) -> bool {
    match address {
        ListenAddress::Tcp(address) => address.ip().is_loopback(),
        ListenAddress::Unix(_) => true,
    }
}

fn unix(path: &str) -> Result<PathBuf, ValueError> {
    if path.is_empty() || path.len() > UNIX_PATH_BYTES_MAX || path.contains('\0') {
        let most = UNIX_PATH_BYTES_MAX;
        return Err(ValueError::new(format!(
            "a socket's path must have 1 to {most} bytes"
        )));
    }
    Ok(PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_listen_addresses() {
        for text in ["127.0.0.1:5000", "[::1]:0", "0.0.0.0:80"] {
            assert_eq!(
                parse_listen(text).unwrap(),
                ListenAddress::Tcp(text.parse().unwrap()),
                "{text}"
            );
        }
        assert_eq!(
            parse_listen("localhost:1").unwrap(),
            ListenAddress::Tcp("127.0.0.1:1".parse().unwrap())
        );
        assert_eq!(
            parse_listen("unix:a/b").unwrap(),
            ListenAddress::Unix("a/b".into())
        );
        for (text, hint) in [
            (":5000", Some("did you mean \"0.0.0.0:5000\" (everyone)")),
            ("5000", Some("did you mean \"0.0.0.0:5000\" (everyone)")),
            ("10.0.0.1", Some("add a port")),
            ("/run/socket", Some("did you mean \"unix:/run/socket\"")),
            ("example.org:5000", None),
            ("127.0.0.1:99999", None),
            ("unix:", None),
            ("", None),
        ] {
            let found = parse_listen(text).unwrap_err().hint;
            let as_expected = match (&found, hint) {
                (Some(found), Some(hint)) => found.starts_with(hint),
                (found, hint) => found.is_none() && hint.is_none(),
            };
            assert!(as_expected, "{text}: {found:?}");
        }
    }

    #[test]
    fn reads_upstream_addresses() {
        for (text, url) in [
            ("https://Harbor.example.org", "https://harbor.example.org"),
            (
                "https://registry-1.docker.io/",
                "https://registry-1.docker.io",
            ),
            ("http://10.0.0.7:5000", "http://10.0.0.7:5000"),
            ("http://[::1]:5000", "http://[::1]:5000"),
        ] {
            assert_eq!(
                parse_endpoint(text).unwrap(),
                EndpointAddress::Url(url.to_owned()),
                "{text}"
            );
        }
        for text in [
            "harbor.example.org",
            "ftp://harbor.example.org",
            "https://",
            "https://harbor.example.org/v2",
            "https://harbor.example.org?x=1",
            "https://me:secret@harbor.example.org",
            "https://harbor.example.org:0",
            "",
        ] {
            let error = parse_endpoint(text).unwrap_err();
            assert!(!format!("{error:?}").contains("secret"), "{text}");
        }
    }

    #[test]
    fn reads_public_urls() {
        assert_eq!(
            parse_public_url("https://M.corp/").unwrap(),
            "https://m.corp"
        );
        assert_eq!(
            parse_public_url("http://10.0.0.7:80").unwrap(),
            "http://10.0.0.7:80"
        );
        let hint = parse_public_url("m.corp:5000").unwrap_err().hint;
        assert_eq!(hint.unwrap(), "did you mean \"https://m.corp:5000\"?");
        for text in ["unix:/run/m", "https://m/v2", "ftp://m", "http://u:p@m", ""] {
            assert_eq!(parse_public_url(text).unwrap_err().hint, None, "{text}");
        }
    }

    #[test]
    fn sees_loops_and_collisions() {
        let tcp = |text: &str| ListenAddress::Tcp(text.parse().unwrap());
        let url = |text: &str| EndpointAddress::Url(text.to_owned());
        for (theirs, ours, leads) in [
            ("http://127.0.0.1:5000", "127.0.0.1:5000", true),
            ("http://localhost:5000", "127.0.0.1:5000", true),
            ("https://127.0.0.1:5000", "0.0.0.0:5000", true),
            ("http://[::1]:5000", "[::]:5000", true),
            ("https://10.0.0.1", "10.0.0.1:443", true),
            ("http://10.0.0.1", "10.0.0.1:443", false),
            ("http://10.0.0.1:5000", "0.0.0.0:5000", false),
            ("http://127.0.0.1:5001", "127.0.0.1:5000", false),
        ] {
            assert_eq!(leads_to(&url(theirs), &tcp(ours)), leads, "{theirs} {ours}");
        }
        assert!(tcp("0.0.0.0:5000").collides_with(&tcp("127.0.0.1:5000")));
        assert!(!tcp("127.0.0.1:0").collides_with(&tcp("127.0.0.1:0")));
        assert!(!tcp("127.0.0.1:5000").collides_with(&tcp("127.0.0.1:5001")));
    }
}
