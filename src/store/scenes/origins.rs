//! Manifests, tags and the provenance of blobs.

use super::*;
use crate::{
    oci::{Manifest, Origin, Tag},
    store::{Provenance, TagRecord, layout::origin_from_text},
};

fn origin(text: &str) -> Origin {
    origin_from_text(text).unwrap()
}

fn manifest(layer: &Digest) -> Arc<Manifest> {
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
            "config":{{"digest":"{}","size":3}},"layers":[{{"digest":"{layer}","size":77}}]}}"#,
        digest(b"config")
    );
    Arc::new(Manifest::unnamed(Bytes::from(text), None).unwrap())
}

fn at(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_800_000_000 + second).unwrap()
}

#[tokio::test]
async fn a_manifest_belongs_to_its_origin() {
    let scene = Scene::new(MIB).await;
    let (here, there) = (origin("u/a/b"), origin("u/a"));
    let layer = digest(b"layer");
    let manifest = manifest(&layer);
    assert_eq!(scene.store.referenced_size(&layer, &here).await, None);
    scene.store.keep_manifest(&here, &manifest).await.unwrap();
    assert_eq!(scene.store.referenced_size(&layer, &here).await, Some(77));
    let scene = scene.crash(|_| {}).await;
    let digest = manifest.digest();
    let found = scene.store.manifest(&here, &digest).await.unwrap().unwrap();
    assert_eq!(found.bytes(), manifest.bytes());
    assert!(
        scene
            .store
            .manifest(&there, &digest)
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(scene.store.manifests(&here, 9).await.unwrap().len(), 1);
    assert_eq!(scene.store.manifests(&here, 0).await.unwrap().len(), 0);
    assert_eq!(scene.store.referenced_size(&layer, &here).await, Some(77));
    assert_eq!(scene.store.referenced_size(&layer, &there).await, None);
    let provenance = |of| scene.store.provenance(&layer, of);
    assert_eq!(provenance(&here).await.unwrap(), Provenance::Referenced);
    assert_eq!(provenance(&there).await.unwrap(), Provenance::Unknown);
}

#[tokio::test]
async fn a_damaged_manifest_is_absent() {
    let scene = Scene::new(MIB).await;
    let here = origin("_local/docker.io/library/a");
    let manifest = manifest(&digest(b"layer"));
    scene.store.keep_manifest(&here, &manifest).await.unwrap();
    let path = scene.store.state.layout.manifest(&here, &manifest.digest());
    let scene = scene
        .restart(|_| std::fs::write(&path, b"{}").unwrap())
        .await;
    let digest = manifest.digest();
    assert!(
        scene
            .store
            .manifest(&here, &digest)
            .await
            .unwrap()
            .is_none()
    );
    assert!(!path.exists());
    assert!(scene.damaged());
}

#[tokio::test]
async fn a_confirmation_stays_until_the_blob_goes() {
    let scene = Scene::new(2 * MIB).await;
    let (here, there) = (origin("u/a"), origin("v/a"));
    let stranger = origin("w/a");
    let digest = scene.put(&noise(1, MIB)).await;
    let store = &scene.store;
    let named = manifest(&digest);
    store.keep_manifest(&there, &named).await.unwrap();
    assert_eq!(
        store.provenance(&digest, &there).await.unwrap(),
        Provenance::Referenced
    );
    store.confirm(&digest, &here).await.unwrap();
    store.confirm(&digest, &there).await.unwrap();
    assert_eq!(
        store.provenance(&digest, &there).await.unwrap(),
        Provenance::Confirmed
    );
    let scene = scene.crash(|_| {}).await;
    let provenance = |of| scene.store.provenance(&digest, of);
    assert_eq!(provenance(&here).await.unwrap(), Provenance::Confirmed);
    assert_eq!(provenance(&stranger).await.unwrap(), Provenance::Unknown);
    let confirmed = scene.store.confirmed_by(&digest).await.unwrap();
    assert_eq!(confirmed, [here.clone(), there.clone()]);
    scene.put(&noise(2, 2 * MIB)).await;
    assert_eq!(provenance(&here).await.unwrap(), Provenance::Unknown);
    assert_eq!(provenance(&there).await.unwrap(), Provenance::Referenced);
    assert_eq!(scene.store.confirmed_by(&digest).await.unwrap(), []);
}

#[tokio::test]
async fn without_an_index_the_files_answer() {
    let scene = Scene::new(MIB).await;
    let here = origin("u/a/b");
    let layer = digest(b"layer");
    let other = digest(b"other");
    let manifest = manifest(&layer);
    scene.store.keep_manifest(&here, &manifest).await.unwrap();
    scene.store.confirm(&other, &here).await.unwrap();
    let scene = scene
        .restart(|root| std::fs::remove_file(root.join("index.redb")).unwrap())
        .await;
    for _before_and_after in 0..2 {
        let provenance = |digest| scene.store.provenance(digest, &here);
        assert_eq!(provenance(&layer).await.unwrap(), Provenance::Referenced);
        assert_eq!(provenance(&other).await.unwrap(), Provenance::Confirmed);
        let confirmed = scene.store.confirmed_by(&other).await.unwrap();
        assert_eq!(confirmed, std::slice::from_ref(&here));
        scene.caught_up().await;
    }
    assert_eq!(scene.store.referenced_size(&layer, &here).await, Some(77));
}

#[tokio::test]
async fn tags_are_kept_listed_and_forgotten() {
    let scene = Scene::new(MIB).await;
    let here = origin("u/a");
    let tags: Vec<Tag> = ["b", "a", "_tags"].map(|tag| tag.parse().unwrap()).into();
    let record = TagRecord {
        digest: digest(b"1"),
        checked: at(0),
    };
    for tag in &tags {
        scene.store.keep_tag(&here, tag, record).await.unwrap();
    }
    let scene = scene.crash(|_| {}).await;
    let kept = scene.store.tag(&here, &tags[0]).await.unwrap();
    assert_eq!(kept, Some(record));
    let listed = scene.store.tags(&here).await.unwrap();
    assert_eq!(listed, ["_tags", "a", "b"].map(|tag| tag.parse().unwrap()));
    scene.store.forget_tag(&here, &tags[0]).await.unwrap();
    assert_eq!(scene.store.tag(&here, &tags[0]).await.unwrap(), None);
    assert_eq!(scene.store.tags(&here).await.unwrap().len(), 2);
    assert_eq!(scene.store.tags(&origin("u/b")).await.unwrap(), []);
    scene
        .store
        .forget_tag(&origin("u/b"), &tags[0])
        .await
        .unwrap();
}

#[tokio::test]
async fn a_later_check_alone_is_written_once_a_minute() {
    let scene = Scene::new(MIB).await;
    let here = origin("u/a");
    let tag = Tag::latest();
    let path = scene.store.state.layout.tag(&here, &tag);
    let written = || std::fs::read_to_string(&path).unwrap();
    let digest = digest(b"1");
    let keep = |digest, second| {
        let checked = at(second);
        scene
            .store
            .keep_tag(&here, &tag, TagRecord { digest, checked })
    };
    keep(digest, 0).await.unwrap();
    let first = written();
    keep(digest, 59).await.unwrap();
    assert_eq!(written(), first);
    let record = scene.store.tag(&here, &tag).await.unwrap().unwrap();
    assert_eq!(record.checked, at(59));
    keep(digest, 60).await.unwrap();
    assert_ne!(written(), first);
    let second = written();
    keep(super::digest(b"2"), 61).await.unwrap();
    assert_ne!(written(), second);
}

#[tokio::test]
async fn a_damaged_tag_record_is_absent() {
    let scene = Scene::new(MIB).await;
    let here = origin("u/a");
    let tag = Tag::latest();
    let path = scene.store.state.layout.tag(&here, &tag);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let long = "x".repeat(5000);
    for text in [
        "",
        "{}",
        "{\"digest\":\"md5:1\",\"checked\":\"now\"}",
        &long,
    ] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(scene.store.tag(&here, &tag).await.unwrap(), None);
        assert!(!path.exists());
    }
}

#[tokio::test]
async fn whatever_operation_fails_a_record_is_whole_or_absent() {
    let here = origin("u/a/b");
    let layer = digest(b"layer");
    let manifest = manifest(&layer);
    let tag = Tag::latest();
    let record = TagRecord {
        digest: manifest.digest(),
        checked: at(0),
    };
    for number in 1.. {
        let scene = Scene::new(MIB).await;
        scene.caught_up().await;
        scene.disk.fail(number, io::ErrorKind::Other);
        let keep = async || {
            scene.store.keep_manifest(&here, &manifest).await?;
            scene.store.keep_tag(&here, &tag, record).await?;
            scene.store.confirm(&layer, &here).await
        };
        let tried = keep().await;
        let used_up = scene.disk.done.load(Ordering::SeqCst) < number;
        scene.disk.fail(0, io::ErrorKind::Other);
        let found = scene.store.tag(&here, &tag).await.unwrap();
        assert!(found.is_none_or(|found| found == record));
        assert!(!scene.damaged(), "{number}");
        keep().await.unwrap();
        let scene = scene.crash(|_| {}).await;
        assert_eq!(
            scene.store.tag(&here, &tag).await.unwrap(),
            Some(record),
            "{number}"
        );
        let found = scene.store.manifest(&here, &record.digest).await.unwrap();
        assert!(found.is_some(), "{number}");
        if used_up {
            assert!(number > 10);
            tried.unwrap();
            return;
        }
    }
}
