//! A bad line: slow, and every connection breaks after so many bytes.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use super::web::{Web, accept};

const PIECE_BYTES: usize = 32 * 1024;

/// A line to one address.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    cuts: Arc<AtomicUsize>,
    _web: Web,
}

/// How bad the line is.
#[derive(Clone, Copy)]
pub(crate) struct Quality {
    pub(crate) bytes_per_second: usize,
    pub(crate) cut_after_bytes: usize,
}

impl Relay {
    pub(crate) fn start(to: SocketAddr, quality: Quality) -> Self {
        let cuts = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&cuts);
        let web = accept(move |near| {
            let Ok(far) = TcpStream::connect(to) else {
                return;
            };
            let (up, down) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            thread::spawn(move || pass(up, far, None));
            let count = Arc::clone(&count);
            thread::spawn(move || {
                if pass(down, near, Some(quality)) {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        });
        Self {
            address: web.address,
            cuts,
            _web: web,
        }
    }

    /// How many connections have been cut.
    pub(crate) fn cuts(&self) -> usize {
        self.cuts.load(Ordering::Relaxed)
    }
}

/// Passes bytes on until one side ends, or the line breaks: then it returns true.
fn pass(mut from: TcpStream, mut to: TcpStream, quality: Option<Quality>) -> bool {
    let mut left = quality.map_or(usize::MAX, |quality| quality.cut_after_bytes);
    let mut piece = vec![0; PIECE_BYTES];
    while left > 0 {
        let want = left.min(PIECE_BYTES);
        let count = from.read(&mut piece[..want]).unwrap_or(0);
        if count == 0 || to.write_all(&piece[..count]).is_err() {
            break;
        }
        left -= count;
        if let Some(quality) = quality {
            let share = f64::from(u32::try_from(count).unwrap())
                / f64::from(u32::try_from(quality.bytes_per_second).unwrap());
            thread::sleep(Duration::from_secs_f64(share));
        }
    }
    // One side may have closed both already.
    for stream in [&from, &to] {
        drop(stream.shutdown(Shutdown::Both));
    }
    left == 0
}
