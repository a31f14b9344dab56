//! Routes: each hit checks its access by them.

use crate::{
    Fallible,
    growth::{Growth, Row, Unit, column, steps},
    load,
    roadstead::Roadstead,
    store::Store,
};

pub(crate) async fn play(most: u32) -> Fallible<Growth> {
    let store = Store::new()?;
    let target = store.keep(&[b'x'; 1200])?;
    let mut rows = Vec::new();
    for count in steps(1, 1_000, most) {
        let server = Roadstead::start(store.folder(), count).await?;
        let hits = load::measure(&server, std::slice::from_ref(&target)).await?;
        let mut values = hits.map(Some).to_vec();
        values.push(Some(server.memory()?));
        rows.push(Row { count, values });
    }
    let mut columns = load::columns().to_vec();
    columns.push(column("resident", Unit::Mebibytes));
    Ok(Growth {
        what: "routes",
        columns,
        rows,
    })
}
