//! Access to the registry: open, by password, or by token. Pure except for the token service's
//! state.

use http::StatusCode;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};

use crate::answer::Answer;
use crate::base64::base64;
use crate::record::Recorded;
use crate::target::Endpoint;
use crate::tokens::{Tokens, Worth};

/// The registry's access control.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) lock: Lock,
    pub(crate) challenge: Challenge,
    pub(crate) tokens: Tokens,
}

/// What the registry requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    Open,
    Basic,
    Bearer,
}

/// How the registry sends its challenge.
#[derive(Debug, Default)]
pub(crate) struct Challenge {
    pub(crate) place: ChallengeOn,
    pub(crate) stale: StaleToken,
    /// The lines of `WWW-Authenticate`; `{}` stands for the one right challenge. Empty: only that.
    pub(crate) lines: Vec<String>,
    /// The realm, if not `/token`; `{}` stands for the registry's own address.
    pub(crate) realm: Option<String>,
    /// The `service` of the challenge.
    pub(crate) service: Option<String>,
    /// The scope that is challenged for and required, in place of the repository's own.
    pub(crate) scope: Option<String>,
}

/// Which 401 responses of a registry have a challenge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ChallengeOn {
    /// All, as with most registries.
    #[default]
    Everything,
    /// On `/v2/` only; elsewhere the 401 is bare.
    Ping,
    /// Those for content only; `/v2/` is 200 without authentication.
    Resources,
}

/// The response to a token that has expired or was never issued.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StaleToken {
    /// 401 with `invalid_token`.
    #[default]
    Challenged,
    /// 400 without a challenge.
    BadRequest,
    /// 401 with a challenge for a password, which would not be accepted.
    AsksForBasic,
}

/// A user name and a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: String,
}

impl Guard {
    /// The refusal of this request, or the token service's answer to it; `None` lets it in.
    pub(crate) fn stop(&self, request: &Recorded, origin: &str) -> Option<Answer> {
        match self.lock {
            Lock::Bearer if request.endpoint == Endpoint::Token => {
                return Some(self.tokens.answer(request));
            }
            _ if self.is_in(request) => return None,
            _ => {}
        }
        let is_ping = request.endpoint == Endpoint::Ping;
        match self.challenge.place {
            ChallengeOn::Resources if is_ping => return None,
            ChallengeOn::Ping if !is_ping => return Some(bare()),
            _ => {}
        }
        if self.lock == Lock::Basic {
            return Some(self.challenge.refuse(BASIC));
        }
        let worth = self.worth(request);
        match (worth, self.challenge.stale) {
            (Worth::Nothing, StaleToken::BadRequest) => {
                return Some(Answer::error(StatusCode::BAD_REQUEST, "UNKNOWN"));
            }
            (Worth::Nothing, StaleToken::AsksForBasic) => {
                return Some(bare().with(WWW_AUTHENTICATE, BASIC));
            }
            _ => {}
        }
        let realm = self.challenge.realm.as_deref().unwrap_or("{}/token");
        let realm = realm.replace("{}", origin);
        let service = self.challenge.service.as_deref().unwrap_or(SERVICE);
        let scope = self.needed_scope(request);
        let scope = scope
            .map(|scope| format!(",scope=\"{scope}\""))
            .unwrap_or_default();
        let error = match worth {
            Worth::Missing | Worth::Good => "",
            Worth::Nothing => ",error=\"invalid_token\"",
            Worth::OtherScope => ",error=\"insufficient_scope\"",
        };
        let right = format!("Bearer realm=\"{realm}\",service=\"{service}\"{scope}{error}");
        Some(self.challenge.refuse(&right))
    }

    fn is_in(&self, request: &Recorded) -> bool {
        let knows_password = || self.tokens.knows_password(request);
        match self.lock {
            Lock::Open => true,
            Lock::Basic => knows_password(),
            Lock::Bearer => {
                let offers_basic = self
                    .challenge
                    .lines
                    .iter()
                    .any(|line| line.contains("Basic"));
                self.worth(request) == Worth::Good || (offers_basic && knows_password())
            }
        }
    }

    fn worth(&self, request: &Recorded) -> Worth {
        self.tokens
            .worth(request, self.needed_scope(request).as_deref())
    }

    fn needed_scope(&self, request: &Recorded) -> Option<String> {
        let own = || {
            let name = request.endpoint.repository()?;
            Some(format!("repository:{name}:pull"))
        };
        self.challenge.scope.clone().or_else(own)
    }
}

impl Challenge {
    fn refuse(&self, right: &str) -> Answer {
        if self.lines.is_empty() {
            return bare().with(WWW_AUTHENTICATE, right);
        }
        let lines = self.lines.iter().map(|line| line.replace("{}", right));
        lines.fold(bare(), |answer, line| answer.and(WWW_AUTHENTICATE, &line))
    }
}

impl Login {
    /// Whether the request carries it as `Basic`.
    pub(crate) fn is_in(&self, request: &Recorded) -> bool {
        let pair = base64(format!("{}:{}", self.user, self.password).as_bytes());
        request.header(AUTHORIZATION.as_str()) == Some(&format!("Basic {pair}"))
    }
}

fn bare() -> Answer {
    Answer::error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED")
}

const BASIC: &str = "Basic realm=\"fake registry\"";
const SERVICE: &str = "fake-registry";
