//! Small hits: how long one takes alone, and what many cost.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::Instant};

use crate::{
    Fallible,
    client::Client,
    growth::{Column, Unit, column},
    roadstead::Roadstead,
};

/// Asked one after another before any is counted, and then those that are.
const WARM_UP: usize = 300;
const COUNTED: usize = 3_000;
/// As many as this machine's processors keep busy, client included.
const CONNECTIONS: usize = 16;
const CROWD: Duration = Duration::from_secs(2);

/// What [`measure`] gives, in this order.
pub(crate) fn columns() -> [Column; 4] {
    [
        column("hit, median", Unit::Seconds),
        column("hit, p99", Unit::Seconds),
        column("hits/s", Unit::PerSecond),
        column("CPU a hit", Unit::Cost),
    ]
}

/// Asks for the targets in turn: on one connection for the latency, on 16 for the rate.
pub(crate) async fn measure(server: &Roadstead, targets: &[String]) -> Fallible<[f64; 4]> {
    let mut client = Client::connect(server.address).await?;
    let mut took = Vec::with_capacity(COUNTED);
    for (number, target) in targets.iter().cycle().take(WARM_UP + COUNTED).enumerate() {
        let began = Instant::now();
        client.hit(target).await?;
        if number >= WARM_UP {
            took.push(began.elapsed().as_secs_f64());
        }
    }
    took.sort_by(f64::total_cmp);
    let at = |place: usize| took.get(place).copied().unwrap_or_default();
    let (count, wall, cpu) = crowd(server, targets).await?;
    Ok([
        at(COUNTED / 2),
        at(COUNTED / 100 * 99),
        f64::from(count) / wall,
        cpu / f64::from(count),
    ])
}

/// How many hits many connections get in a while, how long that was, and its processor time.
async fn crowd(server: &Roadstead, targets: &[String]) -> Fallible<(u32, f64, f64)> {
    let targets: Arc<[String]> = targets.into();
    let mut clients = JoinSet::new();
    let (began, cpu) = (Instant::now(), server.cpu()?);
    for number in 0..CONNECTIONS {
        let (targets, address) = (Arc::clone(&targets), server.address);
        clients.spawn(async move {
            let mut client = Client::connect(address).await?;
            let mut count = 0;
            let first = targets.len() * number / CONNECTIONS;
            for target in targets.iter().cycle().skip(first) {
                if began.elapsed() >= CROWD {
                    break;
                }
                client.hit(target).await?;
                count += 1;
            }
            Fallible::Ok(count)
        });
    }
    let mut count = 0;
    while let Some(client) = clients.join_next().await {
        count += client??;
    }
    let cpu = server.cpu()?.saturating_sub(cpu);
    Ok((count, began.elapsed().as_secs_f64(), cpu.as_secs_f64()))
}
