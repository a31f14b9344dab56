//! The properties of a registry before it starts.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::answer::Habits;
use crate::auth::{Challenge, ChallengeOn, Guard, Lock, Login, StaleToken};
use crate::certificates::{Pair, acceptor};
use crate::record::{Log, Observer, Recorded};
use crate::registry::FakeRegistry;
use crate::script::Script;
use crate::serve::{State, accept, fenced};
use crate::shelf::Shelf;
use crate::tokens::{TokenHabit, Tokens};

/// A registry before it starts.
pub struct Builder {
    listen: SocketAddr,
    guard: Guard,
    habits: Habits,
    identity: Option<Pair>,
    client_ca: Option<String>,
    observer: Option<Observer>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            guard: Guard {
                lock: Lock::Open,
                challenge: Challenge::default(),
                tokens: Tokens::new(),
            },
            habits: Habits {
                referrers: true,
                tags_per_page_max: 1000,
            },
            identity: None,
            client_ca: None,
            observer: None,
        }
    }

    /// Listens on this address instead of a free port of 127.0.0.1.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Requires this password.
    #[must_use]
    pub fn basic(self, user: &str, password: &str) -> Self {
        self.locked(Lock::Basic, Some((user, password)))
    }

    /// Requires a token, which its token service at `/token` issues for this password.
    #[must_use]
    pub fn bearer(self, user: &str, password: &str) -> Self {
        self.locked(Lock::Bearer, Some((user, password)))
    }

    /// Requires a token, which its token service issues without credentials.
    #[must_use]
    pub fn bearer_anonymous(self) -> Self {
        self.locked(Lock::Bearer, None)
    }

    /// Names this as the realm, such as another fake registry's `/token`. `{}` is the registry's own
    /// URL, below which `/token`, `/token/`, `/oauth2/token` and `/service/token` answer.
    #[must_use]
    pub fn realm(mut self, text: &str) -> Self {
        self.guard.challenge.realm = Some(text.to_owned());
        self
    }

    /// Names this `service` in the challenge.
    #[must_use]
    pub fn service(mut self, text: &str) -> Self {
        self.guard.challenge.service = Some(text.to_owned());
        self
    }

    /// Challenges for this scope, and requires it, in place of `repository:NAME:pull`.
    #[must_use]
    pub fn scope(mut self, text: &str) -> Self {
        self.guard.challenge.scope = Some(text.to_owned());
        self
    }

    /// Which 401 responses have a challenge.
    #[must_use]
    pub fn challenge_on(mut self, place: ChallengeOn) -> Self {
        self.guard.challenge.place = place;
        self
    }

    /// Its lines of `WWW-Authenticate`, in which `{}` is the one it would give without this.
    ///
    /// If one of them is `Basic`, the password is accepted like a token.
    #[must_use]
    pub fn challenges(mut self, lines: &[&str]) -> Self {
        let lines = lines.iter().map(|&line| line.to_owned());
        self.guard.challenge.lines = lines.collect();
        self
    }

    /// The response to an expired token.
    #[must_use]
    pub fn stale_token(mut self, says: StaleToken) -> Self {
        self.guard.challenge.stale = says;
        self
    }

    /// A deviation of its token service.
    #[must_use]
    pub fn token_habit(mut self, habit: TokenHabit) -> Self {
        self.guard.tokens.habits.push(habit);
        self
    }

    /// The announced lifetime of tokens; they expire only by `expire_tokens`.
    #[must_use]
    pub fn token_lifetime_s(mut self, seconds: usize) -> Self {
        self.guard.tokens.lifetime_s = seconds;
        self
    }

    /// Tokens expire at the end of their announced lifetime.
    #[must_use]
    pub fn tokens_expire(mut self) -> Self {
        self.guard.tokens.keeps_time = true;
        self
    }

    /// Speaks TLS with this certificate.
    #[must_use]
    pub fn tls(mut self, pair: &Pair) -> Self {
        self.identity = Some(pair.clone());
        self
    }

    /// Requires a client certificate of this authority; only with [`Builder::tls`].
    #[must_use]
    pub fn client_ca(mut self, pem: &str) -> Self {
        self.client_ca = Some(pem.to_owned());
        self
    }

    /// Has no referrers API: 404 in plain text, as old registries.
    #[must_use]
    pub fn no_referrers(mut self) -> Self {
        self.habits.referrers = false;
        self
    }

    /// Lists at most so many tags a page.
    #[must_use]
    pub fn page_size(mut self, tags_max: usize) -> Self {
        self.habits.tags_per_page_max = tags_max;
        self
    }

    /// Calls this with each request when its answer begins.
    #[must_use]
    pub fn on_answer(mut self, observer: impl Fn(&Recorded) + Send + Sync + 'static) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// Starts it within the current tokio runtime.
    pub async fn start(self) -> FakeRegistry {
        let listener = TcpListener::bind(self.listen)
            .await
            .expect("an address to listen on");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let state = Arc::new(State {
            host: address.to_string(),
            shelf: Mutex::new(Shelf::default()),
            habits: self.habits,
            guard: self.guard,
            tls: self
                .identity
                .map(|pair| acceptor(&pair, self.client_ca.as_deref())),
            script: Script::default(),
            log: Arc::new(Log::new(self.observer)),
            down: AtomicBool::new(false),
            hang_ups: watch::Sender::new(()),
            panics: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(fenced(
            accept(listener, Arc::clone(&state)),
            Arc::clone(&state),
        ));
        FakeRegistry::new(address, state, tasks)
    }

    fn locked(mut self, lock: Lock, login: Option<(&str, &str)>) -> Self {
        self.guard.lock = lock;
        *self.guard.tokens.login.get_mut() = login.map(|(user, password)| Login {
            user: user.to_owned(),
            password: password.to_owned(),
        });
        self
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}
