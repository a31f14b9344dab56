//! Manifests: upstream's headers, the client's `Accept`, and the mirror's response.

use fake_registry::{Content, FakeRegistry, Fault, Match, media_type, random_bytes};

use crate::{
    mirror::{Mirror, failure},
    rows::Rows,
};

const SEED: u64 = 27;

#[tokio::test]
async fn r033_to_r037_accept_changes_nothing() {
    let hub = FakeRegistry::start().await;
    let image = hub.image("library/nginx", "1.25", &[random_bytes(10, SEED)]);
    let index = hub.index("library/nginx", "all", &[&image]);
    let mirror = Mirror::of(&hub).start().await;
    let mut rows = Rows::default();
    for accept in [
        &[][..],
        &["*/*"],
        &["application/vnd.docker.distribution.manifest.v1+prettyjws"],
        &[media_type::DOCKER_LIST],
        &[media_type::MANIFEST, media_type::INDEX],
        &[media_type::INDEX, media_type::MANIFEST],
        &["text/html;q=1, */*;q=0.1"],
    ] {
        for (reference, want) in [
            ("1.25", &image.manifest),
            ("all", &index),
            (image.manifest.digest.as_str(), &image.manifest),
        ] {
            let ask = mirror.manifest("library/nginx", reference);
            let ask = accept
                .iter()
                .fold(ask, |ask, kind| ask.with("Accept", kind));
            let reply = ask.reply().await;
            let row = format!("{accept:?} {reference}");
            rows.same(
                &row,
                (reply.status, reply.header("content-type")),
                (200, Some(want.media_type.as_str())),
            );
            rows.holds(&row, reply.body == want.bytes, &"other bytes");
        }
    }
    rows.same(
        "one cache entry each",
        hub.count(Match::manifests().get()),
        2,
    );
}

#[tokio::test]
async fn r027_to_r032_r038_what_upstream_says_of_a_manifest() {
    let hub = FakeRegistry::start().await;
    let text = |kind: &str| {
        // R029: spaces, unknown fields and the last line feed are the content too.
        let config = Content::new(media_type::CONFIG, "{}");
        format!(
            " {{ \"schemaVersion\": 2,\n\t\"mediaType\": \"{kind}\", \"x\": [1,  2],\n \"config\": {},\n \"layers\": [] }}\r\n\n",
            config.descriptor()
        )
    };
    let mut rows = Rows::default();
    let odd = [
        ("R027", Fault::NoDigestHeader, 200),
        ("R028", Fault::WrongDigestHeader, 200),
        (
            "R030",
            Fault::ContentType("application/octet-stream".into()),
            200,
        ),
        ("R030", Fault::ContentType("text/plain".into()), 200),
        ("R030", Fault::ContentType("application/json".into()), 200),
        (
            "R031",
            Fault::ContentType(format!("{}; charset=utf-8", media_type::DOCKER_MANIFEST)),
            200,
        ),
        ("R026", Fault::NoLength, 200),
        ("R038", Fault::FlipByte(3), 502),
        ("R032", Fault::Html, 502),
    ];
    for (at, (row, fault, status)) in odd.into_iter().enumerate() {
        let repository = format!("library/n{at}");
        let manifest = hub.manifest(
            &repository,
            Some("1"),
            media_type::DOCKER_MANIFEST,
            text(media_type::DOCKER_MANIFEST),
        );
        let row = format!("{row}: {fault:?}");
        hub.next(Match::repository(&repository), fault).always();
        let mirror = Mirror::of(&hub).start().await;
        let reference = if status == 200 { "1" } else { &manifest.digest };
        let reply = mirror.manifest(&repository, reference).reply().await;
        rows.same(&row, reply.status, status);
        if status == 200 {
            rows.same(&row, reply.whole(), &manifest.bytes[..]);
            rows.same(
                &row,
                reply.header("docker-content-digest"),
                Some(manifest.digest.as_str()),
            );
            rows.same(
                &row,
                reply.header("content-type"),
                Some(media_type::DOCKER_MANIFEST),
            );
        } else {
            rows.same(&row, failure(&reply).1, "UNAVAILABLE".to_owned());
        }
    }
}
