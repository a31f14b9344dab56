//! Concurrent readers of one large blob: the cost of a gigabyte, and whether a reader starves.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Barrier, task::JoinSet, time::Instant};

use crate::{
    Fallible,
    client::Client,
    growth::{Growth, Row, Unit, column, steps},
    roadstead::Roadstead,
    store::Store,
};

const BLOB_BYTES: usize = 256 * 1024 * 1024;
const WINDOW: Duration = Duration::from_secs(4);

pub(crate) async fn play(most: u32) -> Fallible<Growth> {
    let store = Store::new()?;
    let target = store.keep(&vec![b'x'; BLOB_BYTES])?;
    let mut rows = Vec::new();
    for count in steps(1, 1_000, most) {
        let server = Roadstead::start(store.folder(), 1).await?;
        // The first reader after a start without a clean end has it hashed.
        read(&server, &target, 1, Duration::from_secs(1)).await?;
        let cpu = server.cpu()?;
        let mut read = read(&server, &target, count, WINDOW).await?;
        let cpu = server.cpu()?.saturating_sub(cpu);
        read.bytes.sort_by(f64::total_cmp);
        let total: f64 = read.bytes.iter().sum();
        let slowest = read.bytes.first().copied().unwrap_or_default();
        let fastest = read.bytes.last().copied().unwrap_or_default();
        rows.push(Row {
            count,
            values: vec![
                Some(read.memory),
                Some(total / 1e9 / WINDOW.as_secs_f64()),
                Some(cpu.as_secs_f64() / (total / 1e9)),
                Some(slowest / fastest),
            ],
        });
    }
    Ok(Growth {
        what: "readers of one large blob",
        columns: vec![
            column("resident", Unit::Mebibytes),
            column("GB/s", Unit::Ratio),
            column("CPU a GB", Unit::Seconds),
            column("slowest / fastest", Unit::Ratio),
        ],
        rows,
    })
}

struct Read {
    /// What each reader got.
    bytes: Vec<f64>,
    /// The server's, with all of them open.
    memory: f64,
}

/// Lets so many read for so long, all from the same moment on.
async fn read(server: &Roadstead, target: &str, count: u32, window: Duration) -> Fallible<Read> {
    let together = Arc::new(Barrier::new(usize::try_from(count)? + 1));
    let mut readers = JoinSet::new();
    for _ in 0..count {
        let (together, target) = (Arc::clone(&together), target.to_owned());
        let address = server.address;
        readers.spawn(async move {
            let mut client = Client::connect(address).await?;
            together.wait().await;
            client.stream_until(&target, Instant::now() + window).await
        });
    }
    together.wait().await;
    tokio::time::sleep(window * 9 / 10).await;
    let memory = server.memory()?;
    let mut bytes = Vec::new();
    while let Some(reader) = readers.join_next().await {
        // Exact up to 4 GiB in KiB.
        bytes.push(f64::from(u32::try_from(reader?? / 1024)?) * 1024.0);
    }
    Ok(Read { bytes, memory })
}
