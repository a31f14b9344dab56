//! The tokens that we hold: one fetch at a time for each, renewed before their end.

use std::{future::Future, sync::Arc, time::Duration};

use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use super::{
    authorization::TokenKey,
    token::{BearerToken, TokenAge},
};
use crate::{secret::Secret, upstream::error::UpstreamError};

/// Most tokens of one upstream.
const TOKENS_MAX: u64 = 4096;
/// Most refresh tokens that were replaced.
const REFRESHED_MAX: u64 = 256;
/// How long a failure is everybody's; doubled for each further 429 that does not say.
const FAILURE_CACHED: Duration = Duration::from_secs(1);
const THROTTLED_MAX: Duration = Duration::from_mins(1);
/// Longest wait for somebody else's fetch after one that failed.
const FETCH_WAIT_MAX: Duration = Duration::from_secs(1);
/// How long after it counts a failure still says how the next fetch may go.
const RECENT_FAILURE_MAX: Duration = Duration::from_secs(30);

/// All tokens of one upstream, which owns them: no other upstream's can be found here.
#[derive(Debug)]
pub(in crate::upstream) struct Tokens {
    slots: Cache<TokenKey, Arc<TokenSlot>>,
    /// The successors of configured refresh tokens.
    replace_refresh_token: Cache<TokenKey, Secret>,
}

/// The place of one token.
#[derive(Debug, Default)]
struct TokenSlot {
    state: Mutex<TokenSlotState>,
    /// Held by the caller that fetches.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct TokenSlotState {
    token: Option<Arc<BearerToken>>,
    failure: Option<RecentFailure>,
    /// How many 429 in a row did not say for how long.
    unspecified: u32,
}

/// A failure, for all who come before it is tried again.
#[derive(Debug)]
struct RecentFailure {
    until: Instant,
    error: UpstreamError,
}

/// What there is for someone who comes now.
enum TokenLookup {
    /// A token.
    Fresh(Arc<BearerToken>),
    /// A token; the first caller that can fetches the next one.
    RefreshDue(Arc<BearerToken>),
    /// Nothing that will do.
    Missing,
    /// The failure of a fetch just now.
    Failed(UpstreamError),
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            slots: Cache::new(TOKENS_MAX),
            replace_refresh_token: Cache::new(REFRESHED_MAX),
        }
    }
}

impl Tokens {
    /// The token for a key; fetched by the first who needs it, while the others wait. Each stops
    /// by its own deadline, which bounds its whole try; then the next of them fetches.
    pub(super) async fn get<F>(
        &self,
        key: &TokenKey,
        fetch: impl FnOnce() -> F,
    ) -> Result<Arc<BearerToken>, UpstreamError>
    where
        F: Future<Output = Result<BearerToken, UpstreamError>>,
    {
        let slot = self.slots.get_with_by_ref(key, Arc::default);
        let guard = match slot.lookup() {
            TokenLookup::Fresh(token) => return Ok(token),
            TokenLookup::Failed(error) => return Err(error),
            TokenLookup::RefreshDue(token) => match slot.fetching.try_lock() {
                Ok(guard) => guard,
                Err(_busy) => return Ok(token),
            },
            TokenLookup::Missing => match slot.lock_fetch().await {
                Ok(guard) => guard,
                Err(settled) => return settled,
            },
        };
        // Another may have fetched while we waited.
        match slot.lookup() {
            TokenLookup::Fresh(token) => return Ok(token),
            TokenLookup::Failed(error) => return Err(error),
            TokenLookup::RefreshDue(_) | TokenLookup::Missing => {}
        }
        let settled = slot.store(fetch().await);
        drop(guard);
        settled
    }

    /// Upstream refused this token; another one in its place is left alone.
    pub(super) fn forget(&self, key: &TokenKey, token: &Arc<BearerToken>) {
        if let Some(slot) = self.slots.get(key) {
            let mut state = slot.state.lock();
            if state
                .token
                .as_ref()
                .is_some_and(|held| Arc::ptr_eq(held, token))
            {
                state.token = None;
            }
        }
    }

    /// The refresh token to send: the configured one, or what the service gave instead.
    pub(super) fn refresh_token(&self, key: &TokenKey, configured: &Secret) -> Secret {
        let newer = self.replace_refresh_token.get(&scopeless(key));
        newer.unwrap_or_else(|| configured.clone())
    }

    /// The service replaced the refresh token.
    pub(super) fn replace_refresh_token(&self, key: &TokenKey, newer: Secret) {
        self.replace_refresh_token.insert(scopeless(key), newer);
    }

    /// The service does not take this refresh token; another one in its place is left alone.
    pub(super) fn discard_refresh_token(&self, key: &TokenKey, sent: &Secret) {
        let key = scopeless(key);
        if self.replace_refresh_token.get(&key).as_ref() == Some(sent) {
            self.replace_refresh_token.invalidate(&key);
        }
    }
}

/// A refresh token serves all scopes.
fn scopeless(key: &TokenKey) -> TokenKey {
    TokenKey {
        scope: None,
        ..key.clone()
    }
}

impl TokenSlot {
    /// The lock on fetching. After a recent failure no caller waits long for the next fetch, which may
    /// be as slow: it gets what the failed one left.
    async fn lock_fetch(
        &self,
    ) -> Result<tokio::sync::MutexGuard<'_, ()>, Result<Arc<BearerToken>, UpstreamError>> {
        loop {
            if self.recent_outcome().is_none() {
                return Ok(self.fetching.lock().await);
            }
            if let Ok(guard) = timeout(FETCH_WAIT_MAX, self.fetching.lock()).await {
                return Ok(guard);
            }
            if let Some(left) = self.recent_outcome() {
                return Err(left);
            }
        }
    }

    /// What a failed fetch left, if it was the last one and is not long ago.
    fn recent_outcome(&self) -> Option<Result<Arc<BearerToken>, UpstreamError>> {
        let state = self.state.lock();
        let failure = state.failure.as_ref()?;
        let is_late = Instant::now().saturating_duration_since(failure.until) < RECENT_FAILURE_MAX;
        is_late.then(|| state.token.clone().ok_or_else(|| failure.error.clone()))
    }

    fn lookup(&self) -> TokenLookup {
        let now = Instant::now();
        let state = self.state.lock();
        let failure = state.failure.as_ref();
        let failure = failure.filter(|failure| now < failure.until);
        match (&state.token, failure) {
            (None, None) => TokenLookup::Missing,
            (None, Some(failure)) => TokenLookup::Failed(failure.error.clone()),
            // While the service fails, an old token is used for as long as upstream takes it.
            (Some(token), Some(_)) => TokenLookup::Fresh(Arc::clone(token)),
            (Some(token), None) => match token.age(now) {
                TokenAge::Fresh => TokenLookup::Fresh(Arc::clone(token)),
                TokenAge::RefreshDue => TokenLookup::RefreshDue(Arc::clone(token)),
                TokenAge::Expired => TokenLookup::Missing,
            },
        }
    }

    /// Keeps what a fetch brought.
    fn store(
        &self,
        outcome: Result<BearerToken, UpstreamError>,
    ) -> Result<Arc<BearerToken>, UpstreamError> {
        let mut state = self.state.lock();
        let error = match outcome {
            Ok(token) => {
                let token = Arc::new(token);
                *state = TokenSlotState {
                    token: Some(Arc::clone(&token)),
                    ..TokenSlotState::default()
                };
                return Ok(token);
            }
            Err(error) => error,
        };
        let wait = match &error {
            UpstreamError::Throttled { retry_after, .. } => retry_after.unwrap_or_else(|| {
                let wait = FAILURE_CACHED.saturating_mul(2_u32.saturating_pow(state.unspecified));
                state.unspecified = state.unspecified.saturating_add(1);
                wait.min(THROTTLED_MAX)
            }),
            _ => FAILURE_CACHED,
        };
        state.failure = Some(RecentFailure {
            until: Instant::now() + wait,
            error: error.clone(),
        });
        if matches!(error, UpstreamError::Refused { .. }) {
            state.token = None;
        }
        state.token.clone().ok_or(error)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::advance;

    use super::*;
    use crate::upstream::{
        ProtocolViolation,
        authentication::{realm::Realm, token},
    };

    const SECOND: Duration = Duration::from_secs(1);

    fn key(scope: &str) -> TokenKey {
        TokenKey {
            credential: None,
            realm: Realm::parse("https://a/").unwrap(),
            service: None,
            scope: Some(scope.into()),
        }
    }

    /// A service that counts how often it is asked.
    #[derive(Default)]
    struct Service(AtomicUsize);

    impl Service {
        async fn give(&self) -> Result<BearerToken, UpstreamError> {
            let born = Instant::now();
            self.0.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            let issued = token::read(br#"{"token":"t","expires_in":100}"#, born);
            Ok(issued.unwrap().token)
        }

        async fn throttle(
            &self,
            retry_after: Option<Duration>,
        ) -> Result<BearerToken, UpstreamError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            let endpoint = "https://a".into();
            Err(UpstreamError::Throttled {
                endpoint,
                retry_after,
            })
        }

        fn asked(&self) -> usize {
            self.0.swap(0, Ordering::Relaxed)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_part_of_a_life_is_one_callers_time_to_renew() {
        let (tokens, service) = (Tokens::default(), Service::default());
        let a = key("a");
        let get = || tokens.get(&a, || service.give());
        let (first, second) = tokio::join!(get(), get());
        let (first, second) = (first.unwrap(), second.unwrap());
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(service.asked(), 1);
        advance(79 * SECOND).await;
        assert!(Arc::ptr_eq(&first, &get().await.unwrap()));
        assert_eq!(service.asked(), 0);
        advance(SECOND).await;
        let (newer, meanwhile) = tokio::join!(get(), get());
        assert!(!Arc::ptr_eq(&first, &newer.unwrap()));
        assert!(
            Arc::ptr_eq(&first, &meanwhile.unwrap()),
            "no caller waits for it"
        );
        assert_eq!(service.asked(), 1);
        get().await.unwrap();
        assert_eq!(service.asked(), 0);
        tokens.get(&key("b"), || service.give()).await.unwrap();
        assert_eq!(service.asked(), 1, "another scope is another token");
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_refused_token_is_dropped() {
        let (tokens, service) = (Tokens::default(), Service::default());
        let a = key("a");
        let get = || tokens.get(&a, || service.give());
        let first = get().await.unwrap();
        tokens.forget(&key("a"), &first);
        let second = get().await.unwrap();
        assert!(!Arc::ptr_eq(&first, &second));
        tokens.forget(&key("a"), &first);
        assert!(Arc::ptr_eq(&second, &get().await.unwrap()));
        assert_eq!(service.asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_that_is_cut_off_leaves_the_next_one_to_try() {
        let (tokens, service) = (Tokens::default(), Service::default());
        let a = key("a");
        let never = tokens.get(&a, std::future::pending);
        assert!(timeout(SECOND, never).await.is_err());
        tokens.get(&key("a"), || service.give()).await.unwrap();
    }

    /// The service accepts questions and says nothing, as the router before a dead one does.
    #[tokio::test(start_paused = true)]
    async fn a_service_known_to_be_dead_keeps_one_caller_waiting_not_all() {
        let (tokens, service) = (Tokens::default(), Service::default());
        let a = key("a");
        let hang = async || {
            tokio::time::sleep(5 * SECOND).await;
            service.throttle(Some(SECOND)).await
        };
        let began = Instant::now();
        let get = async || {
            let got = tokens.get(&a, hang).await;
            (got.is_ok(), began.elapsed())
        };
        assert_eq!(get().await, (false, 5 * SECOND));
        advance(SECOND).await;
        let all = tokio::join!(get(), get(), get());
        assert_eq!(
            all,
            (
                (false, 11 * SECOND),
                (false, 7 * SECOND),
                (false, 7 * SECOND)
            )
        );
        // Once it answers again, no waiting caller fails.
        advance(SECOND).await;
        let get = || tokens.get(&a, || service.give());
        let (first, second) = tokio::join!(get(), get());
        assert!(first.is_ok() && second.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn q14_a_failure_speaks_for_all_and_longer_each_time() {
        let (tokens, service) = (Tokens::default(), Service::default());
        let get = async |wait| tokens.get(&key("a"), || service.throttle(wait)).await;
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            for _ in 0..3 {
                assert!(get(None).await.is_err());
            }
            assert_eq!(service.asked(), 1, "{seconds}");
            advance(seconds * SECOND).await;
        }
        assert!(get(Some(600 * SECOND)).await.is_err());
        advance(599 * SECOND).await;
        assert!(get(None).await.is_err());
        assert_eq!(service.asked(), 1);
    }

    /// A page for people, or the router's own 404, says nothing about our login.
    #[tokio::test(start_paused = true)]
    async fn only_a_refusal_takes_a_token_away() {
        let (tokens, service) = (Tokens::default(), Service::default());
        let endpoint: Arc<str> = "https://a".into();
        let old = tokens.get(&key("a"), || service.give()).await.unwrap();
        advance(90 * SECOND).await;
        let breach = ProtocolViolation::Token("its answer is not the JSON of a token");
        let broken = UpstreamError::ProtocolViolation {
            endpoint: Arc::clone(&endpoint),
            breach,
        };
        let held = tokens.get(&key("a"), async || Err(broken)).await;
        assert!(Arc::ptr_eq(&old, &held.unwrap()));
        advance(SECOND).await;
        let refused = UpstreamError::Refused {
            endpoint,
            with_credentials: true,
            detail: "",
        };
        assert!(tokens.get(&key("a"), async || Err(refused)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn q14_an_old_token_is_used_while_the_service_fails() {
        let (tokens, service) = (Tokens::default(), Service::default());
        let old = tokens.get(&key("a"), || service.give()).await.unwrap();
        advance(200 * SECOND).await;
        for _ in 0..2 {
            let held = tokens.get(&key("a"), || service.throttle(None)).await;
            assert!(Arc::ptr_eq(&old, &held.unwrap()));
        }
        assert_eq!(service.asked(), 2);
        tokens.forget(&key("a"), &old);
        assert!(tokens.get(&key("a"), || service.give()).await.is_err());
        assert_eq!(service.asked(), 0);
        advance(SECOND).await;
        assert!(tokens.get(&key("a"), || service.give()).await.is_ok());
    }
}
