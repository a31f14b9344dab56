//! Upstreams that fail in the middle of a blob: the client gets the complete right body, or one that
//! ends short, but never a complete wrong one.

use std::time::Duration;

use fake_registry::{Content, FakeRegistry, Fault, Gate, KIB, MIB, Match, Pause, random_bytes};
use futures_util::future::join_all;

use crate::{
    mirror::{Builder, Mirror, failure},
    site::{private, route, two, upstream},
};

const REPOSITORY: &str = "library/nginx";
const LARGE: usize = 6 * MIB;
const SMALL: usize = 700 * KIB;
/// Short enough to be waited for, long enough for a busy machine.
const SOON: &str = "[timeouts]\nprogress = \"1500ms\"";

fn layer(hub: &FakeRegistry, size: usize) -> Content {
    hub.blob(REPOSITORY, random_bytes(size, 1))
}

fn patient(hub: &FakeRegistry) -> Builder {
    Mirror::of(hub).config(SOON)
}

#[tokio::test]
async fn f01_f02_f05_q42_a_body_that_breaks_is_resumed_where_it_stopped() {
    let faults = |size: usize| {
        [
            Fault::CutAfter(0),
            Fault::CutAfter(1),
            Fault::CutAfter(size / 3),
            Fault::CutAfter(size - 1),
            Fault::ResetAfter(1),
            Fault::ResetAfter(size / 2),
            Fault::ResetAfter(size - 1),
            Fault::StallAfter(0),
            Fault::StallAfter(size / 2),
            Fault::StallAfter(size - 1),
            Fault::Stall,
            Fault::Trickle(KIB, Pause::For(Duration::from_millis(200))),
            Fault::HangUp,
            Fault::Reset,
            Fault::Status(503),
        ]
    };
    let cases = [SMALL, LARGE].map(|size| faults(size).map(|fault| (size, fault)));
    let scenes = cases.into_iter().flatten().map(|(size, fault)| async move {
        let hub = FakeRegistry::start().await;
        let layer = layer(&hub, size);
        let text = format!("{fault:?} of {size}");
        hub.next(Match::blob(&layer), fault);
        let mirror = patient(&hub).start().await;
        let reply = mirror.blob(REPOSITORY, &layer).reply().await;
        assert!(reply.whole() == layer.bytes, "R071: {text}");
        mirror.keeps(1).await;
        let again = mirror.blob(REPOSITORY, &layer).reply().await;
        assert!(again.whole() == layer.bytes, "{text}");
        assert_eq!(hub.served(&layer).requests(), 2, "{text}");
    });
    join_all(scenes).await;
}

#[tokio::test]
async fn f01_twenty_breaks_in_one_blob_cost_few_bytes() {
    const BREAKS: usize = 20;
    let hub = FakeRegistry::start().await;
    let layer = layer(&hub, LARGE);
    hub.next(Match::blob(&layer), Fault::CutAfter(LARGE / (BREAKS + 2)))
        .times(BREAKS);
    let mirror = Mirror::of(&hub).start().await;
    let reply = mirror.blob(REPOSITORY, &layer).reply().await;
    assert!(reply.whole() == layer.bytes);
    let served = hub.served(&layer);
    assert_eq!(served.requests(), BREAKS + 1);
    let ranges = served.ranges();
    assert!(ranges[0].is_none() && ranges[1..].iter().all(Option::is_some));
    assert!(served.bytes() <= LARGE + LARGE / 20, "{}", served.bytes());
}

#[tokio::test]
async fn b090_q38_an_upstream_that_ignores_range_is_skipped_to_the_offset() {
    for size in [SMALL, LARGE] {
        let hub = FakeRegistry::start().await;
        let layer = layer(&hub, size);
        hub.next(Match::blob(&layer).whole(), Fault::CutAfter(size / 2));
        hub.next(Match::blob(&layer).ranged(), Fault::IgnoreRange);
        let mirror = Mirror::of(&hub).start().await;
        let reply = mirror.blob(REPOSITORY, &layer).reply().await;
        assert!(reply.whole() == layer.bytes);
    }
}

#[tokio::test]
async fn b091_a_wrong_part_is_dropped_and_the_next_try_starts_at_zero() {
    for size in [SMALL, LARGE] {
        for fault in [Fault::WrongContentRange, Fault::Status(416)] {
            let hub = FakeRegistry::start().await;
            let layer = layer(&hub, size);
            hub.next(Match::blob(&layer).whole(), Fault::CutAfter(size / 2));
            hub.next(Match::blob(&layer).ranged(), fault);
            let mirror = Mirror::of(&hub).start().await;
            let reply = mirror.blob(REPOSITORY, &layer).reply().await;
            assert!(reply.whole() == layer.bytes);
            let served = hub.served(&layer);
            assert_eq!(served.ranges().last(), Some(&None));
            assert_eq!(served.requests(), 3);
        }
    }
}

#[tokio::test]
async fn b085_a_hopeless_body_ends_short_and_the_next_pull_goes_on() {
    let hub = FakeRegistry::start().await;
    let layer = layer(&hub, LARGE);
    let outage = hub
        .next(Match::blob(&layer).ranged(), Fault::Status(404))
        .always();
    hub.next(Match::blob(&layer).whole(), Fault::CutAfter(LARGE / 2));
    let config = "[freshness]\nabsent = \"0s\"";
    let mirror = Mirror::of(&hub).config(config).start().await;
    let reply = mirror.blob(REPOSITORY, &layer).reply().await;
    assert_eq!((reply.status, reply.error), (200, None));
    assert!(reply.body.len() <= LARGE / 2);
    assert!(layer.bytes.starts_with(&reply.body));
    assert_eq!(mirror.blobs(), 0);
    outage.stop();
    let reply = mirror.blob(REPOSITORY, &layer).reply().await;
    assert!(reply.whole() == layer.bytes);
    let served = hub.served(&layer);
    let resumed = served.ranges().last().copied().flatten().unwrap();
    let from = resumed
        .strip_prefix("bytes=")
        .unwrap()
        .trim_end_matches('-');
    let from: usize = from.parse().unwrap();
    assert!((LARGE / 2 - MIB..=LARGE / 2).contains(&from), "{from}");
}

#[tokio::test]
async fn f02_a_length_that_is_one_too_many_is_never_a_complete_wrong_body() {
    for size in [SMALL, LARGE] {
        let hub = FakeRegistry::start().await;
        let layer = layer(&hub, size);
        hub.next(Match::blob(&layer), Fault::ShortLength);
        let mirror = Mirror::of(&hub).start().await;
        let reply = mirror.blob(REPOSITORY, &layer).reply().await;
        let announced = reply.header("content-length").unwrap();
        if announced == size.to_string() {
            assert!(reply.whole() == layer.bytes);
        } else {
            assert_eq!(announced, (size + 1).to_string());
            assert!(reply.body.len() <= size && layer.bytes.starts_with(&reply.body));
        }
        // Until upstream is asked again, further clients are told the same wrong length.
        mirror.keeps(1).await;
        let reply = mirror.blob(REPOSITORY, &layer).reply().await;
        assert!(reply.whole() == layer.bytes);
    }
}

#[tokio::test]
async fn b086_surplus_bytes_are_ignored() {
    for size in [0, 1000, SMALL, LARGE] {
        let hub = FakeRegistry::start().await;
        let layer = layer(&hub, size);
        hub.next(Match::blob(&layer), Fault::ExtraBytes(100));
        let mirror = Mirror::of(&hub).start().await;
        for _cold_and_warm in 0..2 {
            let reply = mirror.blob(REPOSITORY, &layer).reply().await;
            assert!(reply.whole() == layer.bytes, "{size}");
        }
        assert_eq!(hub.served(&layer).requests(), 1, "{size}");
    }
}

#[tokio::test]
async fn b089_a_part_of_what_was_asked_for_as_a_whole_is_refused() {
    let hub = FakeRegistry::start().await;
    let layer = layer(&hub, LARGE);
    let part = http::Response::builder()
        .status(206)
        .header("content-range", format!("bytes 0-{}/{LARGE}", LARGE - 1));
    let part = part.body(layer.bytes.clone()).unwrap();
    hub.next(Match::blob(&layer), Fault::Answer(part)).always();
    let mirror = Mirror::of(&hub).start().await;
    let reply = mirror.blob(REPOSITORY, &layer).reply().await;
    assert_eq!(failure(&reply), (502, "UNAVAILABLE".into()));
}

#[tokio::test]
async fn readers_of_all_kinds_survive_a_break() {
    let hub = FakeRegistry::start().await;
    let layer = layer(&hub, LARGE);
    let gate = Gate::new();
    hub.next(Match::blob(&layer).whole(), Fault::CutAfter(LARGE / 2));
    hub.next(Match::blob(&layer).ranged(), Fault::HoldHead(gate.clone()));
    let mirror = Mirror::of(&hub).start().await;
    let whole = join_all((0..5).map(|_| mirror.blob(REPOSITORY, &layer).reply()));
    let tail = mirror.blob(REPOSITORY, &layer).with("Range", "bytes=-1000");
    let open = async {
        hub.until(Match::blob(&layer).ranged(), 1).await;
        gate.open();
    };
    let (whole, tail, ()) = tokio::join!(whole, tail.reply(), open);
    assert!(whole.iter().all(|reply| reply.whole() == layer.bytes));
    assert!(*tail.whole() == layer.bytes[LARGE - 1000..]);
    assert_eq!(hub.served(&layer).requests(), 2);
}

#[tokio::test]
async fn a_broken_candidate_is_resumed_at_the_next() {
    let (one, other) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let layer = layer(&one, LARGE);
    other.put_blob(REPOSITORY, &layer);
    one.next(Match::blob(&layer), Fault::CutAfter(LARGE / 2));
    let mirror = Mirror::with(&two(&one, &other)).start().await;
    let reply = mirror.blob(REPOSITORY, &layer).reply().await;
    assert!(reply.whole() == layer.bytes);
    assert_eq!(one.served(&layer).ranges(), [None]);
    let rest = format!("bytes={}-", LARGE / 2);
    assert_eq!(other.served(&layer).ranges(), [Some(rest.as_str())]);
}

#[tokio::test]
async fn a_candidate_without_the_blob_or_with_a_wrong_one_is_passed_over() {
    for fault in [
        Fault::Status(404),
        Fault::Status(403),
        Fault::Status(500),
        Fault::Html,
        Fault::HangUp,
        Fault::FlipByte(5),
        Fault::Gzip,
    ] {
        let (one, other) = (FakeRegistry::start().await, FakeRegistry::start().await);
        let layer = layer(&one, SMALL);
        other.put_blob(REPOSITORY, &layer);
        let text = format!("{fault:?}");
        one.next(Match::blob(&layer), fault).always();
        let mirror = Mirror::with(&two(&one, &other)).start().await;
        let reply = mirror.blob(REPOSITORY, &layer).reply().await;
        assert!(reply.whole() == layer.bytes, "{text}");
        mirror.keeps(1).await;
    }
}

#[tokio::test]
async fn what_candidates_failures_come_to_for_a_blob() {
    let absent = || Fault::Status(404);
    let cases = [
        (absent(), absent(), 404, "BLOB_UNKNOWN"),
        (absent(), Fault::Status(503), 503, "UNAVAILABLE"),
        (Fault::Status(500), absent(), 503, "UNAVAILABLE"),
        (absent(), Fault::Status(403), 403, "DENIED"),
        (Fault::Html, absent(), 502, "UNAVAILABLE"),
        (Fault::HangUp, Fault::Status(403), 503, "UNAVAILABLE"),
        (Fault::Throttle("3600".into()), absent(), 503, "UNAVAILABLE"),
    ];
    let scenes = cases
        .into_iter()
        .map(|(first, second, status, code)| async move {
            let (one, other) = (FakeRegistry::start().await, FakeRegistry::start().await);
            let text = format!("{first:?} and {second:?}");
            one.next(Match::any(), first).always();
            other.next(Match::any(), second).always();
            let config = "[timeouts]\nblob_head = \"15s\"";
            let mirror = Mirror::with(&two(&one, &other))
                .config(config)
                .start()
                .await;
            let layer = Content::new("", "layer");
            let reply = mirror.blob(REPOSITORY, &layer).reply().await;
            assert_eq!(failure(&reply), (status, code.to_owned()), "{text}");
        });
    join_all(scenes).await;
}

#[tokio::test]
async fn a_refused_login_ends_the_walk_for_blobs_too() {
    let (one, other) = (FakeRegistry::start().await, FakeRegistry::start().await);
    let layer = layer(&other, SMALL);
    one.next(Match::any(), Fault::Status(403)).always();
    let routes = private("one", &one)
        + &upstream("two", &other)
        + &route("docker.io", "\"one\", \"two\"", "library = \"keep\"");
    let mirror = Mirror::with(&routes).start().await;
    let reply = mirror.blob(REPOSITORY, &layer).reply().await;
    assert_eq!(failure(&reply), (403, "DENIED".into()));
    assert_eq!(other.count(Match::any()), 0);
}

#[tokio::test]
async fn b104_a_blob_whose_head_never_comes_is_504() {
    let hub = FakeRegistry::start().await;
    let layer = layer(&hub, SMALL);
    hub.next(Match::any(), Fault::HoldHead(Gate::new()))
        .always();
    let mirror = Mirror::of(&hub).config("[timeouts]\nblob_head = \"200ms\"");
    let mirror = mirror.start().await;
    let reply = mirror.blob(REPOSITORY, &layer).reply().await;
    assert_eq!(failure(&reply), (504, "UNAVAILABLE".into()));
}

#[tokio::test]
async fn f06_a_throttled_blob_waits_within_its_budget() {
    let hub = FakeRegistry::start().await;
    let layer = layer(&hub, SMALL);
    hub.next(Match::blob(&layer), Fault::Throttle("1".into()));
    let mirror = Mirror::of(&hub).start().await;
    let reply = mirror.blob(REPOSITORY, &layer).reply().await;
    assert!(reply.whole() == layer.bytes);
    assert_eq!(hub.served(&layer).requests(), 2);
}
