//! How far one request has come with authentication.

use tokio::time::Instant;

use super::authorization::Authorization;
use crate::upstream::credentials::keyring::Credential;

/// How far one request has come with logging in.
#[derive(Debug)]
pub(in crate::upstream) struct AuthState {
    pub(super) began: Instant,
    pub(in crate::upstream) attempts: AuthAttempts,
    /// What we have to log in with.
    pub(in crate::upstream) credential: Option<Credential>,
    /// Whether the next request shall carry nothing, to hear the whole challenge.
    pub(super) omit_next: bool,
    /// What was sent last.
    pub(in crate::upstream) sent: Authorization,
}

/// What one request tried already.
#[derive(Debug, Default)]
pub(in crate::upstream) struct AuthAttempts {
    pub(super) rounds: u32,
    fallbacks: Vec<AuthFallback>,
}

/// What helps against some registries, and is tried once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum AuthFallback {
    /// Asking without a login what login is wanted.
    WithoutCredentials,
    /// Asking the API's root what login is wanted.
    PingRoot,
    /// Another token, for a 400.
    NewToken,
    /// Another login of the program that gave the one refused.
    NewCredentials,
}

impl AuthState {
    pub(in crate::upstream) fn new() -> Self {
        Self {
            began: Instant::now(),
            attempts: AuthAttempts::default(),
            credential: None,
            omit_next: false,
            sent: Authorization::None,
        }
    }

    /// Whether a 400 may mean that the token was too old (some say so), which is believed once.
    pub(in crate::upstream) fn may_blame_token(&mut self) -> bool {
        let is_token = matches!(self.sent, Authorization::Token(..));
        is_token && self.attempts.once(AuthFallback::NewToken)
    }
}

impl AuthAttempts {
    /// Whether this was not tried yet; now it is.
    pub(in crate::upstream) fn once(&mut self, trick: AuthFallback) -> bool {
        let is_new = !self.fallbacks.contains(&trick);
        if is_new {
            self.fallbacks.push(trick);
        }
        is_new
    }
}
