//! What a registry is like before it starts.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::answer::Habits;
use crate::auth::{Guard, Login};
use crate::record::{Log, Observer, Recorded};
use crate::registry::FakeRegistry;
use crate::script::Script;
use crate::serve::{State, accept, fenced};
use crate::shelf::Shelf;

/// A registry before it starts.
pub struct Builder {
    listen: SocketAddr,
    guard: Guard,
    habits: Habits,
    token_lifetime_s: usize,
    observer: Option<Observer>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            guard: Guard::Open,
            habits: Habits {
                referrers: true,
                tags_per_page_max: 1000,
            },
            token_lifetime_s: 300,
            observer: None,
        }
    }

    /// Listens here and not on a free port of 127.0.0.1.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Asks everybody for this password.
    #[must_use]
    pub fn basic(mut self, user: &str, password: &str) -> Self {
        self.guard = Guard::Basic(Login {
            user: user.to_owned(),
            password: password.to_owned(),
        });
        self
    }

    /// Asks for a token, which its token service at `/token` gives for this password.
    #[must_use]
    pub fn bearer(self, user: &str, password: &str) -> Self {
        let login = Login {
            user: user.to_owned(),
            password: password.to_owned(),
        };
        self.tokens_for(Some(login))
    }

    /// Asks for a token, which its token service gives to everybody.
    #[must_use]
    pub fn bearer_anonymous(self) -> Self {
        self.tokens_for(None)
    }

    /// Names this URL as the token service's; another fake registry's `/token` will do.
    #[must_use]
    pub fn realm(mut self, url: &str) -> Self {
        match &mut self.guard {
            Guard::Bearer { realm, .. } => *realm = Some(url.to_owned()),
            Guard::Open | Guard::Basic(_) => panic!("only a bearer challenge has such a realm"),
        }
        self
    }

    /// What tokens say about their lifetime; they expire only by `expire_tokens`.
    #[must_use]
    pub fn token_lifetime_s(mut self, seconds: usize) -> Self {
        self.token_lifetime_s = seconds;
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
            token_generation: AtomicUsize::new(0),
            token_lifetime_s: self.token_lifetime_s,
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

    fn tokens_for(mut self, login: Option<Login>) -> Self {
        self.guard = Guard::Bearer { login, realm: None };
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
