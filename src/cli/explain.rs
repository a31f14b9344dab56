//! `roadstead explain`: where an image would be pulled from, and what is stored of it.

use std::sync::Arc;

use clap::Args;
use http::Uri;

use super::{
    exit::Exit,
    load::ConfigArguments,
    output::{eprint_error, print_line},
    runtime::runtime,
    store_view::StoreView,
};
use crate::{
    api::ApiRequest,
    config::{ListenerSettings, Overrides, Settings},
    oci::{ImageReference, Reference, Tag},
    pull::{Explanation, RouteOutcome, UpstreamDirectory, store_keys},
    route::{ImageName, RouteTable},
    telemetry::{Metrics, chain},
};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Read each REFERENCE as a request target, such as '/v2/library/nginx/manifests/1?ns=docker.io'.
    #[arg(long)]
    request: bool,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
    /// Image references such as nginx:1.25 or quay.io/a/b@sha256:….
    #[arg(required = true, value_name = "REFERENCE")]
    references: Vec<String>,
}

pub(super) fn run(arguments: &Arguments) -> Exit {
    let loaded = match arguments.config.load(&Overrides::default()) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    match runtime() {
        Ok(runtime) => runtime.block_on(explain(arguments, loaded.settings)),
        Err(exit) => exit,
    }
}

async fn explain(arguments: &Arguments, settings: Settings) -> Exit {
    let mut subjects = Vec::new();
    for text in &arguments.references {
        match subject(arguments, text, settings.listeners.first()) {
            Ok(subject) => subjects.push(subject),
            Err(reason) => {
                eprint_error(format_args!("{text:?}: {reason}"));
                return Exit::BadInput;
            }
        }
    }
    let store = StoreView::open(settings.store).await;
    let metrics = match Metrics::new() {
        Ok(metrics) => Arc::new(metrics),
        Err(error) => {
            eprint_error(error);
            return Exit::Failed;
        }
    };
    let defaults = settings.upstream_defaults;
    let directory = match UpstreamDirectory::new(settings.upstreams, defaults, metrics, None) {
        Ok(directory) => directory,
        Err(error) => {
            eprint_error(chain(&error));
            return Exit::Failed;
        }
    };
    for (image, reference) in subjects {
        let explained = explain_one(&settings.table, &directory, &store, &image, &reference).await;
        match (arguments.json, serde_json::to_string(&explained)) {
            (true, Ok(json)) => print_line(json),
            _ => print_explanation(&explained),
        }
    }
    Exit::Success
}

/// Parses a REFERENCE.
fn subject(
    arguments: &Arguments,
    text: &str,
    listener: Option<&ListenerSettings>,
) -> Result<(ImageName, Reference), String> {
    if !arguments.request {
        let image = text
            .parse::<ImageReference>()
            .map_err(|error| error.to_string())?;
        return Ok((image.repository.into(), image.reference));
    }
    let uri = text.parse::<Uri>().map_err(|error| error.to_string())?;
    let listener = listener.ok_or("the configuration has no listener")?;
    match ApiRequest::parse(&uri, None, &listener.ingress).map_err(|error| error.to_string())? {
        ApiRequest::Manifest(image, reference) => Ok((image, reference)),
        ApiRequest::Blob(image, digest) | ApiRequest::Referrers(image, digest, _) => {
            Ok((image, Reference::Digest(digest)))
        }
        ApiRequest::Tags(image, _) => Ok((image, Reference::Tag(Tag::any()))),
        ApiRequest::Ping => Err("a ping contacts no registry".into()),
    }
}

async fn explain_one(
    table: &RouteTable,
    directory: &UpstreamDirectory,
    store: &StoreView,
    image: &ImageName,
    reference: &Reference,
) -> Explanation {
    let mut explained = Explanation::of(table, directory, image, reference);
    if explained.outcome != RouteOutcome::Deny {
        explained.add_stored(store.stored(&store_keys(table, image, reference)).await);
    }
    explained
}

/// Prints for people.
fn print_explanation(explained: &Explanation) {
    print_line(&explained.reference);
    let outcome = match explained.outcome {
        RouteOutcome::Route | RouteOutcome::Source => "route",
        RouteOutcome::Deny => "denied",
        RouteOutcome::Unmatched => "no route",
    };
    match &explained.route {
        Some(route) => print_line(format_args!(
            "  {outcome:<8} {} ({})",
            route.from, route.origin
        )),
        None => print_line(format_args!("  {outcome}")),
    }
    if let Some(reason) = &explained.reason {
        print_line(format_args!("  {reason}"));
    }
    for (at, one) in explained.candidates.iter().enumerate() {
        let user = one
            .credential
            .as_ref()
            .map_or_else(String::new, |user| format!(" as {user}"));
        let separator = if one.reference.contains(':') {
            '@'
        } else {
            ':'
        };
        print_line(format_args!(
            "  {}. {} -> {}{separator}{}{user}",
            at + 1,
            one.url,
            one.repository,
            one.reference,
        ));
    }
    match &explained.stored {
        Some(stored) => {
            let complete = if stored.complete {
                "complete"
            } else {
                "incomplete"
            };
            let checked = stored
                .checked
                .map_or_else(String::new, |at| format!(", checked {at}"));
            print_line(format_args!(
                "  stored   {} ({complete}{checked})",
                stored.digest
            ));
        }
        None => print_line("  stored   nothing"),
    }
}
