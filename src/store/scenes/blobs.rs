//! Writing, reading, resuming and evicting blobs.

use super::*;
use crate::wire::GrowthState;

#[tokio::test]
async fn a_committed_blob_is_exactly_its_file() {
    let scene = Scene::new(100 * MIB).await;
    for length in [0, 1, 64 * 1024, 64 * 1024 + 1, 5 * MIB] {
        let bytes = noise(1, length);
        let digest = scene.put(&bytes).await;
        assert_eq!(std::fs::read(scene.blob_path(&digest)).unwrap(), bytes);
        let kept = scene.store.blob(&digest).await.unwrap().unwrap();
        match (&kept, length <= 64 * 1024) {
            (KeptBlob::Small(_), true) | (KeptBlob::Trusted { .. }, false) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(read(kept).await.unwrap(), bytes);
    }
    assert_eq!(scene.ledger().blobs, 5);
    assert_eq!(scene.ledger().bytes, 5 * MIB + 2 * 65536 + 2);
    assert!(!scene.has(&digest(b"absent")).await);
}

#[tokio::test]
async fn the_last_64_kib_are_held_back_until_the_bytes_are_proven() {
    let bytes = noise(2, MIB);
    for size in [Some(MIB), None] {
        let scene = Scene::new(100 * MIB).await;
        let mut partial = scene.store.begin(&digest(&bytes), size).await.unwrap();
        let reader = partial.reader();
        partial.write(Bytes::from(bytes.clone())).await.unwrap();
        partial.flush().await.unwrap();
        assert_eq!(reader.watermark().readable, MIB - 64 * 1024);
        assert_eq!(reader.watermark().state, GrowthState::Growing);
        partial.commit().await.unwrap();
        assert_eq!(
            (reader.watermark().readable, reader.watermark().state),
            (MIB, GrowthState::Whole)
        );
        let late = KeptBlob::Unverified {
            file: reader,
            size: MIB,
        };
        assert_eq!(read(late).await.unwrap(), bytes);
    }
}

#[tokio::test]
async fn a_dropped_partial_breaks_its_readers_and_is_resumed() {
    let scene = Scene::new(100 * MIB).await;
    let bytes = noise(3, 3 * MIB);
    let digest = digest(&bytes);
    let mut partial = scene.store.begin(&digest, Some(3 * MIB)).await.unwrap();
    let mut reader = partial.reader();
    let two = Bytes::from(bytes[..2_000_000].to_vec());
    partial.write(two).await.unwrap();
    partial.flush().await.unwrap();
    drop(partial);
    assert_eq!(
        reader.wait_readable(u64::MAX).await.state,
        GrowthState::Broken
    );

    let partial = scene.store.begin(&digest, Some(3 * MIB)).await.unwrap();
    assert_eq!(partial.written(), 2_000_000);
    assert_eq!(partial.reader().watermark().readable, 2_000_000);
    drop(partial);
    let scene = scene.crash(|_| {}).await;
    scene.try_put(&bytes).await.unwrap();
    assert_eq!(std::fs::read(scene.blob_path(&digest)).unwrap(), bytes);
}

#[tokio::test]
async fn a_short_or_overlong_partial_starts_again() {
    let scene = Scene::new(100 * MIB).await;
    let bytes = noise(4, MIB / 2);
    let digest = digest(&bytes);
    let mut partial = scene.store.begin(&digest, Some(MIB / 2)).await.unwrap();
    partial.write(Bytes::from_static(b"abc")).await.unwrap();
    drop(partial);
    let partial = scene.store.begin(&digest, Some(MIB / 2)).await.unwrap();
    assert_eq!(partial.written(), 0);
    drop(partial);
    scene
        .until(|scene| !scene.partial_path(&digest).exists())
        .await;
    std::fs::write(scene.partial_path(&digest), noise(5, MIB)).unwrap();
    scene.try_put(&bytes).await.unwrap();
    assert!(scene.has(&digest).await);
}

#[tokio::test]
async fn wrong_bytes_are_never_kept() {
    let scene = Scene::new(100 * MIB).await;
    let bytes = noise(6, 2 * MIB);
    let digest = digest(&bytes);
    let mut wrong = bytes.clone();
    wrong[1_500_000] ^= 1;
    let mut partial = scene.store.begin(&digest, Some(2 * MIB)).await.unwrap();
    let reader = partial.reader();
    partial.write(Bytes::from(wrong)).await.unwrap();
    let refused = partial.commit().await;
    assert!(matches!(refused, Err(CommitError::Mismatch(_))));
    assert_eq!(reader.watermark().state, GrowthState::Broken);
    assert!(!scene.partial_path(&digest).exists());
    assert!(!scene.has(&digest).await);
    scene.try_put(&bytes).await.unwrap();
}

#[tokio::test]
async fn a_blob_has_one_writer() {
    let scene = Scene::new(100 * MIB).await;
    let digest = digest(b"a");
    let first = scene.store.begin(&digest, None).await.unwrap();
    let second = scene.store.begin(&digest, None).await;
    assert!(matches!(second, Err(StoreError::Busy { .. })));
    drop(first);
    scene.store.begin(&digest, None).await.unwrap();
}

#[tokio::test]
async fn the_least_recently_used_goes_first() {
    let scene = Scene::new(4 * MIB).await;
    let mut digests = Vec::new();
    for seed in 0..4 {
        digests.push(scene.put(&noise(seed, MIB)).await);
    }
    assert!(scene.has(&digests[0]).await);
    let open = scene.store.blob(&digests[1]).await.unwrap().unwrap();
    let again = scene.store.blob(&digests[0]).await.unwrap().unwrap();
    drop(again);
    scene.put(&noise(9, MIB)).await;
    assert!(!scene.has(&digests[2]).await);
    scene.put(&noise(10, MIB)).await;
    scene.put(&noise(11, MIB)).await;
    assert!(!scene.has(&digests[3]).await);
    assert!(!scene.has(&digests[1]).await);
    assert!(scene.has(&digests[0]).await);
    assert_eq!(scene.ledger().bytes, 4 * MIB);
    // An open file remains readable after its eviction.
    assert_eq!(read(open).await.unwrap(), noise(1, MIB));
}

#[tokio::test]
async fn a_blob_in_flight_counts() {
    let scene = Scene::new(4 * MIB).await;
    let old = scene.put(&noise(0, 2 * MIB)).await;
    let filling = scene
        .store
        .begin(&digest(b"x"), Some(3 * MIB))
        .await
        .unwrap();
    assert!(!scene.has(&old).await);
    drop(filling);
    scene.until(|scene| scene.ledger().reserved == 0).await;
}

#[tokio::test]
async fn a_blob_counts_without_a_gap_from_its_reservation_to_its_file() {
    const BLOBS: u8 = 100;
    let scene = Scene::new(100 * MIB).await;
    let state = Arc::clone(&scene.store.state);
    let watcher = std::thread::spawn(move || {
        let mut most = 0;
        while !state.is_closing() {
            let ledger = *state.ledger.lock();
            let all = ledger.bytes + ledger.reserved;
            assert!(most <= all, "{ledger:?}");
            most = all;
        }
    });
    for seed in 0..BLOBS {
        scene.put(&noise(seed, 1000)).await;
    }
    scene.store.close().await;
    watcher.join().unwrap();
}

#[tokio::test]
async fn blobs_that_fit_only_one_by_one_do_not_stay_together() {
    let scene = Scene::new(4 * MIB).await;
    let blobs = [1, 2].map(|seed| noise(seed, 3 * MIB));
    let mut partials = Vec::new();
    for bytes in &blobs {
        let size = Some(3 * MIB);
        partials.push(scene.store.begin(&digest(bytes), size).await.unwrap());
    }
    for (mut partial, bytes) in partials.into_iter().zip(&blobs) {
        partial.write(bytes.clone().into()).await.unwrap();
        let kept = partial.commit().await.unwrap();
        assert_eq!(read(kept).await.as_ref(), Some(bytes));
    }
    assert_eq!(scene.ledger().bytes, 3 * MIB);
    assert!(scene.has(&digest(&blobs[1])).await);
}

#[tokio::test]
async fn a_blob_larger_than_the_store_passes_and_evicts_nothing() {
    let scene = Scene::new(4 * MIB).await;
    let old = scene.put(&noise(0, 2 * MIB)).await;
    let large = noise(1, 5 * MIB);
    let kept = scene.try_put(&large).await.unwrap();
    assert_eq!(read(kept).await.unwrap(), large);
    assert!(!scene.has(&digest(&large)).await);
    assert!(!scene.partial_path(&digest(&large)).exists());
    assert!(scene.has(&old).await);

    let mut partial = scene.store.begin(&digest(&large), None).await.unwrap();
    for chunk in large.chunks(100_000) {
        let chunk = Bytes::copy_from_slice(chunk);
        partial.write(chunk).await.unwrap();
    }
    assert_eq!(read(partial.commit().await.unwrap()).await.unwrap(), large);
    assert!(scene.has(&old).await);
    assert_eq!(scene.ledger().blobs, 1);
}
