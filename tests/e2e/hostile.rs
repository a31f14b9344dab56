//! Upstreams that put secrets where they do not belong.

use std::net::SocketAddr;

use super::{
    http,
    web::{Request, Response, Web},
};

/// Answers of a registry that are passed on.
const PASSED: [&str; 2] = ["content-type", "docker-content-digest"];

/// A registry whose blobs lie behind redirects with a signature in the query.
pub(crate) fn signing(registry: SocketAddr, storage: SocketAddr, signature: &'static str) -> Web {
    Web::serve(move |request| {
        let target = &request.target;
        if !target.contains("/blobs/") {
            return pass(registry, request, target);
        }
        let place = format!("http://{storage}{target}?X-Amz-Signature={signature}");
        Response::new(307, format!("go to {place}")).header("Location", place)
    })
}

/// The storage behind it; what it does not have, it names with the whole query.
pub(crate) fn storage(registry: SocketAddr, signature: &'static str) -> Web {
    Web::serve(move |request| {
        let (path, query) = request.target.split_once('?').unwrap_or_default();
        if query != format!("X-Amz-Signature={signature}") {
            return Response::new(403, "not signed");
        }
        let response = pass(registry, request, path);
        if response.status == 200 {
            return response;
        }
        Response::new(403, format!("denied: {}", request.target))
            .header("Location", format!("http://{path}?{query}"))
    })
}

/// A registry that wants one token; asked for a tag `echo-STATUS` it gives back what it was sent.
pub(crate) fn echoing(registry: SocketAddr, token: &'static str) -> Web {
    Web::serve(move |request| {
        let sent = request.header("authorization").unwrap_or_default();
        if let Some((_, status)) = request.target.split_once("/manifests/echo-") {
            let challenge =
                format!(r#"Bearer realm="http://{sent}/",service="{sent}",error="{sent}""#);
            return Response::new(status.parse().unwrap(), format!("you sent {sent}"))
                .header("Content-Type", sent)
                .header("Location", format!("/{sent}"))
                .header("Docker-Content-Digest", sent)
                .header("X-Request-Id", sent)
                .header("WWW-Authenticate", challenge);
        }
        if sent != format!("Bearer {token}") {
            return Response::new(401, "who are you?").header(
                "WWW-Authenticate",
                r#"Bearer realm="http://127.0.0.1:1/",service="echo""#,
            );
        }
        pass(registry, request, &request.target)
    })
}

/// Asks for the whole also where only the head is wanted, so that its length is known.
fn pass(registry: SocketAddr, request: &Request, target: &str) -> Response {
    let accept = request.header("accept").unwrap_or("*/*");
    let headers = [("Accept", accept)];
    let reply = http::send(registry, "GET", target, &headers, None).unwrap();
    let mut response = Response::new(reply.status, "");
    for name in PASSED {
        if let Some(value) = reply.header(name) {
            response = response.header(name, value);
        }
    }
    response.body = reply.bytes();
    response
}
