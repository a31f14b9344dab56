//! What a request carries to authenticate, and what a token is kept by.

use std::sync::Arc;

use http::{HeaderValue, header::AUTHORIZATION};
use reqwest::RequestBuilder;

use super::{realm::Realm, token::BearerToken};
use crate::{secret::Secret, upstream::credentials::keyring::Credential};

/// What one request carries.
#[derive(Clone, Debug)]
pub(in crate::upstream) enum Authorization {
    /// Nothing.
    None,
    /// User name and password.
    Basic {
        /// The user name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A token from the configuration.
    ConfiguredToken(HeaderValue),
    /// A token from a service.
    Token(TokenKey, Arc<BearerToken>),
}

/// What decides who may use a token, and for what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::upstream) struct TokenKey {
    pub(in crate::upstream) credential: Option<Credential>,
    pub(in crate::upstream) realm: Realm,
    pub(in crate::upstream) service: Option<String>,
    pub(in crate::upstream) scope: Option<String>,
}

impl Authorization {
    /// Puts it into a request; the header is marked so that nothing prints it.
    pub(in crate::upstream) fn apply(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::None => request,
            Self::Basic { username, password } => {
                request.basic_auth(username, Some(password.reveal()))
            }
            Self::ConfiguredToken(header) => request.header(AUTHORIZATION, header),
            Self::Token(_, token) => request.header(AUTHORIZATION, token.header()),
        }
    }
}
