//! The configuration: parses one TOML text into the rooms' settings, or reports every problem.
//!
//! Promises: what it returns is complete and within bounds, and no key is ignored; a problem names
//! its key, value, line and reason. Called by `app` and the command line. Never opens a file or a
//! socket: the files that it names are read through a closure.

mod address;
mod check;
mod credential;
mod import;
mod limits;
mod listen;
mod load_context;
mod pem;
mod problem;
mod reader;
mod report;
mod route;
mod self_addresses;
mod server_tls;
#[cfg(test)]
mod tests;
mod transport;
mod unit;
mod upstream;
mod value;

use std::{io, path::PathBuf};

use toml::de::DeTable;

use crate::{
    oci::Registry,
    pull,
    route::{RefusalPolicy, RouteTable, UnmatchedPolicy},
    server, store,
    telemetry::log,
};
pub use listen::ListenerSettings;
pub use load_context::{Environment, FileSensitivity, LoadContext, check_secret_mode};
pub use problem::{ConfigProblem, ConfigProblems};
pub use self_addresses::SelfAddresses;

/// A valid configuration, with its notes.
#[derive(Debug)]
pub struct Loaded {
    /// The settings of the rooms.
    pub settings: Settings,
    /// For start-up and `check`: valid, but perhaps not intended.
    pub notes: Vec<String>,
}

/// Options of the command line that override the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--listen`: replaces the addresses of `[server]`.
    pub listen: Option<String>,
    /// `--store`: replaces `store.path`.
    pub store: Option<PathBuf>,
}

/// Everything that the configuration decides.
#[derive(Debug)]
pub struct Settings {
    /// The mirror's listeners, one per address.
    pub listeners: Vec<ListenerSettings>,
    /// The address of probes and metrics.
    pub admin: server::ListenAddress,
    /// For all listeners together.
    pub server: server::Settings,
    /// The store.
    pub store: store::Settings,
    /// Freshness and deadlines.
    pub pull: pull::Settings,
    /// The log.
    pub log: log::Settings,
    /// The configured upstreams, each with the meaning of its refusals.
    pub upstreams: Vec<(crate::upstream::Settings, RefusalPolicy)>,
    /// For upstreams without a table.
    pub upstream_defaults: crate::upstream::UpstreamDefaults,
    /// The routes.
    pub table: RouteTable,
    /// The mirror's URL for nodes, for rendered files: `http(s)://HOST[:PORT]`.
    pub public_url: Option<String>,
    /// Path prefixes, each with the registries that it stands for.
    pub aliases: Vec<(String, Vec<Registry>)>,
    /// The mirror's own names and addresses, to detect loops.
    pub self_addresses: SelfAddresses,
}

/// Reads a configuration.
pub fn read(
    text: &str,
    file_name: &str,
    overrides: &Overrides,
    context: &LoadContext<'_>,
) -> Result<Loaded, ConfigProblems> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let report = report::ProblemReport::new(text);
    for error in errors {
        report.syntax_error(error.span(), error.message());
    }
    let settings = settings(&report, document.get_ref(), file_name, overrides, context);
    let notes = report.finish(file_name)?;
    match settings {
        Some(settings) => Ok(Loaded { settings, notes }),
        // Unreachable: whatever is missing has been reported, and `finish` returned the problems.
        None => Err(ConfigProblems {
            file: file_name.to_owned(),
            problems: Vec::new(),
        }),
    }
}

/// The built-in defaults, for a start without a file.
pub fn defaults(
    overrides: &Overrides,
    environment: &Environment,
) -> Result<Loaded, ConfigProblems> {
    let context = LoadContext {
        read_file: &|_path, _content| Err(io::ErrorKind::NotFound.into()),
        find_files: &|_path| Err(io::ErrorKind::NotFound.into()),
        environment,
    };
    read("", "built-in defaults", overrides, &context)
}

fn settings(
    report: &report::ProblemReport<'_>,
    document: &DeTable<'_>,
    file_name: &str,
    overrides: &Overrides,
    context: &LoadContext<'_>,
) -> Option<Settings> {
    let mut root = reader::Section::root(report, document);
    let words = [
        ("auto", UnmatchedPolicy::Auto),
        ("deny", UnmatchedPolicy::Deny),
        ("source", UnmatchedPolicy::Source),
    ];
    let unmatched = root
        .choice("unmatched", &words)
        .unwrap_or(UnmatchedPolicy::Auto);
    let plan = listen::ListenPlan::read(&mut root, overrides.listen.as_deref(), context);
    let imports = import::Imports::read(&mut root, plan.self_addresses(), context);
    let listening = plan.resolve(report, &imports.aliases);
    let unmatched = imports.unmatched(unmatched);
    let limits = limits::LimitsTable::read(&mut root);
    let timeouts = limits::Timeouts::read(&mut root);
    let freshness = limits::Freshness::read(&mut root);
    let store = limits::store(&mut root, overrides.store.as_ref(), limits.small_bodies_max);
    let log = limits::log(&mut root);
    transport::check_environment(report, context);
    let credentials = credential::read(&mut root, &imports.credentials, context);
    let keyring = credentials.keyring.clone();
    let upstream_defaults = upstream::defaults(&limits, &timeouts, keyring, context);
    let mut upstreams = upstream::read(&mut root, &upstream_defaults, &credentials, context);
    let imported = &imports.upstreams;
    upstream::import(
        report,
        &mut upstreams,
        imported,
        &upstream_defaults,
        context,
    );
    let mut routes = route::Routes::read(&mut root, file_name);
    routes.import(report, imports.routes);
    root.finish();

    check::ConfigCheck {
        report,
        listening: &listening,
        upstreams: &upstreams,
        upstream_defaults: &upstream_defaults,
        credentials: &credentials.scopes,
        routes: &routes.summaries,
        unmatched,
    }
    .check();
    let table = routes.table(report, unmatched)?;
    let configured = |one: upstream::ConfiguredUpstream| (one.settings, one.refused);
    Some(Settings {
        listeners: listening.listeners,
        admin: listening.admin,
        server: limits.server(&timeouts),
        store,
        pull: freshness.pull(&timeouts),
        log,
        upstreams: upstreams.into_iter().map(configured).collect(),
        upstream_defaults,
        table,
        public_url: listening.self_addresses.public_url.clone(),
        aliases: listening.aliases,
        self_addresses: listening.self_addresses,
    })
}
