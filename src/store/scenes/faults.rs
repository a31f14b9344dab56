//! Files that are damaged, planted or gone, and disks that fail.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

/// Changes a file so that even a coarse clock shows it.
fn tamper(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
}

#[tokio::test]
async fn damage_is_a_miss_or_a_broken_body_and_then_a_miss() {
    for length in [1000, 100_000, 5 * MIB] {
        let scene = Scene::new(100 * MIB).await;
        let digest = scene.put(&noise(1, length)).await;
        scene.store.state.small.invalidate_all();
        tamper(&scene.blob_path(&digest), |bytes| bytes[500] ^= 1);
        match scene.store.blob(&digest).await.unwrap() {
            None => assert!(length < 5 * MIB),
            Some(kept) => {
                assert!(matches!(kept, KeptBlob::Unverified { .. }));
                assert_eq!(read(kept).await, None);
                scene
                    .until(|scene| !scene.blob_path(&digest).exists())
                    .await;
            }
        }
        scene.until(Scene::damaged).await;
        assert!(!scene.has(&digest).await);
        assert_eq!(scene.ledger().bytes, 0);
        scene.put(&noise(1, length)).await;
        assert!(scene.has(&digest).await);
    }
}

#[tokio::test]
async fn an_untouched_blob_whose_times_changed_is_proven_again() {
    let scene = Scene::new(100 * MIB).await;
    let bytes = noise(1, 5 * MIB);
    let digest = scene.put(&bytes).await;
    tamper(&scene.blob_path(&digest), |_bytes| {});
    let first = scene.store.blob(&digest).await.unwrap().unwrap();
    let second = scene.store.blob(&digest).await.unwrap().unwrap();
    assert!(matches!(first, KeptBlob::Unverified { .. }));
    assert_eq!(read(first).await.unwrap(), bytes);
    assert_eq!(read(second).await.unwrap(), bytes);
    assert!(!scene.damaged());
}

#[tokio::test]
async fn a_truncated_or_vanished_blob_is_a_miss() {
    let scene = Scene::new(100 * MIB).await;
    let short = scene.put(&noise(1, 5 * MIB)).await;
    let gone = scene.put(&noise(2, 5 * MIB)).await;
    tamper(&scene.blob_path(&short), |bytes| bytes.truncate(100_000));
    std::fs::remove_file(scene.blob_path(&gone)).unwrap();
    assert!(!scene.has(&short).await);
    assert!(!scene.has(&gone).await);
    assert!(scene.damaged());
    assert_eq!(scene.ledger().blobs, 0);
}

#[tokio::test]
async fn what_was_evicted_or_written_anew_meanwhile_is_not_damaged() {
    let scene = Scene::new(100 * MIB).await;
    let state = &scene.store.state;
    let anew = scene.put(&noise(1, 100_000)).await;
    blob_file::discard(state, &anew, None).unwrap();
    assert!(scene.has(&anew).await);
    let evicted = digest(&noise(2, 100_000));
    blob_file::discard(state, &evicted, None).unwrap();
    assert!(!scene.damaged());
}

#[tokio::test]
async fn planted_links_are_not_followed() {
    let scene = Scene::new(100 * MIB).await;
    let canary = scene.folder.path().join("canary");
    let bytes = noise(1, 100_000);
    std::fs::write(&canary, &bytes).unwrap();
    let digest = digest(&bytes);
    symlink(&canary, scene.blob_path(&digest)).unwrap();
    assert!(!scene.has(&digest).await);
    symlink(&canary, scene.blob_path(&digest)).unwrap();
    symlink(&canary, scene.partial_path(&digest)).unwrap();
    scene.put(&bytes).await;
    let found = std::fs::symlink_metadata(scene.blob_path(&digest)).unwrap();
    assert!(found.is_file());
    tamper(&scene.blob_path(&digest), |bytes| bytes[0] ^= 1);
    assert_eq!(std::fs::read(&canary).unwrap(), bytes);
}

#[tokio::test]
async fn no_other_user_can_read_the_store() {
    let scene = Scene::new(100 * MIB).await;
    scene.put(&noise(1, 1000)).await;
    let filling = scene.store.begin(&digest(b"x"), None).await.unwrap();
    let mut folders = vec![scene.settings.path.clone()];
    while let Some(folder) = folders.pop() {
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700, "{folder:?}");
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                assert_eq!(mode(&path), 0o600, "{path:?}");
            }
        }
    }
    drop(filling);
}

#[tokio::test]
async fn whatever_operation_fails_nothing_wrong_is_seen_and_a_retry_works() {
    let bytes = noise(1, 600_000);
    let digest = digest(&bytes);
    for number in 1.. {
        let scene = Scene::new(100 * MIB).await;
        scene.caught_up().await;
        scene.disk.fail(number, io::ErrorKind::Other);
        let tried = scene.try_put(&bytes).await;
        let used_up = scene.disk.done.load(Ordering::SeqCst) < number;
        scene.disk.fail(0, io::ErrorKind::Other);
        if let Some(kept) = scene.store.blob(&digest).await.unwrap() {
            assert_eq!(read(kept).await.unwrap(), bytes, "{number}");
        } else {
            assert!(tried.is_err(), "{number}");
        }
        scene.try_put(&bytes).await.unwrap();
        let scene = scene.crash(|_| {}).await;
        let kept = scene.store.blob(&digest).await.unwrap().unwrap();
        assert_eq!(read(kept).await.unwrap(), bytes, "{number}");
        assert_eq!(scene.ledger().bytes, 600_000);
        if used_up {
            assert!(number > 10);
            tried.unwrap();
            return;
        }
    }
}

#[tokio::test]
async fn a_disk_without_room_is_cleared_or_called_full() {
    let scene = Scene::new(100 * MIB).await;
    let old = scene.put(&noise(1, MIB)).await;
    *scene.disk.free.lock() = Some(MIB - 1);
    let full = scene.store.begin(&digest(b"x"), Some(MIB)).await;
    assert!(matches!(full, Err(StoreError::Full { .. })));
    assert!(!scene.has(&old).await);
    *scene.disk.free.lock() = Some(MIB);
    scene.put(&noise(2, MIB)).await;
}

#[tokio::test]
async fn nothing_is_evicted_in_vain() {
    let scene = Scene::new(4 * MIB).await;
    let old = scene.put(&noise(1, MIB)).await;
    *scene.disk.free.lock() = Some(MIB);
    for size in [3 * MIB, 9 * MIB] {
        let full = scene.store.begin(&digest(b"x"), Some(size)).await;
        assert!(matches!(full, Err(StoreError::Full { .. })));
    }
    assert!(scene.has(&old).await);
}

#[tokio::test]
async fn a_write_that_finds_the_disk_full_evicts_and_goes_on() {
    let scene = Scene::new(100 * MIB).await;
    scene.caught_up().await;
    let old = scene.put(&noise(1, MIB)).await;
    let bytes = noise(2, MIB);
    let size = Some(MIB);
    let mut partial = scene.store.begin(&digest(&bytes), size).await.unwrap();
    // Only the first write fails.
    scene.disk.fail(1, io::ErrorKind::StorageFull);
    partial.write(Bytes::from(bytes.clone())).await.unwrap();
    partial.commit().await.unwrap();
    scene.disk.fail(0, io::ErrorKind::Other);
    assert!(!scene.has(&old).await);
    let kept = scene.store.blob(&digest(&bytes)).await.unwrap().unwrap();
    assert_eq!(read(kept).await.unwrap(), bytes);
}

#[tokio::test]
async fn whatever_operation_fails_while_reading_no_wrong_byte_leaves() {
    let sizes = [1000, 100_000, 5 * MIB];
    for number in 1..12 {
        let scene = Scene::new(100 * MIB).await;
        scene.caught_up().await;
        for length in sizes {
            let bytes = noise(1, length);
            let digest = scene.put(&bytes).await;
            scene.store.state.small.invalidate_all();
            scene.store.state.stamp_key.write().take();
            scene.disk.fail(number, io::ErrorKind::Other);
            if let Ok(Some(kept)) = scene.store.blob(&digest).await {
                let got = read(kept).await;
                assert!(got.is_none_or(|got| got == bytes), "{number} {length}");
            }
            scene
                .until(|scene| scene.store.state.rehashing.lock().is_empty())
                .await;
            scene.disk.fail(0, io::ErrorKind::Other);
            scene.try_put(&bytes).await.unwrap();
            let kept = scene.store.blob(&digest).await.unwrap().unwrap();
            assert_eq!(read(kept).await.unwrap(), bytes, "{number} {length}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_in_a_tiny_store_see_right_bytes_or_none() {
    const BLOBS: u8 = 8;
    let scene = Scene::new(2 * MIB).await;
    let length = |seed: u8| 50_000 + u64::from(seed) * 70_000;
    let work = (0..16_u8).map(|worker| {
        let store = scene.store.clone();
        scene.tasks.spawn("worker", async move {
            for turn in 0..20_u8 {
                let seed = worker.wrapping_mul(7).wrapping_add(turn) % BLOBS;
                read_or_write(&store, &noise(seed, length(seed)), turn).await;
            }
        })
    });
    for ended in futures_util::future::join_all(work).await {
        ended.unwrap().unwrap();
    }
    scene
        .until(|scene| scene.store.state.writing.lock().is_empty())
        .await;
    let ledger = scene.ledger();
    assert_eq!((ledger.reserved, ledger.unwritten), (0, 0));
    assert!(ledger.bytes <= 2 * MIB, "{ledger:?}");
    let totals = scene.store.state.index.totals();
    assert_eq!((totals.blobs, totals.bytes), (ledger.blobs, ledger.bytes));
    let mut on_disk = 0;
    for seed in 0..BLOBS {
        let path = scene.blob_path(&digest(&noise(seed, length(seed))));
        on_disk += std::fs::metadata(path).map_or(0, |found| found.len());
    }
    assert_eq!(on_disk, ledger.bytes);
}

async fn read_or_write(store: &Store, bytes: &[u8], turn: u8) {
    let name = digest(bytes);
    if let Some(kept) = store.blob(&name).await.unwrap() {
        // Evicted meanwhile or not: an open file remains readable.
        assert_eq!(read(kept).await.unwrap(), bytes);
        return;
    }
    let size = u64::try_from(bytes.len()).unwrap();
    match store.begin(&name, Some(size)).await {
        Ok(mut partial) if !turn.is_multiple_of(5) => {
            let rest = usize::try_from(partial.written()).unwrap();
            let rest = Bytes::copy_from_slice(&bytes[rest..]);
            partial.write(rest).await.unwrap();
            assert_eq!(read(partial.commit().await.unwrap()).await.unwrap(), bytes);
        }
        // Dropped at once, or another task writes it.
        Ok(_) | Err(StoreError::Busy { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}
