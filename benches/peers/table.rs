//! The results as Markdown.

use std::fmt::{Result, Write};

use crate::results::{Aim, Bound, Figure, Measured, Results, median};

/// Everything: what was used, whether the aims were reached, and all medians.
pub(crate) fn write(
    out: &mut String,
    header: &[String],
    results: &Results,
    aims: &[Aim],
) -> Result {
    writeln!(out, "# Roadstead beside its peers\n")?;
    for line in header.iter().chain(&results.notes) {
        writeln!(out, "- {line}")?;
    }
    write_aims(out, results, aims)?;
    for row in results.rows() {
        write_row(out, row, &results.of_row(row).collect::<Vec<_>>())?;
    }
    Ok(())
}

/// Whether each aim was reached.
pub(crate) fn write_aims(out: &mut String, results: &Results, aims: &[Aim]) -> Result {
    writeln!(out, "\n## Aims\n")?;
    writeln!(
        out,
        "| work | figure | Roadstead | peer | ratio | aim | reached |"
    )?;
    writeln!(out, "| --- | --- | ---: | ---: | ---: | ---: | --- |")?;
    for aim in aims {
        let Some(verdict) = results.judge(aim) else {
            continue;
        };
        let (heading, decimals) = aim.figure.heading();
        let (peer, ratio) = match (aim.peer, verdict.theirs) {
            (Some(peer), Some(theirs)) => (
                format!("{theirs:.decimals$} ({peer})"),
                format!("{:.2}", verdict.judged),
            ),
            _ => Default::default(),
        };
        let bound = match aim.bound {
            Bound::AtMost(most) => format!("≤ {most}"),
            Bound::AtLeast(least) => format!("≥ {least}"),
        };
        writeln!(
            out,
            "| {} | {heading} | {:.decimals$} | {peer} | {ratio} | {bound} | {} |",
            aim.row,
            verdict.ours,
            if verdict.is_reached { "yes" } else { "**no**" },
        )?;
    }
    Ok(())
}

/// The medians of one row, a server a line, with the lowest and the highest of the first figure.
fn write_row(out: &mut String, row: &str, servers: &[&Measured]) -> Result {
    let mut figures: Vec<Figure> = servers
        .iter()
        .flat_map(|one| one.figures.keys().copied())
        .collect();
    figures.sort_unstable();
    figures.dedup();
    writeln!(out, "\n## {row}\n")?;
    let headings: Vec<&str> = figures.iter().map(|figure| figure.heading().0).collect();
    writeln!(out, "| server | {} |", headings.join(" | "))?;
    writeln!(out, "| --- |{}", " ---: |".repeat(figures.len()))?;
    for server in servers {
        write!(out, "| {} |", server.server)?;
        for figure in &figures {
            let values = server.figures.get(figure).map_or(&[][..], Vec::as_slice);
            let decimals = figure.heading().1;
            match median(values) {
                Some(middle) => write!(out, " {middle:.decimals$}{} |", spread(values, decimals))?,
                None => write!(out, " |")?,
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

/// The lowest and the highest, where there are several.
fn spread(values: &[f64], decimals: usize) -> String {
    if values.len() < 2 {
        return String::new();
    }
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!(" ({low:.decimals$}…{high:.decimals$})")
}
