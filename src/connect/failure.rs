//! What a failure below HTTP means.

use std::error::Error;

use super::{guard::ForbiddenAddress, proxy::ProxyHop, tls};

/// How a request failed before its answer had a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportFailure {
    /// The address must not be contacted.
    ForbiddenAddress,
    /// The other side does not speak HTTP.
    NotHttp,
    /// A time-out of the client's own.
    TimedOut,
    /// No connection.
    Unreachable,
    /// A connection that broke.
    Dropped,
}

impl TransportFailure {
    /// Reads it off the library's error.
    pub fn of(error: &reqwest::Error) -> Self {
        let is_parse = |cause: &(dyn Error + 'static)| {
            let cause = cause.downcast_ref::<hyper::Error>();
            cause.is_some_and(hyper::Error::is_parse)
        };
        if causes(error).any(<dyn Error>::is::<ForbiddenAddress>) {
            return Self::ForbiddenAddress;
        }
        if causes(error).any(is_parse) {
            return Self::NotHttp;
        }
        match (error.is_connect(), error.is_timeout()) {
            (_, true) => Self::TimedOut,
            (true, false) => Self::Unreachable,
            (false, false) => Self::Dropped,
        }
    }
}

/// The innermost cause, which is the telling one; no address that may be signed is in it.
pub fn failure_detail(error: &reqwest::Error, proxy: Option<&ProxyHop>) -> String {
    if error.is_connect()
        && let Some(told) = proxy.and_then(|proxy| proxy.connect_failure(error))
    {
        return told;
    }
    let of_proxy = |cause| proxy.and_then(|proxy| proxy.explain(cause));
    let told = |cause| tls::explain(cause).or_else(|| of_proxy(cause));
    if let Some(told) = causes(error).find_map(told) {
        return told;
    }
    let innermost = causes(error).last();
    innermost.map_or_else(|| error.to_string(), ToString::to_string)
}

/// The causes of an error, from the outermost inwards.
pub fn causes<'a>(
    error: &'a reqwest::Error,
) -> impl Iterator<Item = &'a (dyn Error + 'static)> + 'a {
    std::iter::successors(error.source(), |cause| (*cause).source())
}
