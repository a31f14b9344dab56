//! Token services that must not get the configured credentials: T06 and B095.

use std::net::Ipv4Addr;

use fake_registry::{Canary, FakeRegistry, Fault, Match, Recorded};

use crate::{
    mirror::{Mirror, PASSWORD},
    nginx::{REPOSITORY, image},
};

/// Another host than every registry of a scene.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Whether a request carries the password, in whatever form.
fn is_ours(request: &Recorded) -> bool {
    let basic = request.header("authorization");
    let body = String::from_utf8_lossy(&request.body);
    let query = request.query.as_deref().unwrap_or_default();
    basic.is_some_and(|value| value.starts_with("Basic "))
        || [&*body, query].iter().any(|text| text.contains(PASSWORD))
}

/// Realms that lead to port `port` of another host, or nowhere, and that a lax parser takes for the
/// registry's own.
fn hostile(port: u16, own: &str) -> Vec<String> {
    let there = format!("127.0.0.2:{port}");
    let own_port = own.rsplit(':').next().unwrap_or_default();
    let mut realms: Vec<String> = [
        "http://THERE/token",
        "HTTP://THERE/token",
        "https://THERE/token",
        " http://THERE/token ",
        "http://OWN@THERE/token",
        "http://robot:x@THERE/token",
        "http://THERE/token#OWN",
        "http://THERE/token?OWN",
        "http://THERE/OWN/token",
        "http://THERE\\\\@OWN/token",
        "http:\\\\\\\\THERE\\\\token",
        "http:/\\\\THERE/token",
        "http:THERE/token",
        "http:///THERE/token",
        "//THERE/token",
        "\\\\\\\\THERE/token",
        "http://2130706434:PORT/token",
        "http://0x7f000002:PORT/token",
        "http://0x7f.0.0.2:PORT/token",
        "http://017700000002:PORT/token",
        "http://0177.0.0.2:PORT/token",
        "http://127.2:PORT/token",
        "http://127.0.2:PORT/token",
        "http://127.0.0.2.:PORT/token",
        "http://[::ffff:127.0.0.2]:PORT/token",
        "http://[::ffff:7f00:2]:PORT/token",
        "http://%31%32%37.0.0.2:PORT/token",
        "http://127%2e0%2e0%2e2:PORT/token",
        "http://localhost:PORT/token",
        "http://localhost.:PORT/token",
        "http://127.0.0.1.example.invalid:OWNPORT/token",
        "http://example.invalid/?http://OWN/token",
        "http://169.254.169.254/latest/meta-data",
        "http://[fd00:ec2::254]/latest/meta-data",
        "http://[fe80::1]/token",
        "http://10.0.0.1:1/token",
        "http://0.0.0.0:PORT/token",
        "file:///etc/passwd",
        "data:application/json,{}",
        "gopher://THERE/token",
        "ftp://THERE/token",
        "unix:/run/docker.sock",
        "javascript:0",
        "token",
        "/../token",
        "?token",
        "http://",
        "http://:PORT/token",
        "",
        "http://THERE/%0d%0aHost:%20OWN/token",
        "http://THERE\t/token",
        "http://127.0.0.1:99999/token",
    ]
    .iter()
    .map(|text| {
        text.replace("THERE", &there)
            .replace("OWNPORT", own_port)
            .replace("OWN", own)
            .replace("PORT", &port.to_string())
    })
    .collect();
    realms.push(format!("http://{there}/{}", "x".repeat(40_000)));
    realms
}

#[tokio::test]
async fn t06_b095_a_hostile_realm_never_gets_the_password() {
    let canary = Canary::on(ELSEWHERE).await;
    let hub = FakeRegistry::builder().bearer("robot", PASSWORD);
    let hub = hub.start().await;
    let honest = image(&hub);
    let mirror = Mirror::logging_in(&hub, "").start().await;
    let realms = hostile(canary.address().port(), hub.host());
    assert!(realms.len() >= 30);
    for (at, realm) in realms.iter().enumerate() {
        let repository = format!("library/n{at}");
        let challenge = format!("Bearer realm=\"{realm}\",service=\"x\",scope=\"y\"");
        let refusal = Fault::Unauthorized(Some(challenge));
        hub.next(Match::repository(&repository), refusal).always();
        let reply = mirror.manifest(&repository, "1").reply().await;
        assert!([403, 502, 503].contains(&reply.status), "{realm:.60}");
        assert_eq!(reply.header("www-authenticate"), None, "T09");
        assert!(!canary.knows("robot", PASSWORD), "{realm:.60}");
        // The registry itself gets no password either, because its challenge did not ask for one.
        assert!(!hub.requests().iter().any(is_ours), "{realm:.60}");
    }
    // An honest registry is not affected afterwards.
    mirror.pulls(REPOSITORY, "1", &honest, "").await;
    let asked = hub.asked(Match::token());
    assert!(asked.iter().all(is_ours) && asked.len() == 1);
}

/// A realm that is valid at first and turns hostile while the mirror runs.
#[tokio::test]
async fn t06_a_realm_that_changes_takes_nothing_with_it() {
    let canary = Canary::on(ELSEWHERE).await;
    let hub = FakeRegistry::builder().bearer("robot", PASSWORD);
    let hub = hub.start().await;
    let image = image(&hub);
    let mirror = Mirror::logging_in(&hub, "").start().await;
    mirror.pulls(REPOSITORY, "1", &image, "").await;
    hub.expire_tokens();
    let challenge = format!("Bearer realm=\"http://{}/token\"", canary.address());
    let refusal = Fault::Unauthorized(Some(challenge));
    let hostile = hub.next(Match::repository(REPOSITORY), refusal).always();
    for _again in 0..3 {
        let reply = mirror.manifest(REPOSITORY, "1").reply().await;
        assert_eq!(reply.body, image.manifest.bytes, "stale");
        assert!(reply.header("warning").is_some());
    }
    assert!(!canary.knows("robot", PASSWORD));
    assert!(hostile.met() > 0);
    hostile.stop();
    let reply = mirror.manifest(REPOSITORY, "1").reply().await;
    assert_eq!(
        reply.header("warning"),
        None,
        "the right realm is found again"
    );
}

/// A redirect of the registry's own token service is not followed.
#[tokio::test]
async fn t06_a_realm_that_redirects_leads_nowhere() {
    for status in [301, 302, 303, 307, 308] {
        let canary = Canary::on(ELSEWHERE).await;
        let hub = FakeRegistry::builder().bearer("robot", PASSWORD);
        let hub = hub.start().await;
        image(&hub);
        let to = format!("http://{}/token", canary.address());
        hub.next(Match::token(), Fault::Redirect(status, to))
            .always();
        let mirror = Mirror::logging_in(&hub, "").start().await;
        let reply = mirror.manifest(REPOSITORY, "1").reply().await;
        assert!([403, 502].contains(&reply.status), "{status}");
        assert_eq!(canary.connections(), 0, "{status}");
    }
}

/// Without credentials, an anonymous token of a foreign service may be used.
#[tokio::test]
async fn b095_without_a_login_a_foreign_realm_is_asked_for_an_anonymous_token() {
    let canary = Canary::on(ELSEWHERE).await;
    let realm = format!("http://{}/token", canary.address());
    let hub = FakeRegistry::builder().bearer_anonymous().realm(&realm);
    let hub = hub.start().await;
    image(&hub);
    let mirror = Mirror::of(&hub).start().await;
    let reply = mirror.manifest(REPOSITORY, "1").reply().await;
    assert_eq!(reply.status, 403, "its token is not the hub's");
    let heard = canary.heard();
    assert!(heard[0].starts_with("GET /token?"), "{heard:?}");
    assert!(
        !heard
            .iter()
            .any(|text| text.to_lowercase().contains("authorization"))
    );
}

/// The canary does record a password sent to it, so its silence in the other tests is proof.
#[tokio::test]
async fn a_realm_that_is_listed_gets_the_login() {
    let canary = Canary::on(ELSEWHERE).await;
    let realm = format!("http://{}/token", canary.address());
    let hub = FakeRegistry::builder().bearer("robot", PASSWORD);
    let hub = hub.realm(&realm).start().await;
    image(&hub);
    let mirror = Mirror::logging_in(&hub, "realms = [\"127.0.0.2\"]");
    let mirror = mirror.start().await;
    let reply = mirror.manifest(REPOSITORY, "1").reply().await;
    assert_eq!(reply.status, 403, "its token is not the hub's");
    assert!(canary.knows("robot", PASSWORD));
    assert!(!hub.requests().iter().any(is_ours));
}
