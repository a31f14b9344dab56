//! The table: Markdown, a part for each scene.

use super::growth::{Growth, Row, Unit};

pub(crate) fn markdown(grown: &[Growth]) -> String {
    grown.iter().map(part).collect::<Vec<_>>().join("\n")
}

fn part(growth: &Growth) -> String {
    let names: Vec<_> = growth.columns.iter().map(|column| column.name).collect();
    let mut lines = vec![
        format!("| {} | {} |\n", growth.what, names.join(" | ")),
        format!("| --: |{}\n", " --: |".repeat(names.len())),
    ];
    for Row { count, values } in &growth.rows {
        let columns = growth.columns.iter().zip(values);
        let cells: Vec<_> = columns
            .map(|(column, value)| value.map_or("–".to_owned(), |value| cell(value, column.unit)))
            .collect();
        lines.push(format!(
            "| {} | {} |\n",
            thousands(*count),
            cells.join(" | ")
        ));
    }
    lines.concat()
}

fn cell(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Mebibytes => format!("{value:.1} MiB"),
        Unit::Bytes if value >= 10_240.0 => format!("{:.1} KiB", value / 1024.0),
        Unit::Bytes => format!("{value:.0} B"),
        Unit::PerSecond => format!("{value:.0}"),
        Unit::Ratio => format!("{value:.2}"),
        Unit::Seconds | Unit::Cost => time(value),
    }
}

/// Three digits or so, in the unit that suits.
pub(crate) fn time(seconds: f64) -> String {
    let (value, unit) = match seconds {
        at_least if at_least >= 1.0 => (seconds, "s"),
        at_least if at_least >= 1e-3 => (seconds * 1e3, "ms"),
        _ => (seconds * 1e6, "µs"),
    };
    let digits = usize::from(value < 10.0);
    format!("{value:.digits$} {unit}")
}

fn thousands(count: u32) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
