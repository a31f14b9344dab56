//! One try: what goes over the wire to one endpoint, its login and its redirects included.

use std::time::SystemTime;

use http::header::LOCATION;
use reqwest::Response;
use tokio::time::Instant;

use super::{
    endpoint::Endpoint,
    exchange_state::ExchangeState,
    failure::{AttemptFailure, checked_response},
    judge::{self, Verdict},
    request::{Responder, UpstreamRequest},
    retry::RetryCause,
    retry_after,
    state::Caller,
};
use crate::{
    connect::{causes, client_certificate_refused},
    upstream::{
        authentication::authorization::Authorization,
        error::{ProtocolViolation, UpstreamError},
    },
};

impl Caller {
    /// Sends, logs in as the endpoint asks for it, and follows redirects.
    pub(in crate::upstream) async fn exchange(
        &self,
        endpoint: &Endpoint,
        request: &UpstreamRequest,
        state: &mut ExchangeState,
    ) -> Result<Response, AttemptFailure> {
        loop {
            state.auth.sent = match state.responder() {
                Responder::RedirectTarget => Authorization::None,
                Responder::Endpoint => Box::pin(self.authorize(endpoint, request, state)).await?,
            };
            let response = self.send(endpoint, request, state).await?;
            let verdict = state.judge(&response, request);
            self.count(request, verdict.label());
            match verdict {
                Verdict::Use => return Ok(response),
                Verdict::Challenged => {
                    let headers = response.headers();
                    Box::pin(self.handle_challenge(endpoint, request, headers, state)).await?;
                }
                Verdict::TokenRejected => self.drop_token(&state.auth.sent),
                Verdict::Follow => {
                    let location = response.headers().get(LOCATION);
                    let location = location.map(http::HeaderValue::as_bytes);
                    state
                        .follow(endpoint, location, &self.guard)
                        .map_err(|breach| {
                            AttemptFailure::violation(state.responsible_host(endpoint), breach)
                        })?;
                }
                verdict => return Err(self.rejected(verdict, &response, endpoint, state)),
            }
        }
    }

    /// One request and the head of its answer.
    pub(in crate::upstream) async fn send(
        &self,
        endpoint: &Endpoint,
        request: &UpstreamRequest,
        state: &mut ExchangeState,
    ) -> Result<Response, AttemptFailure> {
        let (client, proxy) = match &endpoint.socket {
            Some(socket) if !state.left_origin => (socket, None),
            _ => (
                self.clients.client_for(&state.url).map_err(|forbidden| {
                    AttemptFailure::violation(state.responsible_host(endpoint), forbidden.into())
                })?,
                self.clients.proxy_for(&state.url),
            ),
        };
        let builder = client
            .request(request.method.clone(), state.url.clone())
            .headers(request.headers(state.responder()));
        let began = Instant::now();
        let sent = state.auth.sent.apply(builder).send().await;
        if let Err(error) = &sent
            && let Some(detail) = self.certificate_refused(error, state)
        {
            self.count(request, Verdict::Refused.label());
            return Err(AttemptFailure::permanent(UpstreamError::Refused {
                endpoint: state.responsible_host(endpoint),
                with_credentials: true,
                detail,
            }));
        }
        let response =
            match checked_response(sent, state.responsible_host(endpoint), proxy.as_ref()) {
                Ok(response) => response,
                Err(failure) => {
                    self.count(request, "unreachable");
                    return Err(AttemptFailure {
                        cause: failure.cause.map(|cause| state.attribute(cause)),
                        ..failure
                    });
                }
            };
        state.endpoint_responses += usize::from(!state.left_origin);
        let name = &self.settings.label;
        self.metrics.upstream_answered(name, began.elapsed());
        if let Some(remaining) = judge::rate_limit_remaining(response.headers()) {
            self.metrics.upstream_budget(name, remaining);
        }
        judge::head_size(response.headers()).map_err(|breach| {
            AttemptFailure::violation(state.responsible_host(endpoint), breach)
        })?;
        Ok(response)
    }

    /// A handshake that failed over the certificate that we showed is a refused login.
    fn certificate_refused(
        &self,
        error: &reqwest::Error,
        state: &ExchangeState,
    ) -> Option<&'static str> {
        let is_shown = !state.left_origin && self.settings.transport.identity.is_some();
        causes(error)
            .find_map(client_certificate_refused)
            .filter(|_| is_shown)
    }

    /// The error that a status stands for.
    fn rejected(
        &self,
        verdict: Verdict,
        response: &Response,
        endpoint: &Endpoint,
        state: &ExchangeState,
    ) -> AttemptFailure {
        let endpoint = state.responsible_host(endpoint);
        let status = response.status().as_u16();
        match verdict {
            Verdict::Absent => AttemptFailure::permanent(UpstreamError::Absent { endpoint }),
            Verdict::Refused => AttemptFailure::permanent(UpstreamError::Refused {
                endpoint,
                with_credentials: !state.left_origin && state.auth.credential.is_some(),
                detail: "it forbids this",
            }),
            Verdict::Throttled => {
                let retry_after = retry_after::from_headers(response.headers(), SystemTime::now());
                self.rate_limit.back_off(retry_after, Instant::now());
                AttemptFailure {
                    error: UpstreamError::Throttled {
                        endpoint,
                        retry_after,
                    },
                    cause: Some(RetryCause::Throttled),
                }
            }
            Verdict::TransientFailure => AttemptFailure {
                error: UpstreamError::Failed { endpoint, status },
                cause: Some(state.attribute(RetryCause::ServerError)),
            },
            Verdict::PermanentFailure => {
                AttemptFailure::permanent(UpstreamError::Failed { endpoint, status })
            }
            // Another endpoint leads to the same circle, and this one does well otherwise.
            Verdict::Loop => AttemptFailure::permanent(UpstreamError::Loop { endpoint }),
            Verdict::Use
            | Verdict::Follow
            | Verdict::Challenged
            | Verdict::TokenRejected
            | Verdict::Unexpected => AttemptFailure::violation(
                endpoint,
                ProtocolViolation::Head("a status that makes no sense here"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        connect::ForbiddenAddress,
        oci::Reference,
        secret::Secret,
        upstream::{
            Credential, CredentialSource, EndpointAddress, Keyring, KeyringEntry, Upstream,
            scene::{NAME, Scene, VIA, digest, upstream, with},
        },
    };

    async fn blob(upstream: &Upstream) -> Result<Vec<u8>, UpstreamError> {
        with(async |ask| {
            let mut stream = upstream.blob(&ask, &digest(b"hello"), 0).await?;
            let mut bytes = Vec::new();
            while let Some(chunk) = stream.next().await? {
                bytes.extend_from_slice(&chunk);
            }
            Ok(bytes)
        })
        .await
    }

    fn path() -> String {
        format!("GET /v2/{NAME}/blobs/{}", digest(b"hello"))
    }

    fn logged_in(scene: &Scene) -> Upstream {
        upstream(vec![scene.endpoint()], |settings| {
            let credential = Credential::Password {
                username: "user".into(),
                password: Secret::new("canary"),
            };
            settings.keyring = Keyring::new(vec![KeyringEntry {
                scope: "test".parse().unwrap(),
                source: CredentialSource::Static(credential),
            }]);
        })
    }

    #[tokio::test]
    async fn a_login_stays_at_its_origin() {
        let (home, away) = (Scene::new().await, Scene::new().await);
        home.on(
            &path(),
            "HTTP/1.1 401 U\nwww-authenticate: Basic realm=x",
            b"",
        );
        home.on(&path(), "HTTP/1.1 302 F\nlocation: /here?x=1", b"");
        let to_away = format!("HTTP/1.1 307 T\nlocation: {}", away.url("/signed?s=1"));
        home.on("GET /here?x=1", &to_away, b"");
        let to_home = format!("HTTP/1.1 307 T\nlocation: {}", home.url("/back"));
        away.on("GET /signed?s=1", &to_home, b"");
        home.on("GET /back", "HTTP/1.1 200 K", b"hello");
        let upstream = logged_in(&home);
        assert_eq!(blob(&upstream).await.unwrap(), b"hello");
        let sent = |request: &String| request.contains("authorization: Basic dXNlcjpjYW5hcnk=");
        let logins: Vec<_> = home.asked().iter().map(sent).collect();
        assert_eq!(logins, [false, true, true, false]);
        assert!(
            !away
                .asked()
                .iter()
                .any(|request| request.contains("authorization"))
        );
        // The second time no refusal is needed first.
        assert_eq!(blob(&upstream).await.unwrap(), b"hello");
        assert!(sent(&home.asked()[4]));
        assert!(!format!("{upstream:?} {:?}", upstream.settings()).contains("canary"));
    }

    #[tokio::test]
    async fn refusals_say_whose_login_it_was() {
        let scene = Scene::new().await;
        scene.on(
            &path(),
            "HTTP/1.1 401 U\nwww-authenticate: Basic realm=x",
            b"",
        );
        let check = async |upstream: Upstream, with: bool, why: &str| {
            let error = blob(&upstream).await.unwrap_err();
            let UpstreamError::Refused {
                with_credentials,
                detail,
                ..
            } = error
            else {
                panic!("{error}");
            };
            assert_eq!((with_credentials, detail), (with, why));
        };
        let anonymous = upstream(vec![scene.endpoint()], |_| {});
        check(anonymous, false, "it needs a login").await;
        assert_eq!(scene.asked().len(), 1);
        check(logged_in(&scene), true, "it does not accept the login").await;
        assert_eq!(scene.asked().len(), 3);
        let token = Scene::new().await;
        token.on(
            &path(),
            "HTTP/1.1 401 U\nwww-authenticate: Bearer realm=\"r\"",
            b"",
        );
        let error = blob(&logged_in(&token)).await.unwrap_err();
        assert!(
            matches!(error, UpstreamError::ProtocolViolation { .. }),
            "{error}"
        );
        assert_eq!(token.asked().len(), 1);
    }

    #[tokio::test]
    async fn an_expired_address_is_asked_for_again() {
        let (home, away) = (Scene::new().await, Scene::new().await);
        for signature in ["old", "new"] {
            let location = away.url(&format!("/{signature}"));
            home.on(
                &path(),
                &format!("HTTP/1.1 307 T\nlocation: {location}"),
                b"",
            );
        }
        away.on("GET /old", "HTTP/1.1 403 F", b"");
        away.on("GET /new", "HTTP/1.1 200 K", b"hello");
        let upstream = upstream(vec![home.endpoint()], |_| {});
        assert_eq!(blob(&upstream).await.unwrap(), b"hello");
    }

    #[tokio::test]
    async fn bad_redirects_are_not_followed() {
        let loops = "/loop";
        for location in [
            loops,
            "http://169.254.169.254/latest",
            "http://u:p@127.0.0.1/",
            "ftp://x/",
        ] {
            let scene = Scene::new().await;
            let head = format!("HTTP/1.1 307 T\nlocation: {location}");
            scene.on(&path(), &head, b"");
            scene.on("GET /loop", &head, b"");
            let upstream = upstream(vec![scene.endpoint()], |_| {});
            let error = blob(&upstream).await.unwrap_err();
            assert!(
                matches!(error, UpstreamError::ProtocolViolation { .. }),
                "{location}: {error}"
            );
            let hops = if location == loops { 6 } else { 1 };
            assert_eq!(scene.asked().len(), hops, "{location}");
        }
    }

    #[tokio::test]
    async fn names_are_judged_where_they_are_resolved() {
        let scene = Scene::new().await;
        let name = format!("http://localhost:{}", scene.address.port());
        let near = upstream(vec![EndpointAddress::Url(name.clone())], |_| {});
        let absent = blob(&near).await;
        assert!(
            matches!(absent, Err(UpstreamError::Absent { .. })),
            "{absent:?}"
        );
        let far = upstream(
            vec![EndpointAddress::Url("http://192.0.2.1".into())],
            |_| {},
        );
        let judged = far.0.clients.client_for(&name.parse().unwrap());
        assert_eq!(judged.map(drop), Err(ForbiddenAddress));
        assert_eq!(scene.asked().len(), 1);
    }

    #[tokio::test]
    async fn heads_that_make_no_sense_are_breaches() {
        let large = format!("HTTP/1.1 200 K\nx: {}", "a".repeat(70_000));
        let many = format!("HTTP/1.1 200 K{}", "\nx: y".repeat(300));
        for head in ["HTTP/1.1 204 N", "HTTP/1.1 304 N", "hello", &large, &many] {
            let scene = Scene::new().await;
            scene.on(&path(), head, b"");
            let upstream = upstream(vec![scene.endpoint()], |_| {});
            let error = blob(&upstream).await.unwrap_err();
            assert!(
                matches!(error, UpstreamError::ProtocolViolation { .. }),
                "{head:.30}: {error}"
            );
        }
    }

    #[tokio::test]
    async fn requests_are_built_from_scratch() {
        let scene = Scene::new().await;
        let upstream = upstream(vec![scene.endpoint()], |settings| settings.send_ns = true);
        let tag = Reference::Tag("1".parse().unwrap());
        let absent = with(async |ask| upstream.manifest(&ask, &tag).await).await;
        assert!(matches!(absent, Err(UpstreamError::Absent { .. })));
        let asked = scene.asked();
        let mut lines: Vec<_> = asked[0].trim_end().split("\r\n").collect();
        lines.sort_unstable();
        let want = [
            format!("GET /v2/{NAME}/manifests/1?ns=docker.io HTTP/1.1"),
            "accept-encoding: identity".into(),
            format!("accept: {}", crate::oci::MediaType::MANIFEST_ACCEPT),
            format!("host: {}", scene.address),
            format!("user-agent: roadstead/{}", env!("CARGO_PKG_VERSION")),
            format!("via: {VIA}"),
        ];
        assert_eq!(lines, want);
    }
}
