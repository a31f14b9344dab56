//! Idle connections after one response each: the memory of one, and the effect on other clients.

use crate::{
    Fallible,
    client::Client,
    growth::{Growth, Row, Unit, column, steps},
    load,
    roadstead::Roadstead,
    store::Store,
};

/// Fewer connections hold less than the allocator's own noise.
const TELLING: u32 = 1_000;

pub(crate) async fn play(most: u32) -> Fallible<Growth> {
    let store = Store::new()?;
    let target = store.keep(&[b'x'; 1200])?;
    let server = Roadstead::start(store.folder(), 1).await?;
    load::measure(&server, std::slice::from_ref(&target)).await?;
    let empty = server.memory()?;
    let mut idle = Vec::new();
    let mut rows = Vec::new();
    for count in steps(1, 10_000, most) {
        while idle.len() < usize::try_from(count)? {
            let mut client = Client::connect(server.address).await?;
            client.hit(&target).await?;
            idle.push(client);
        }
        let memory = server.memory()?;
        let each = (memory - empty).max(0.0) * 1024.0 * 1024.0 / f64::from(count);
        let each = (count >= TELLING).then_some(each);
        let hits = load::measure(&server, std::slice::from_ref(&target)).await?;
        let mut values = hits.map(Some).to_vec();
        values.extend([Some(memory), each]);
        rows.push(Row { count, values });
    }
    let mut columns = load::columns().to_vec();
    columns.extend([
        column("resident", Unit::Mebibytes),
        column("each", Unit::Bytes),
    ]);
    Ok(Growth {
        what: "idle connections",
        columns,
        rows,
    })
}
