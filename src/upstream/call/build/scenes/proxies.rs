//! Proxies, played with real servers on loopback.

use super::*;
use crate::{
    connect::ProxySettings,
    secret::Secret,
    upstream::scene::{NAME, Scene, upstream, with},
};

/// Carries bytes to `server` whatever name it is asked for.
async fn tunnel(server: SocketAddr) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Server {
        address: listener.local_addr().unwrap(),
        heard: Arc::default(),
        met: Arc::default(),
    };
    let heard = Arc::clone(&proxy.heard);
    spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = Vec::new();
            while !bytes.ends_with(b"\r\n\r\n") {
                bytes.push(stream.read_u8().await.unwrap());
            }
            heard.lock().push(String::from_utf8(bytes).unwrap());
            let mut there = TcpStream::connect(server).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            spawn(async move {
                drop(tokio::io::copy_bidirectional(&mut stream, &mut there).await);
            });
        }
    });
    proxy
}

fn through(proxy: &str) -> ProxySettings {
    ProxySettings {
        http: Some(Secret::new(proxy)),
        https: Some(Secret::new(proxy)),
        no_proxy: Some("direct.test".into()),
    }
}

#[tokio::test]
async fn a_proxy_carries_what_is_for_others() {
    let ca = authority("ca");
    let names = ["r.test", "direct.test"];
    let paper = TestCertificate {
        names: &names,
        years: VALID,
        issuer: Some(&ca),
    }
    .write();
    let server = Server::tls(&paper, None).await;
    let proxy = tunnel(server.address).await;
    let address = format!("http://user:canary@proxy.test:{}", proxy.address.port());
    let built = built(|settings| {
        settings.transport.authorities = Authorities::from_pem(&ca.pem()).unwrap();
        settings.transport.proxy = through(&address);
        let direct = EndpointAddress::Url("https://direct.test".into());
        settings.endpoints.push(direct);
    });
    assert_eq!(ask(&built, &server.url("r.test")).await, Ok(200));
    let [heard] = proxy.heard().try_into().unwrap();
    let login = "proxy-authorization: Basic dXNlcjpjYW5hcnk=";
    assert!(
        heard.starts_with("CONNECT r.test:") && heard.contains(login),
        "{heard}"
    );
    // What is written as an address is judged although the proxy would connect.
    for target in [
        "https://169.254.169.254/",
        "https://10.0.0.1/",
        "http://localhost./",
    ] {
        let told = ask(&built, &target.parse().unwrap()).await.unwrap_err();
        assert!(told.contains("must not be contacted"), "{target}: {told}");
    }
    assert_eq!(ask(&built, &server.url("direct.test")).await, Ok(200));
    assert_eq!(proxy.heard().len(), 1);
    let asked = server.heard().concat();
    assert!(
        !asked.to_lowercase().contains("proxy-authorization"),
        "{asked}"
    );
    assert!(!format!("{:?} {:?}", built.clients, built.guard).contains("canary"));
}

#[tokio::test]
async fn a_proxy_that_fails_is_named_without_its_login() {
    let told = async |scheme: &str, address: &str| {
        let built = built(|settings| {
            settings.transport.proxy = through(address);
            settings.connect_max = Duration::from_secs(2);
        });
        let url = format!("{scheme}://r.test/").parse().unwrap();
        let told = ask(&built, &url).await.unwrap_err();
        assert!(!told.contains("canary"), "{told}");
        told
    };
    let wants_login = "refuses its credentials (407)";
    for (scheme, status, want) in [
        ("https", "407 Proxy Authentication Required", wants_login),
        ("https", "403 Forbidden", "refuses to connect there"),
        ("https", "502 Bad Gateway", "refuses to connect there"),
        ("http", "407 Proxy Authentication Required", wants_login),
        ("http", "401 U\r\nproxy-authenticate: Basic", wants_login),
    ] {
        let proxy = Server::plain(status).await;
        let port = proxy.address.port();
        let found = told(scheme, &format!("http://user:canary@proxy.test:{port}")).await;
        assert_eq!(found, format!("the proxy proxy.test:{port} {want}"));
    }
    // A port without a listener.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = gone.local_addr().unwrap().port();
    drop(gone);
    for scheme in ["https", "http"] {
        let found = told(scheme, &format!("http://user:canary@proxy.test:{port}")).await;
        let want = format!("the proxy proxy.test:{port} could not be reached: ");
        assert!(found.starts_with(&want), "{scheme}: {found}");
    }
    // The proxy's own certificate is checked, whatever holds for the upstream's.
    let paper = TestCertificate {
        names: &["proxy.test"],
        years: VALID,
        issuer: None,
    }
    .write();
    let proxy = Server::tls(&paper, None).await;
    let port = proxy.address.port();
    let built = built(|settings| {
        settings.transport.is_verified = false;
        settings.transport.proxy = through(&format!("https://user:canary@proxy.test:{port}"));
    });
    let found = ask(&built, &"https://r.test/".parse().unwrap())
        .await
        .unwrap_err();
    assert!(
        found.contains("could not be reached") && found.contains("ca_file"),
        "{found}"
    );
    assert!(proxy.heard().is_empty());
}

/// A proxy that was chosen for an upstream is the way to it wherever it is, and to where it leads.
#[tokio::test]
async fn a_proxy_of_its_own_carries_what_is_on_this_machine() {
    let proxy = Scene::new().await;
    let (home, away) = ("http://127.0.0.1:9", "http://127.0.0.2:9");
    let name = format!("/v2/{NAME}/manifests/1");
    let realm = format!("HTTP/1.1 401 U\nwww-authenticate: Bearer realm=\"{away}/token\"");
    let moved = format!("HTTP/1.1 307 M\nlocation: {away}/moved");
    proxy
        .on(&format!("HEAD {home}{name}"), &realm, b"")
        .on(&format!("HEAD {home}{name}"), &moved, b"")
        .on(&format!("HEAD {away}/moved"), "HTTP/1.1 200 K", b"");
    let scope = format!("repository:{NAME}:pull");
    let scope = scope.replace(':', "%3A").replace('/', "%2F");
    let asked = format!("GET {away}/token?scope={scope}");
    proxy.on(&asked, "HTTP/1.1 200 K", br#"{"token":"t"}"#);
    let ask = async |direct: Option<&str>| {
        let upstream = upstream(vec![EndpointAddress::Url(home.into())], |settings| {
            settings.transport.proxy = ProxySettings {
                no_proxy: direct.map(str::to_owned),
                ..through(&proxy.url(""))
            };
        });
        let reference = crate::oci::Reference::Tag("1".parse().unwrap());
        with(async |ask| upstream.manifest_head(&ask, &reference).await.map(drop)).await
    };
    assert!(ask(None).await.is_ok());
    assert_eq!(proxy.asked().len(), 4);
    // The environment's proxies are not used for this machine.
    let error = ask(Some("")).await.unwrap_err();
    assert!(
        error.is_transient() && !error.to_string().contains("proxy"),
        "{error}"
    );
    assert_eq!(proxy.asked().len(), 4);
}

#[test]
fn an_address_of_a_proxy_that_is_none_is_not_repeated() {
    let mut settings = UpstreamDefaults::default().for_host(&"r.test".parse().unwrap());
    settings.transport.proxy = through("socks5://user:canary@p:1");
    let Err(error) = build(&settings) else {
        panic!("an unusable proxy was accepted");
    };
    assert!(!error.to_string().contains("canary"), "{error}");
}
