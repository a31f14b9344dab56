//! The servers to compare.

use std::net::SocketAddr;

use super::{Programs, Requests, Server, Site, angos, nginx, registry, roadstead, zot};
use crate::Fallible;

/// Those that fetch from the upstream what they do not have.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Mirror {
    Cache,
    Roadstead,
    Registry,
    Angos,
    Zot,
}

/// A server that takes part where everything is a hit, and in which rows.
pub(crate) struct Contestant {
    pub(crate) server: Server,
    pub(crate) requests: Requests,
}

impl Mirror {
    const ALL: [Self; 5] = [
        Self::Cache,
        Self::Roadstead,
        Self::Registry,
        Self::Angos,
        Self::Zot,
    ];

    /// Those whose program is there.
    pub(crate) fn present(programs: &Programs) -> Vec<Self> {
        let is_present = |mirror: &Self| match mirror {
            Self::Cache | Self::Roadstead => true,
            Self::Registry => programs.registry.is_some(),
            Self::Angos => programs.angos.is_some(),
            Self::Zot => programs.zot.is_some(),
        };
        Self::ALL.into_iter().filter(is_present).collect()
    }

    /// Starts it with an empty store and without a log of requests.
    pub(crate) fn start(self, site: &Site, upstream: SocketAddr) -> Fallible<Server> {
        let absent = || "a program is missing";
        let Programs {
            registry,
            angos,
            zot,
            ..
        } = &site.programs;
        match self {
            Self::Cache => nginx::cache(site, upstream),
            Self::Roadstead => roadstead::start(site, upstream, Requests::Quiet),
            Self::Registry => {
                registry::start(site, registry.as_ref().ok_or_else(absent)?, upstream)
            }
            Self::Angos => angos::start(site, angos.as_ref().ok_or_else(absent)?, upstream),
            Self::Zot => zot::start(site, zot.as_ref().ok_or_else(absent)?, upstream),
        }
    }
}

/// nginx and Roadstead, with and without a log of requests.
pub(crate) fn pair(site: &Site, upstream: SocketAddr) -> Fallible<Vec<Contestant>> {
    let mut all = Vec::new();
    for requests in [Requests::Logged, Requests::Quiet] {
        let nginx = nginx::files(site, requests)?;
        let roadstead = roadstead::start(site, upstream, requests)?;
        all.extend([nginx, roadstead].map(|server| Contestant { server, requests }));
    }
    Ok(all)
}

/// All mirrors but Roadstead; they log nothing.
pub(crate) fn others(site: &Site, upstream: SocketAddr) -> Fallible<Vec<Contestant>> {
    let requests = Requests::Quiet;
    let mut all = Vec::new();
    for mirror in Mirror::present(&site.programs) {
        if mirror != Mirror::Roadstead {
            let server = mirror.start(site, upstream)?;
            all.push(Contestant { server, requests });
        }
    }
    Ok(all)
}

/// Those that speak TLS, and where.
pub(crate) fn by_tls(site: &Site, upstream: SocketAddr) -> Fallible<Vec<(Server, SocketAddr)>> {
    let servers = [
        nginx::files(site, Requests::Quiet)?,
        roadstead::start(site, upstream, Requests::Quiet)?,
    ];
    Ok(servers
        .into_iter()
        .filter_map(|server| server.tls.map(|address| (server, address)))
        .collect())
}
