//! Clients that go on pulling while a scene is played.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

/// Repeats `work` on so many threads until `scene` has ended, and returns how often it was done.
/// `work` gets a number that is different each time.
pub(crate) fn under_load(
    threads: usize,
    work: impl Fn(usize) + Sync,
    scene: impl FnOnce(),
) -> usize {
    let (over, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    work(count.fetch_add(1, Ordering::Relaxed));
                }
            });
        }
        let _curtain = Curtain(&over);
        scene();
    });
    count.into_inner()
}

/// Falls when the scene ends, also when it fails.
struct Curtain<'a>(&'a AtomicBool);

impl Drop for Curtain<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
