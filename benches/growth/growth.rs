//! What a scene found: a row a step, a column a measure.

/// A scene's result.
pub(crate) struct Growth {
    /// What grows, with what is measured beside it.
    pub(crate) what: &'static str,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Row>,
}

#[derive(Clone, Copy)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) unit: Unit,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Drawn in the picture's upper half.
    Mebibytes,
    /// Drawn in its lower half.
    Seconds,
    /// Seconds that are not drawn.
    Cost,
    Bytes,
    PerSecond,
    Ratio,
}

/// A step: how many there were, and a value for each column, where it means something.
pub(crate) struct Row {
    pub(crate) count: u32,
    pub(crate) values: Vec<Option<f64>>,
}

pub(crate) fn column(name: &'static str, unit: Unit) -> Column {
    Column { name, unit }
}

/// The steps of a scene: powers of ten.
pub(crate) fn steps(first: u32, last: u32, most: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(first), |step| step.checked_mul(10))
        .take_while(move |step| *step <= last.min(most))
}
