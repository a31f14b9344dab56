//! `cargo bench --bench pure`: what the parts cost that do no I/O.
//!
//! A name after it chooses some: `cargo bench --bench pure -- table`.

use std::{fmt::Debug, hint::black_box};

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use http::Uri;
use roadstead::internals::{
    api::ApiRequest,
    oci::{Algorithm, Digest, Manifest, RangeRequest, Reference, Registry, Repository, Verifier},
    route::{
        ConfigLocation, ImageName, Ingress, IngressText, MatchText, RouteTable, RuleText,
        TargetText, UnmatchedPolicy,
    },
};

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

const HEX: &str = "9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0";
const MIB: usize = 1024 * 1024;
/// Layers of the manifest: more than most images have.
const LAYERS: usize = 20;

fn main() -> Fallible<()> {
    let mut criterion = Criterion::default().configure_from_args();
    targets(&mut criterion)?;
    tables(&mut criterion)?;
    digests(&mut criterion)?;
    verifiers(&mut criterion);
    ranges(&mut criterion);
    manifests(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

/// Parses a request's target.
fn targets(criterion: &mut Criterion) -> Fallible<()> {
    let text = IngressText {
        default_registry: None,
        names: Vec::new(),
        aliases: Vec::new(),
        hosts: Vec::new(),
    };
    let ingress = Ingress::new(text).map_err(told)?;
    let mut group = criterion.benchmark_group("target");
    for (name, target) in [
        (
            "blob",
            format!("/v2/library/nginx/blobs/sha256:{HEX}?ns=docker.io"),
        ),
        (
            "tag",
            "/v2/library/nginx/manifests/1.25?ns=docker.io".to_owned(),
        ),
        ("prefix", "/v2/quay.io/org/app/manifests/1.25".to_owned()),
        ("ping", "/v2/".to_owned()),
    ] {
        let uri: Uri = target.parse()?;
        ApiRequest::parse(&uri, Some("mirror.example"), &ingress).map_err(told)?;
        group.bench_function(name, |bencher| {
            bencher.iter(|| ApiRequest::parse(black_box(&uri), Some("mirror.example"), &ingress));
        });
    }
    group.finish();
    Ok(())
}

/// A name to its candidates, as the table grows.
fn tables(criterion: &mut Criterion) -> Fallible<()> {
    let tag: Reference = Reference::Tag("1.25".parse()?);
    let mut group = criterion.benchmark_group("table");
    let built_in = table(0)?;
    let nginx = named("docker.io", "library/nginx")?;
    group.bench_function("built-in list", |bencher| {
        bencher.iter(|| built_in.decide(black_box(&nginx), &tag));
    });
    let miss = named("other.example", "library/nginx")?;
    for routes in [1, 100, 1_000] {
        let table = table(routes)?;
        let hit = named("docker.io", &format!("team{}/app/web", routes / 2))?;
        for (what, name) in [("prefix", &hit), ("miss", &miss)] {
            group.bench_function(format!("{routes} routes, {what}"), |bencher| {
                bencher.iter(|| table.decide(black_box(name), &tag));
            });
        }
    }
    group.finish();
    Ok(())
}

fn digests(criterion: &mut Criterion) -> Fallible<()> {
    let text = format!("sha256:{HEX}");
    let digest: Digest = text.parse()?;
    let mut group = criterion.benchmark_group("digest");
    group.bench_function("parse", |bencher| {
        bencher.iter(|| black_box(text.as_str()).parse::<Digest>());
    });
    group.bench_function("print", |bencher| {
        bencher.iter(|| black_box(&digest).to_string());
    });
    group.finish();
    Ok(())
}

/// The floor of every fill: each byte is hashed once.
fn verifiers(criterion: &mut Criterion) {
    let bytes = vec![b'x'; MIB];
    let mut group = criterion.benchmark_group("verifier");
    group.throughput(Throughput::BytesDecimal(1024 * 1024));
    for algorithm in Algorithm::ALL {
        let digest = Digest::of(algorithm, &bytes);
        group.bench_function(format!("1 MiB of {algorithm}"), |bencher| {
            bencher.iter(|| {
                let mut verifier = Verifier::new(digest);
                verifier.update(black_box(&bytes));
                verifier.finish()
            });
        });
    }
    group.finish();
}

fn ranges(criterion: &mut Criterion) {
    let many: Vec<_> = (0..64)
        .map(|n| format!("{}-{}", n * 100, n * 100 + 9))
        .collect();
    let mut group = criterion.benchmark_group("range");
    for (name, header) in [
        ("one part", "bytes=1048576-2097151".to_owned()),
        ("64 parts", format!("bytes={}", many.join(","))),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                RangeRequest::from_header(black_box(&header)).map(|range| range.within(300_000_000))
            });
        });
    }
    group.finish();
}

/// Hashes and parses a manifest.
fn manifests(criterion: &mut Criterion) -> Fallible<()> {
    let layer = r#"{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","#;
    let layers = vec![format!(r#"{layer}"digest":"sha256:{HEX}","size":300000000}}"#); LAYERS];
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{}]}}"#,
        layers.first().map(String::as_str).unwrap_or_default(),
        layers.join(",")
    );
    let bytes = Bytes::from(text);
    let digest = Digest::of(Algorithm::Sha256, &bytes);
    Manifest::new(digest, bytes.clone(), None)?;
    let mut group = criterion.benchmark_group("manifest");
    group.bench_function(format!("{LAYERS} layers"), |bencher| {
        bencher.iter(|| Manifest::new(digest, black_box(bytes.clone()), None));
    });
    group.finish();
    Ok(())
}

/// So many routes for prefixes of one registry; without any, the built-in list holds.
fn table(routes: usize) -> Fallible<RouteTable> {
    let rule = |number: usize| {
        let matches = MatchText::From(vec![format!("docker.io/team{number}")]);
        let to = vec![TargetText::from(
            format!("harbor.example/team{number}").as_str(),
        )];
        let place = ConfigLocation(format!("roadstead.toml:{number}").into());
        RuleText::new(matches, to, place).compile().map_err(told)
    };
    let rules = (0..routes).map(rule).collect::<Result<_, _>>()?;
    let (table, _notes) = RouteTable::new(rules, UnmatchedPolicy::Auto).map_err(told)?;
    Ok(table)
}

fn named(registry: &str, name: &str) -> Fallible<ImageName> {
    let registry: Registry = registry.parse()?;
    Ok(Repository::canonical(registry, name.parse()?).into())
}

fn told(problem: impl Debug) -> String {
    format!("{problem:?}")
}
