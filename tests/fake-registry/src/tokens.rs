//! The token service at `/token`, and the validity of its tokens.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{Method, StatusCode};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::answer::Answer;
use crate::auth::Login;
use crate::record::Recorded;
use crate::target::query_values;

/// One way in which a token service deviates from the specification; several may be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenHabit {
    /// POST gets this status; without this it is accepted with a password or a refresh token.
    RefusesPost(u16),
    /// GET gets this status.
    RefusesGet(u16),
    /// Wrong or missing credentials get this status in place of 401.
    Refuses(u16),
    /// The answer has no `token`.
    OnlyAccessToken,
    /// The answer has no `access_token`.
    OnlyToken,
    /// The answer has no `expires_in`.
    NoLifetime,
    /// `expires_in` is this JSON.
    ExpiresIn(String),
    /// The answer has this `issued_at`.
    IssuedAt(String),
    /// A request with a password gets a refresh token too, for POST.
    RefreshTokens,
    /// As that, and a refresh token is good once: the answer has the next.
    RotatingRefreshTokens,
    /// This refresh token is valid from the beginning, as one stored by `docker login`.
    IdentityToken(String),
}

/// The service's settings and state.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// The credentials required for a token; `None` requires none.
    pub(crate) login: Mutex<Option<Login>>,
    pub(crate) habits: Vec<TokenHabit>,
    /// The value of `expires_in`.
    pub(crate) lifetime_s: usize,
    /// Whether tokens expire after that.
    pub(crate) keeps_time: bool,
    /// Tokens of an earlier generation have expired.
    generation: AtomicUsize,
    /// Valid refresh tokens, and how many were ever issued.
    refresh: Mutex<(BTreeSet<String>, usize)>,
}

/// The validity of a request's bearer token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Worth {
    /// There is none.
    Missing,
    /// Expired, or of another service.
    Nothing,
    /// Good for something else.
    OtherScope,
    Good,
}

impl Tokens {
    pub(crate) fn new() -> Self {
        Self {
            login: Mutex::default(),
            habits: Vec::new(),
            lifetime_s: 300,
            keeps_time: false,
            generation: AtomicUsize::new(0),
            refresh: Mutex::default(),
        }
    }

    pub(crate) fn expire(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn change_password(&self, password: &str) {
        let mut login = self.login.lock();
        let login = login.as_mut().expect("a registry with a password");
        password.clone_into(&mut login.password);
    }

    pub(crate) fn knows_password(&self, request: &Recorded) -> bool {
        let login = self.login.lock();
        login.as_ref().is_none_or(|login| login.is_in(request))
    }

    /// The validity of this request's bearer token for `scope`.
    pub(crate) fn worth(&self, request: &Recorded, scope: Option<&str>) -> Worth {
        let header = request.header(AUTHORIZATION.as_str());
        let Some(bearer) = header.and_then(|value| value.strip_prefix("Bearer ")) else {
            return Worth::Missing;
        };
        let Some(rest) = bearer.strip_prefix(&self.prefix()) else {
            return Worth::Nothing;
        };
        let Some((issued, scopes)) = rest.split_once('-') else {
            return Worth::Nothing;
        };
        let age = now().saturating_sub(Duration::from_millis(issued.parse().unwrap_or(0)));
        if self.keeps_time && age.as_secs() >= u64::try_from(self.lifetime_s).unwrap_or(u64::MAX) {
            return Worth::Nothing;
        }
        match scope {
            Some(scope) if !scopes.split('+').any(|held| held == scope) => Worth::OtherScope,
            _ => Worth::Good,
        }
    }

    /// The token service: the token says what it is good for, so that two registries can share one.
    pub(crate) fn answer(&self, request: &Recorded) -> Answer {
        let refused = self.habits.iter().find_map(|habit| match habit {
            TokenHabit::RefusesPost(code) if request.method == Method::POST => Some(*code),
            TokenHabit::RefusesGet(code) if request.method == Method::GET => Some(*code),
            _ => None,
        });
        if let Some(code) = refused {
            return failure(code, "UNSUPPORTED");
        }
        match request.method {
            Method::GET if self.knows_password(request) => {
                let scopes = query_values(request.query.as_deref(), "scope");
                let refresh = self.new_refresh_token();
                self.token(&scopes.join(" "), refresh)
            }
            Method::POST => {
                let granted = self.granted(request);
                granted.unwrap_or_else(|| self.unknown_login())
            }
            Method::GET => self.unknown_login(),
            _ => Answer::error(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED"),
        }
    }

    /// The answer to a form; `None` if it is refused.
    fn granted(&self, request: &Recorded) -> Option<Answer> {
        let field = |name| request.form_value(name);
        let scope = field("scope").unwrap_or_default();
        match field("grant_type")?.as_str() {
            "password" => {
                let user = field("username").unwrap_or_default();
                let password = field("password").unwrap_or_default();
                let login = Login { user, password };
                let known = self.login.lock().clone();
                let right = known.is_none_or(|known| known == login);
                right.then(|| self.token(&scope, self.new_refresh_token()))
            }
            "refresh_token" => {
                let brought = field("refresh_token")?;
                if !self.is_good(&brought) {
                    return None;
                }
                if !self.has(&TokenHabit::RotatingRefreshTokens) {
                    return Some(self.token(&scope, Some(brought)));
                }
                self.refresh.lock().0.remove(&brought);
                Some(self.token(&scope, self.new_refresh_token()))
            }
            _ => None,
        }
    }

    fn is_good(&self, refresh: &str) -> bool {
        let kept = TokenHabit::IdentityToken(refresh.to_owned());
        self.has(&kept) || self.refresh.lock().0.contains(refresh)
    }

    fn new_refresh_token(&self) -> Option<String> {
        let habits = [TokenHabit::RefreshTokens, TokenHabit::RotatingRefreshTokens];
        let gives = habits.iter().any(|habit| self.has(habit));
        (gives && self.login.lock().is_some()).then(|| {
            let mut refresh = self.refresh.lock();
            refresh.1 += 1;
            let next = format!("refresh-{}", refresh.1);
            refresh.0.insert(next.clone());
            next
        })
    }

    fn token(&self, scope: &str, refresh: Option<String>) -> Answer {
        let issued_ms = now().as_millis();
        let token = format!("{}{issued_ms}-{}", self.prefix(), scope.replace(' ', "+"));
        let mut body = Map::new();
        let mut say = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
        if !self.has(&TokenHabit::OnlyAccessToken) {
            say("token", json!(token));
        }
        if !self.has(&TokenHabit::OnlyToken) {
            say("access_token", json!(token));
        }
        if !self.has(&TokenHabit::NoLifetime) {
            say("expires_in", json!(self.lifetime_s));
        }
        for habit in &self.habits {
            match habit {
                TokenHabit::ExpiresIn(text) => {
                    let value = serde_json::from_str(text).expect("a lifetime in JSON");
                    say("expires_in", value);
                }
                TokenHabit::IssuedAt(time) => say("issued_at", json!(time)),
                _ => {}
            }
        }
        if let Some(refresh) = refresh {
            say("refresh_token", json!(refresh));
        }
        let body = Value::Object(body).to_string();
        Answer::new(StatusCode::OK, "application/json", body)
    }

    fn unknown_login(&self) -> Answer {
        let code = self.habits.iter().find_map(|habit| match habit {
            TokenHabit::Refuses(code) => Some(*code),
            _ => None,
        });
        failure(code.unwrap_or(401), "UNAUTHORIZED")
    }

    fn has(&self, habit: &TokenHabit) -> bool {
        self.habits.contains(habit)
    }

    fn prefix(&self) -> String {
        format!("fake-{}-", self.generation.load(Ordering::SeqCst))
    }
}

fn failure(code: u16, name: &str) -> Answer {
    let status = StatusCode::from_u16(code).expect("a status a test can write");
    Answer::error(status, name)
}

/// One clock for all token services of the process, which can be a paused one.
fn now() -> Duration {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    BEGIN.get_or_init(Instant::now).elapsed()
}
