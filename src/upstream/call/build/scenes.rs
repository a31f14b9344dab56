//! Handshakes, played with real servers on loopback.

mod proxies;

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::{
    connect::ForbiddenAddress,
    tls::{Authorities, Identity, provider},
    upstream::{UpstreamDefaults, UpstreamError, call::failure},
};

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// An authority.
fn authority(name: &str) -> Issuer {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Names and dates of a certificate, and its issuer; none: self-signed.
struct TestCertificate<'a> {
    names: &'a [&'a str],
    years: (i32, i32),
    issuer: Option<&'a Issuer>,
}

impl TestCertificate<'_> {
    /// Chain and key as PEM.
    fn write(&self) -> (String, String) {
        let names: Vec<_> = self.names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(self.years.0, 1, 1);
        params.not_after = date_time_ymd(self.years.1, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = match self.issuer {
            Some(issuer) => params.signed_by(&key, issuer),
            None => params.self_signed(&key),
        };
        (certificate.unwrap().pem(), key.serialize_pem())
    }
}

/// A server that counts what reaches it behind the handshake.
struct Server {
    address: SocketAddr,
    /// The requests' heads.
    heard: Arc<Mutex<Vec<String>>>,
    /// Connections accepted.
    met: Arc<Mutex<usize>>,
}

impl Server {
    /// Speaks TLS with this paper, and asks for certificates of `clients` if that is written.
    async fn tls((chain, key): &(String, String), clients: Option<&Issuer>) -> Self {
        let identity = Identity::from_pem(chain, key).unwrap();
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(issuer) => {
                let mut roots = RootCertStore::empty();
                roots.add(issuer.der().clone()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let config = builder
            .with_single_cert(identity.chain(), identity.key())
            .unwrap();
        Self::start(Some(TlsAcceptor::from(Arc::new(config))), "200 OK").await
    }

    /// Speaks plain text. CONNECT leads to nowhere but `status`.
    async fn plain(status: &'static str) -> Self {
        Self::start(None, status).await
    }

    async fn start(acceptor: Option<TlsAcceptor>, status: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            heard: Arc::default(),
            met: Arc::default(),
        };
        let (heard, met) = (Arc::clone(&server.heard), Arc::clone(&server.met));
        spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *met.lock() += 1;
                let (heard, acceptor) = (Arc::clone(&heard), acceptor.clone());
                spawn(meet(stream, acceptor, status, heard));
            }
        });
        server
    }

    fn url(&self, host: &str) -> Url {
        let port = self.address.port();
        format!("https://{host}:{port}/v2/").parse().unwrap()
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().clone()
    }
}

async fn meet(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    status: &'static str,
    heard: Arc<Mutex<Vec<String>>>,
) {
    let Some(acceptor) = acceptor else {
        return answer(stream, status, &heard).await;
    };
    if let Ok(stream) = acceptor.accept(stream).await {
        answer(stream, status, &heard).await;
    }
}

async fn answer<S>(mut stream: S, status: &str, heard: &Mutex<Vec<String>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut bytes = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        bytes.push(byte);
        if bytes.ends_with(b"\r\n\r\n") {
            heard.lock().push(String::from_utf8(bytes).unwrap());
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let _sent = stream.write_all(answer.as_bytes()).await;
            let _closed = stream.shutdown().await;
            return;
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test's server is not ours to wait for"
)]
fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(work));
}

/// An upstream at `https://r.test`, whose name and every other stand for this machine.
fn built(change: impl FnOnce(&mut Settings)) -> BuiltClients {
    let mut settings = UpstreamDefaults::default().for_host(&"r.test".parse().unwrap());
    change(&mut settings);
    let here = |_host| std::future::ready(Ok(vec![Ipv4Addr::LOCALHOST.into()])).boxed();
    build_with(&settings, Arc::new(here)).unwrap()
}

/// Asks, and gives the status or what is told of the failure.
async fn ask(built: &BuiltClients, url: &Url) -> Result<u16, String> {
    let client = built
        .clients
        .client_for(url)
        .map_err(|breach| breach.to_string())?;
    let sent = client.get(url.clone()).send().await;
    let heard = failure::checked_response(sent, "x".into(), built.clients.proxy_for(url).as_ref());
    match heard.map_err(|failure| failure.error) {
        Ok(response) => Ok(response.status().as_u16()),
        Err(UpstreamError::Unreachable { detail, .. }) => Err(detail),
        Err(other) => Err(other.to_string()),
    }
}

const VALID: (i32, i32) = (2001, 3001);

#[tokio::test]
async fn t37_a_bad_certificate_ends_it_before_a_plain_byte() {
    let (good, other) = (authority("good"), authority("other"));
    let known = Authorities::from_pem(&good.pem()).unwrap();
    let check = async |names: &[&str], years, issuer, unchecked: bool, want: Result<u16, &str>| {
        let paper = TestCertificate {
            names,
            years,
            issuer,
        };
        let server = Server::tls(&paper.write(), None).await;
        let built = built(|settings| {
            settings.transport.authorities = known.clone();
            settings.transport.is_verified = !unchecked;
        });
        let found = ask(&built, &server.url("r.test")).await;
        match (&found, want) {
            (Ok(found), Ok(want)) => assert_eq!(*found, want),
            (Err(found), Err(want)) => assert!(found.contains(want), "{found} {want}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(server.heard().len(), usize::from(want.is_ok()));
        assert!(*server.met.lock() > 0);
    };
    let unknown = Err("not known; set ca_file");
    check(&["r.test"], VALID, Some(&good), false, Ok(200)).await;
    check(&["r.test"], VALID, Some(&other), false, unknown).await;
    check(&["r.test"], VALID, None, false, unknown).await;
    check(
        &["s.test"],
        VALID,
        Some(&good),
        false,
        Err("for another name"),
    )
    .await;
    check(
        &["r.test"],
        (2001, 2002),
        Some(&good),
        false,
        Err("has expired"),
    )
    .await;
    check(
        &["r.test"],
        (3000, 3001),
        Some(&good),
        false,
        Err("not valid yet"),
    )
    .await;
    // Only when the configuration says so.
    check(&["s.test"], (2001, 2002), None, true, Ok(200)).await;
}

#[tokio::test]
async fn t37_plain_text_is_never_spoken_instead() {
    let server = Server::plain("200 OK").await;
    for is_verified in [true, false] {
        let built = built(|settings| {
            settings.transport.is_verified = is_verified;
            settings.connect_max = Duration::from_millis(300);
        });
        assert!(ask(&built, &server.url("r.test")).await.is_err());
    }
    assert!(server.heard().is_empty() && *server.met.lock() > 0);
}

#[tokio::test]
async fn b103_a_name_that_stands_for_nothing_is_trouble_that_may_pass() {
    let settings = UpstreamDefaults::default().for_host(&"r.test".parse().unwrap());
    let nowhere = |_host| std::future::ready(Err(std::io::Error::other("no such name"))).boxed();
    let built = build_with(&settings, Arc::new(nowhere)).unwrap();
    let told = ask(&built, &"https://r.test/v2/".parse().unwrap()).await;
    assert_eq!(told, Err("no such name".to_owned()));
}

#[tokio::test]
async fn a_self_signed_certificate_may_be_its_own_authority() {
    let paper = TestCertificate {
        names: &["r.test"],
        years: VALID,
        issuer: None,
    }
    .write();
    let server = Server::tls(&paper, None).await;
    let built = built(|settings| {
        settings.transport.authorities = Authorities::from_pem(&paper.0).unwrap();
    });
    assert_eq!(ask(&built, &server.url("r.test")).await, Ok(200));
}

#[tokio::test]
async fn our_certificate_is_shown_to_the_near_alone() {
    let ca = authority("ca");
    let paper = |name: &'static str| {
        let names = &[name];
        TestCertificate {
            names,
            years: VALID,
            issuer: Some(&ca),
        }
        .write()
    };
    let ours = paper("client.test");
    let ours = Identity::from_pem(&ours.0, &ours.1).unwrap();
    let names = ["r.test", "cdn.test", "auth.test"];
    let server = TestCertificate {
        names: &names,
        years: VALID,
        issuer: Some(&ca),
    }
    .write();
    let server = Server::tls(&server, Some(&ca)).await;
    let with = |identity: Option<Identity>| {
        built(|settings| {
            settings.transport.authorities = Authorities::from_pem(&ca.pem()).unwrap();
            settings.transport.identity = identity;
            settings.realm_hosts = vec!["auth.test".into()];
        })
    };
    let shown = with(Some(ours));
    assert_eq!(ask(&shown, &server.url("r.test")).await, Ok(200));
    assert_eq!(ask(&shown, &server.url("auth.test")).await, Ok(200));
    let demands = "it demands a client certificate; set client_cert_file and client_key_file";
    let far = ask(&shown, &server.url("cdn.test")).await;
    assert_eq!(far, Err(demands.to_owned()));
    let none = ask(&with(None), &server.url("r.test")).await;
    assert_eq!(none, Err(demands.to_owned()));
    assert_eq!(server.heard().len(), 2);
}

#[tokio::test]
async fn what_is_not_checked_is_only_what_is_near() {
    let own = TestCertificate {
        names: &["x"],
        years: VALID,
        issuer: None,
    }
    .write();
    let server = Server::tls(&own, None).await;
    let built = built(|settings| {
        settings.transport.is_verified = false;
        settings.redirect_hosts = vec!["store.test:1".into(), "near.test".into()];
    });
    for near in ["r.test", "near.test"] {
        assert_eq!(ask(&built, &server.url(near)).await, Ok(200), "{near}");
    }
    for far in ["cdn.test", "store.test"] {
        let told = ask(&built, &server.url(far)).await.unwrap_err();
        assert!(told.contains("not known"), "{far}: {told}");
    }
    // The verifier itself holds it, too: a client may also meet a proxy.
    let near = built.clients.client_for(&server.url("r.test")).unwrap();
    assert!(near.get(server.url("cdn.test")).send().await.is_err());
    assert_eq!(server.heard().len(), 2);
}

#[tokio::test]
async fn t38_a_name_is_judged_at_each_connection() {
    let canary = Server::plain("200 OK").await;
    let mut settings = UpstreamDefaults::default().for_host(&"r.test".parse().unwrap());
    settings.named_by = NamedBy::Client;
    let here = |_host| std::future::ready(Ok(vec![Ipv4Addr::LOCALHOST.into()])).boxed();
    let built = build_with(&settings, Arc::new(here)).unwrap();
    for name in ["r.test", "cdn.test"] {
        let url = canary.url(name);
        let client = built.clients.client_for(&url).unwrap();
        let error = client.get(url).send().await.unwrap_err();
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        let mut is_forbidden = false;
        while let Some(next) = cause {
            is_forbidden |= next.is::<ForbiddenAddress>();
            cause = next.source();
        }
        assert!(is_forbidden, "{error:?}");
    }
    assert_eq!(*canary.met.lock(), 0);
}
