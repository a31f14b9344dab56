//! How far one try has come: redirects, who answered, and authentication.

use std::sync::Arc;

use reqwest::{Response, Url};

use super::{
    endpoint::Endpoint,
    judge::Verdict,
    request::{Responder, UpstreamRequest},
    retry::RetryCause,
};
use crate::{
    connect::{self, AddressGuard},
    upstream::{
        authentication::{challenge::Challenge, state::AuthState},
        error::ProtocolViolation,
    },
};

/// How far the redirects of one try have led.
pub(in crate::upstream) struct ExchangeState {
    pub(super) url: Url,
    /// Whether another origin was ever on it; from then on no login is sent, not even back home.
    pub(super) left_origin: bool,
    pub(super) redirects: usize,
    /// How often the endpoint itself answered.
    pub(in crate::upstream) endpoint_responses: usize,
    /// Who else is being waited for: a token service, or a program that has our login.
    pub(in crate::upstream) waiting_for: Option<Arc<str>>,
    /// How we log in at the endpoint.
    pub(in crate::upstream) auth: AuthState,
}

impl ExchangeState {
    pub(in crate::upstream) fn new(url: Url) -> Self {
        Self {
            url,
            left_origin: false,
            redirects: 0,
            endpoint_responses: 0,
            waiting_for: None,
            auth: AuthState::new(),
        }
    }

    /// What an answer means, a login's part in it included.
    pub(super) fn judge(&mut self, response: &Response, request: &UpstreamRequest) -> Verdict {
        let verdict = Verdict::of(response.status(), request.kind, self.responder());
        match verdict {
            _ if self.left_origin => verdict,
            Verdict::Refused if Challenge::read(response.headers()).is_insufficient_scope() => {
                Verdict::Challenged
            }
            Verdict::PermanentFailure
                if response.status().as_u16() == 400 && self.auth.may_blame_token() =>
            {
                Verdict::TokenRejected
            }
            verdict => verdict,
        }
    }

    pub(super) fn follow(
        &mut self,
        endpoint: &Endpoint,
        location: Option<&[u8]>,
        guard: &AddressGuard,
    ) -> Result<(), ProtocolViolation> {
        if self.redirects == connect::REDIRECTS_MAX {
            return Err(ProtocolViolation::Redirect("too many of them"));
        }
        self.redirects += 1;
        self.url = connect::next_url(&self.url, location, guard)?;
        self.left_origin |= self.url.origin() != endpoint.base.origin();
        Ok(())
    }

    pub(super) fn responder(&self) -> Responder {
        if self.left_origin {
            Responder::RedirectTarget
        } else {
            Responder::Endpoint
        }
    }

    /// Whom an error names.
    pub(in crate::upstream) fn responsible_host(&self, endpoint: &Endpoint) -> Arc<str> {
        match &self.waiting_for {
            Some(service) => Arc::clone(service),
            None if self.left_origin => self.url.origin().ascii_serialization().into(),
            None => Arc::clone(&endpoint.label),
        }
    }

    /// The same trouble, seen from the endpoint.
    pub(in crate::upstream) fn attribute(&self, cause: RetryCause) -> RetryCause {
        if self.left_origin || self.waiting_for.is_some() {
            RetryCause::RedirectTarget
        } else {
            cause
        }
    }
}
