//! What survives a clean end, a crash and a lost index.

use super::*;

/// Large enough that a blob is trusted at once only with its stamp.
const LARGE: u64 = 5 * MIB;

async fn is_trusted(scene: &Scene, digest: &Digest) -> bool {
    let kept = scene.store.blob(digest).await.unwrap().unwrap();
    matches!(kept, KeptBlob::Trusted { .. })
}

fn boot(scene: &Scene, name: &str) {
    let path = scene.folder.path().join(name);
    std::fs::write(&path, name).unwrap();
    *scene.disk.boot.lock() = Some(path);
}

#[tokio::test]
async fn marks_survive_a_clean_end_and_a_crash_within_one_boot() {
    let scene = Scene::new(100 * MIB).await;
    boot(&scene, "boot-1");
    let scene = scene.restart(|_| {}).await;
    let digest = scene.put(&noise(1, LARGE)).await;
    assert!(is_trusted(&scene, &digest).await);
    let scene = scene.crash(|_| {}).await;
    assert!(is_trusted(&scene, &digest).await);
    boot(&scene, "boot-2");
    scene.caught_up().await;
    let scene = scene.restart(|_| {}).await;
    assert!(is_trusted(&scene, &digest).await);
    boot(&scene, "boot-3");
    let scene = scene.crash(|_| {}).await;
    assert!(!is_trusted(&scene, &digest).await);
    // The lookup started a rehash, which stamps the blob.
    let kept = scene.store.blob(&digest).await.unwrap().unwrap();
    assert_eq!(read(kept).await.unwrap(), noise(1, LARGE));
    scene
        .until(|scene| scene.store.state.rehashing.lock().is_empty())
        .await;
    assert!(is_trusted(&scene, &digest).await);
}

#[tokio::test]
async fn the_order_of_use_survives() {
    let scene = Scene::new(3 * MIB).await;
    let first = scene.put(&noise(1, MIB)).await;
    let second = scene.put(&noise(2, MIB)).await;
    scene.put(&noise(3, MIB)).await;
    assert!(scene.has(&first).await);
    let scene = scene.restart(|_| {}).await;
    assert_eq!(scene.ledger().bytes, 3 * MIB);
    scene.put(&noise(4, MIB)).await;
    assert!(scene.has(&first).await);
    assert!(!scene.has(&second).await);
}

#[tokio::test]
async fn rows_that_a_crash_lost_are_found_again() {
    let scene = Scene::new(100 * MIB).await;
    let gone = scene.put(&noise(1, 1000)).await;
    let scene = scene.crash(|_| {}).await;
    scene.caught_up().await;
    let index = std::fs::read(scene.settings.path.join("index.redb")).unwrap();
    let kept = scene.put(&noise(2, MIB)).await;
    let path = scene.blob_path(&gone);
    let scene = scene
        .crash(|root| {
            std::fs::write(root.join("index.redb"), index).unwrap();
            std::fs::remove_file(path).unwrap();
        })
        .await;
    scene.caught_up().await;
    assert_eq!(scene.ledger().bytes, MIB);
    assert!(scene.has(&kept).await);
    assert!(!scene.has(&gone).await);
}

#[tokio::test]
async fn an_index_that_is_gone_or_garbage_is_made_anew() {
    let garbage: [fn(&Path); 4] = [
        |path| std::fs::remove_file(path).unwrap(),
        |path| std::fs::write(path, b"").unwrap(),
        |path| std::fs::write(path, noise(0, 100_000)).unwrap(),
        |path| {
            std::fs::remove_file(path).unwrap();
            std::os::unix::fs::symlink("/dev/null", path).unwrap();
        },
    ];
    for spoil in garbage {
        let scene = Scene::new(100 * MIB).await;
        let digest = scene.put(&noise(1, LARGE)).await;
        let scene = scene.restart(|root| spoil(&root.join("index.redb"))).await;
        let kept = scene.store.blob(&digest).await.unwrap().unwrap();
        assert_eq!(read(kept).await.unwrap(), noise(1, LARGE));
        scene.caught_up().await;
        assert_eq!(scene.ledger().bytes, LARGE);
        let scene = scene.restart(|_| {}).await;
        assert!(is_trusted(&scene, &digest).await);
    }
}

#[tokio::test]
async fn a_damaged_index_never_gives_wrong_bytes() {
    let scene = Scene::new(100 * MIB).await;
    let digest = scene.put(&noise(1, LARGE)).await;
    let mut scene = scene.restart(|_| {}).await;
    for seed in 0..8_u8 {
        scene = scene
            .restart(|root| {
                let path = root.join("index.redb");
                let mut bytes = std::fs::read(&path).unwrap();
                let start = usize::from(seed) * 4096;
                let junk = noise(seed, 4096);
                for (byte, junk) in bytes.iter_mut().skip(start).zip(junk) {
                    *byte = junk;
                }
                std::fs::write(&path, bytes).unwrap();
            })
            .await;
        let kept = scene.store.blob(&digest).await.unwrap().unwrap();
        assert_eq!(read(kept).await.unwrap(), noise(1, LARGE), "{seed}");
    }
}

#[tokio::test]
async fn one_folder_has_one_store() {
    let scene = Scene::new(MIB).await;
    let again = Store::open(
        scene.settings.clone(),
        Arc::new(RealDisk),
        scene.tasks.clone(),
        Arc::clone(&scene.metrics),
    );
    let error = again.await.unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }));
    let path = scene.settings.path.to_str().unwrap();
    assert!(error.to_string().contains(path), "{error}");
}

#[tokio::test]
async fn leftovers_are_swept_at_start() {
    let scene = Scene::new(100 * MIB).await;
    let small = digest(b"small");
    let old = digest(b"old");
    let (kept, gone) = (scene.partial_path(&small), scene.partial_path(&old));
    let paths = (kept.clone(), gone.clone());
    let scene = scene
        .crash(move |root| {
            std::fs::write(root.join("temporary/left"), b"x").unwrap();
            std::fs::write(&paths.0, noise(1, MIB)).unwrap();
            std::fs::write(&paths.1, noise(1, 2 * MIB)).unwrap();
            let file = std::fs::File::options().write(true).open(&paths.1).unwrap();
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
        })
        .await;
    let temporary = scene.settings.path.join("temporary");
    assert_eq!(std::fs::read_dir(temporary).unwrap().count(), 0);
    assert!(kept.exists());
    assert!(!gone.exists());
}
