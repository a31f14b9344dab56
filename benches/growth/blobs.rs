//! Blobs in the store: what a start takes, and what each of them holds.

use rustix::process::Signal;

use crate::{
    Fallible,
    growth::{Growth, Row, Unit, column, steps},
    load,
    roadstead::Roadstead,
    store::Store,
};

/// Fewer blobs hold less than the allocator's own noise.
const TELLING: u32 = 100_000;
/// How many different blobs are asked for.
const ASKED_MAX: u32 = 5_000;

pub(crate) async fn play(most: u32) -> Fallible<Growth> {
    let store = Store::new()?;
    let mut rows = Vec::new();
    let (mut kept, mut empty) = (0, None);
    for count in steps(10, 1_000_000, most) {
        let mut targets = Vec::new();
        while kept < count {
            let target = store.keep(format!("blob {kept}").as_bytes())?;
            if kept % (count / ASKED_MAX).max(1) == 0 {
                targets.push(target);
            }
            kept += 1;
        }
        store.forget()?;
        let indexing = Roadstead::start(store.folder(), 1).await?;
        indexing.settle().await?;
        indexing.end(Signal::TERM)?;
        let clean = Roadstead::start(store.folder(), 1).await?;
        clean.settle().await?;
        let memory = clean.memory()?;
        let empty = *empty.get_or_insert(memory);
        let after_clean = clean.ready;
        let each = (memory - empty).max(0.0) * 1024.0 * 1024.0 / f64::from(count);
        let hits = load::measure(&clean, &targets).await?;
        let asked = clean.memory()?;
        clean.end(Signal::KILL)?;
        let killed = Roadstead::start(store.folder(), 1).await?;
        let mut values = hits.map(Some).to_vec();
        values.extend([
            Some(after_clean.as_secs_f64()),
            Some(killed.ready.as_secs_f64()),
            Some(memory),
            Some(asked),
            (count >= TELLING).then_some(each),
        ]);
        rows.push(Row { count, values });
    }
    let mut columns = load::columns().to_vec();
    columns.extend([
        column("ready", Unit::Seconds),
        column("ready after kill", Unit::Seconds),
        column("resident", Unit::Mebibytes),
        column("after hits", Unit::Mebibytes),
        column("each", Unit::Bytes),
    ]);
    Ok(Growth {
        what: "blobs kept, each hit another",
        columns,
        rows,
    })
}
