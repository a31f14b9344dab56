//! Plain pulls: cold, warm, and without upstream.

use fake_registry::{FakeRegistry, MIB, Match, random_bytes};

use crate::mirror::Mirror;

const SEED: u64 = 7;

#[tokio::test]
async fn an_image_is_pulled_once_and_then_served_without_upstream() {
    let hub = FakeRegistry::start().await;
    let layers = [random_bytes(5 * MIB, SEED), random_bytes(70_000, SEED + 1)];
    let image = hub.image("library/nginx", "1.25", &layers);
    let mirror = Mirror::of(&hub).start().await;
    for _cold_and_warm in 0..2 {
        let manifest = mirror.manifest("library/nginx", "1.25").reply().await;
        assert_eq!(manifest.whole(), image.manifest.bytes);
        for blob in image.layers.iter().chain([&image.config]) {
            assert_eq!(
                mirror.blob("library/nginx", blob).reply().await.whole(),
                blob.bytes
            );
            assert_eq!(hub.served(blob).requests(), 1);
        }
    }
    mirror.keeps(3).await;
    hub.down();
    let mirror = mirror.restart().await;
    let manifest = mirror.manifest("library/nginx", "1.25").reply().await;
    assert_eq!(manifest.whole(), image.manifest.bytes);
    assert!(manifest.header("warning").is_some(), "stale is said");
    let blob = &image.layers[0];
    assert_eq!(
        mirror.blob("library/nginx", blob).reply().await.whole(),
        blob.bytes
    );
    assert_eq!(hub.count(Match::blobs()), 3);
    mirror.stop().await;
}
