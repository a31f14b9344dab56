//! Forward proxies: which requests pass one, and what its failures mean.

use std::{error::Error, iter};

use http::{HeaderMap, StatusCode, header::PROXY_AUTHENTICATE};
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{ClientBuilder, NoProxy, Url};
use thiserror::Error;

use super::{error::ClientBuildError, tls, transport::ProxySettings};
use crate::secret::Secret;

/// What no proxy of the environment is meant for, as every program has it.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

/// The text is not a proxy's URL. It may hold a password, so it is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a proxy is written http://HOST:PORT or https://HOST:PORT")]
pub struct InvalidProxy;

impl ProxySettings {
    /// Reads a proxy's address, with its login if it has one; without a scheme it is `http://`.
    pub fn parse_url(text: &str) -> Result<Url, InvalidProxy> {
        let text = text.trim();
        let whole = if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        let url: Url = whole.parse().map_err(|_error| InvalidProxy)?;
        let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if matches!(url.scheme(), "http" | "https") && url.has_host() && is_bare {
            Ok(url)
        } else {
            Err(InvalidProxy)
        }
    }

    /// The proxies' hosts, as they stand in URLs.
    pub fn hosts(&self) -> Vec<String> {
        let urls = [&self.http, &self.https].into_iter().flatten();
        let host =
            |secret: &Secret| Some(Self::parse_url(secret.reveal()).ok()?.host_str()?.into());
        urls.filter_map(host).collect()
    }

    /// Adds the proxies to a client.
    pub(super) fn apply_to(
        &self,
        mut builder: ClientBuilder,
    ) -> Result<ClientBuilder, ClientBuildError> {
        let failed = |error: &dyn Error| ClientBuildError(error.to_string());
        let none = self.no_proxy().and_then(|list| NoProxy::from_string(&list));
        if let Some(secret) = &self.http {
            let url = Self::parse_url(secret.reveal()).map_err(|error| failed(&error))?;
            let proxy = reqwest::Proxy::http(url);
            let proxy = proxy.map_err(|error| failed(&error.without_url()))?;
            builder = builder.proxy(proxy.no_proxy(none.clone()));
        }
        if let Some(secret) = &self.https {
            let url = Self::parse_url(secret.reveal()).map_err(|error| failed(&error))?;
            let proxy = reqwest::Proxy::https(url);
            let proxy = proxy.map_err(|error| failed(&error.without_url()))?;
            builder = builder.proxy(proxy.no_proxy(none));
        }
        Ok(builder)
    }

    /// What is asked directly, in the spelling that the library reads: no `*.` before a domain,
    /// which means the same without it, and no ports, which it does not know.
    fn no_proxy(&self) -> Option<String> {
        let written = self.no_proxy.as_deref()?;
        let entries = written.split([',', ' ', '\t']).filter_map(|entry| {
            let entry = entry
                .strip_prefix('*')
                .filter(|rest| rest.starts_with('.'))
                .unwrap_or(entry);
            let host = match entry.rsplit_once(':') {
                Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                    port.parse::<u16>().map_or(entry, |_port| host)
                }
                _ => entry,
            };
            let host = host
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
                .unwrap_or(host);
            (!host.is_empty()).then_some(host)
        });
        let list = entries.fold(LOOPBACK.to_owned(), |list, entry| list + "," + entry);
        Some(list)
    }

    /// Which of them a request will pass, by the rules of the library itself.
    pub(super) fn matcher(&self) -> ProxyMatcher {
        let text = |secret: &Option<Secret>| {
            let url = Self::parse_url(secret.as_ref()?.reveal()).ok()?;
            Some(String::from(url))
        };
        let builder = Matcher::builder()
            .http(text(&self.http).unwrap_or_default())
            .https(text(&self.https).unwrap_or_default())
            .no(self.no_proxy().unwrap_or_default());
        ProxyMatcher(builder.build())
    }
}

/// Which requests pass which proxy.
#[derive(Debug)]
pub(super) struct ProxyMatcher(Matcher);

impl ProxyMatcher {
    /// The proxy that a URL is asked through.
    pub(super) fn proxy_for(&self, url: &Url) -> Option<ProxyHop> {
        let taken = self.0.intercept(&url.as_str().parse().ok()?)?;
        let standard = if taken.uri().scheme_str() == Some("https") {
            443
        } else {
            80
        };
        let port = taken.uri().port_u16().unwrap_or(standard);
        Some(ProxyHop {
            name: format!("{}:{port}", taken.uri().host()?),
            is_tunnel: url.scheme() == "https",
        })
    }
}

/// A proxy that a request passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyHop {
    /// `HOST:PORT`, for people; never its login.
    name: String,
    /// Whether it only carries bytes; otherwise its own answers look like the upstream's.
    is_tunnel: bool,
}

impl ProxyHop {
    /// What an answer says that is the proxy's own word and not the upstream's, for people.
    pub fn own_refusal(&self, status: StatusCode, headers: &HeaderMap) -> Option<String> {
        let is_its_own = match status.as_u16() {
            407 => true,
            // Some say so to a login that is wrong.
            401 => headers.contains_key(PROXY_AUTHENTICATE),
            _ => false,
        };
        (is_its_own && !self.is_tunnel).then(|| self.credentials_required())
    }

    /// What its failure among an error's causes means, for people.
    pub(super) fn explain(&self, cause: &(dyn Error + 'static)) -> Option<String> {
        // The library does not let out its type.
        let text = cause.to_string();
        let name = &self.name;
        let text = match text.strip_prefix("tunnel error: ")? {
            "proxy authorization required" => self.credentials_required(),
            "unsuccessful" => format!("the proxy {name} refuses to connect there"),
            "unexpected end of file" => format!("the proxy {name} closed the connection"),
            _ => self.unreachable(cause),
        };
        Some(text)
    }

    /// What a connection that was not made means: without a tunnel, it was one to the proxy.
    pub(super) fn connect_failure(&self, cause: &(dyn Error + 'static)) -> Option<String> {
        (!self.is_tunnel).then(|| self.unreachable(cause))
    }

    fn credentials_required(&self) -> String {
        format!("the proxy {} refuses its credentials (407)", self.name)
    }

    fn unreachable(&self, cause: &(dyn Error + 'static)) -> String {
        let causes = iter::successors(Some(cause), |cause| (*cause).source());
        let told = causes.clone().find_map(tls::explain);
        let innermost = || causes.last().unwrap_or(cause).to_string();
        let why = told.unwrap_or_else(innermost);
        format!("the proxy {} could not be reached: {why}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a request to this URL passes a proxy.
    fn takes(proxy: &ProxySettings, url: &str) -> bool {
        proxy.matcher().proxy_for(&url.parse().unwrap()).is_some()
    }

    fn proxy(direct: Option<&str>) -> ProxySettings {
        ProxySettings {
            http: Some(Secret::new("http://user:canary@proxy.corp:3128")),
            https: Some(Secret::new("proxy.corp:3129")),
            no_proxy: direct.map(str::to_owned),
        }
    }

    #[test]
    fn addresses_are_http_or_https_and_nothing_more() {
        for good in [
            "http://p:1",
            "https://p",
            "p:3128",
            "http://u:p@p:1/",
            "10.0.0.1:8080",
            "[::1]:1",
        ] {
            assert!(ProxySettings::parse_url(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "socks5://p:1",
            "http://",
            "http://p/x",
            "http://p?x",
            "p q",
        ] {
            assert_eq!(ProxySettings::parse_url(bad), Err(InvalidProxy), "{bad}");
        }
        assert_eq!(proxy(None).hosts(), ["proxy.corp", "proxy.corp"]);
        assert!(!format!("{:?}", proxy(None)).contains("canary"));
    }

    #[test]
    fn no_proxy_reads_as_everywhere() {
        let check = |direct: Option<&str>, url: &str, want: bool| {
            assert_eq!(takes(&proxy(direct), url), want, "{direct:?} {url}");
        };
        for (direct, is_own_direct) in [(Some(""), true), (Some("corp"), true), (None, false)] {
            check(direct, "https://quay.io/v2/", true);
            check(direct, "http://quay.io/v2/", true);
            for own in [
                "http://localhost:5000",
                "http://a.localhost",
                "http://127.0.0.1:5000",
                "https://[::1]",
            ] {
                check(direct, own, !is_own_direct);
            }
        }
        check(Some("quay.io"), "https://quay.io/", false);
        check(Some("quay.io"), "https://cdn.quay.io/", false);
        check(Some("quay.io"), "https://notquay.io/", true);
        check(Some(".corp"), "https://a.corp/", false);
        check(Some("*.corp, x"), "https://a.b.corp/", false);
        check(Some("a b"), "https://b/", false);
        check(Some("*"), "https://quay.io/", false);
        check(Some("harbor.corp:5000"), "http://harbor.corp:5000/", false);
        check(Some("10.0.0.0/8"), "https://10.1.2.3/", false);
        check(Some("10.0.0.0/8"), "https://11.1.2.3/", true);
        check(Some("fd00::1"), "https://[fd00::1]/", false);
        check(Some("[fd00::1]:5000"), "https://[fd00::1]:5000/", false);
    }

    #[test]
    fn a_proxy_is_named_without_its_login_and_its_word_is_told_from_the_upstreams() {
        let ways = proxy(None).matcher();
        let passed = |url: &str| ways.proxy_for(&url.parse().unwrap()).unwrap();
        let (plain, tunnel) = (passed("http://quay.io/"), passed("https://quay.io/"));
        assert_eq!(plain.name, "proxy.corp:3128");
        assert_eq!(tunnel.name, "proxy.corp:3129");
        assert!(!format!("{ways:?}").contains("canary"));
        let bare = HeaderMap::new();
        let mut marked = HeaderMap::new();
        marked.insert(PROXY_AUTHENTICATE, http::HeaderValue::from_static("Basic"));
        for (way, status, headers, want) in [
            (&plain, 407, &bare, true),
            (&plain, 401, &marked, true),
            (&plain, 401, &bare, false),
            (&plain, 403, &marked, false),
            // What comes through a tunnel is the upstream's.
            (&tunnel, 407, &bare, false),
            (&tunnel, 401, &marked, false),
        ] {
            let told = way.own_refusal(StatusCode::from_u16(status).unwrap(), headers);
            assert_eq!(told.is_some(), want, "{way:?} {status}");
        }
        let standard = ProxySettings {
            http: Some(Secret::new("https://p")),
            ..ProxySettings::default()
        };
        let way = standard.matcher().proxy_for(&"http://a".parse().unwrap());
        assert_eq!(way.unwrap().name, "p:443");
    }
}
