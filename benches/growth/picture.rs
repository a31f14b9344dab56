//! The picture: memory above, time below, both axes by powers of ten.

use super::{
    growth::{Growth, Unit},
    table::time,
};

const PANEL: (f64, f64) = (196.0, 150.0);
/// Left of the first panel, for the vertical axis' numbers.
const MARGIN: f64 = 74.0;
/// Between panels.
const GAP: f64 = 30.0;
/// Above each panel, for its title and two lines of its legend.
const HEAD: f64 = 74.0;
/// From one word of a legend to the next, two in a line.
const WORD: (f64, f64) = (86.0, 15.0);
/// Below each panel, for the horizontal axis' numbers.
const FOOT: f64 = 26.0;
const STYLE: &str = "\
text { font: 13px system-ui, sans-serif; fill: #24292f; }
.title { font-weight: 600; }
.paper { fill: #ffffff; }
.grid { stroke: #d8dee4; }
.line { fill: none; stroke-width: 2; }
.a { stroke: #0b62c4; } text.a { stroke: none; fill: #0b62c4; }
.b { stroke: #b3430a; stroke-dasharray: 6 3; } text.b { stroke: none; fill: #b3430a; }
.c { stroke: #1a7f37; stroke-dasharray: 2 3; } text.c { stroke: none; fill: #1a7f37; }
.d { stroke: #8250df; stroke-dasharray: 9 3 2 3; } text.d { stroke: none; fill: #8250df; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; }
.paper { fill: #0d1117; }
.grid { stroke: #30363d; }
.a { stroke: #58a6ff; } text.a { fill: #58a6ff; }
.b { stroke: #f0883e; } text.b { fill: #f0883e; }
.c { stroke: #3fb950; } text.c { fill: #3fb950; }
.d { stroke: #bc8cff; } text.d { fill: #bc8cff; }
}";

/// Decades from one power of ten to another.
#[derive(Clone, Copy)]
struct Axis {
    first: f64,
    last: f64,
}

/// One panel's place and axes.
struct Panel {
    left: f64,
    top: f64,
    across: Axis,
    up: Axis,
}

pub(crate) fn svg(grown: &[Growth]) -> String {
    let scenes = u32::try_from(grown.len()).unwrap_or_default();
    let width = MARGIN + f64::from(scenes) * (PANEL.0 + GAP);
    let height = 2.0 * (HEAD + PANEL.1 + FOOT) + GAP / 2.0;
    let mut drawn = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" role=\"img\">\n\
         <title>Memory and time as connections, blobs, routes and readers grow</title>\n\
         <style>{STYLE}</style>\n<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n"
    );
    for (unit, top) in [
        (Unit::Mebibytes, HEAD),
        (Unit::Seconds, 2.0 * HEAD + PANEL.1 + FOOT),
    ] {
        let up = Axis::over(grown.iter().flat_map(|growth| values(growth, unit)));
        let mut left = MARGIN;
        for growth in grown {
            let across = Axis::over(growth.rows.iter().map(|row| f64::from(row.count)));
            let panel = Panel {
                left,
                top,
                across,
                up,
            };
            drawn += &panel.draw(growth, unit);
            left += PANEL.0 + GAP;
        }
    }
    drawn + "</svg>\n"
}

/// All that is drawn of a scene in this unit.
fn values(growth: &Growth, unit: Unit) -> impl Iterator<Item = f64> {
    let of_row = move |row: &super::growth::Row| {
        let pairs = growth.columns.iter().zip(&row.values);
        let fitting = pairs.filter(|(column, _)| column.unit == unit);
        fitting.filter_map(|(_, value)| *value).collect::<Vec<_>>()
    };
    growth.rows.iter().flat_map(of_row)
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>) -> Self {
        let (mut first, mut last) = (f64::MAX, f64::MIN);
        for decade in values.filter(|value| *value > 0.0).map(f64::log10) {
            first = first.min(decade.floor());
            last = last.max(decade.ceil());
        }
        let last = last.max(first + 1.0);
        Self { first, last }
    }

    /// Where a value lies, from 0 to 1.
    fn place(self, value: f64) -> f64 {
        (value.log10() - self.first) / (self.last - self.first)
    }

    /// Every power of ten on it.
    fn powers(self) -> impl Iterator<Item = f64> {
        let decades = std::iter::successors(Some(self.first), |decade| Some(decade + 1.0));
        decades
            .take_while(move |decade| *decade < self.last + 0.5)
            .map(|decade| 10_f64.powf(decade))
    }
}

impl Panel {
    fn draw(&self, growth: &Growth, unit: Unit) -> String {
        let (left, top) = (self.left, self.top);
        let title = match unit {
            Unit::Mebibytes => "memory",
            _ => "time",
        };
        let mut drawn = vec![
            text((left, top - 54.0), "title", "start", growth.what),
            text((left, top - 38.0), "", "start", title),
            self.grid(unit),
        ];
        let columns = growth.columns.iter().enumerate();
        let fitting = columns.filter(|(_, column)| column.unit == unit);
        let words = [
            ("a", (0.0, 0.0)),
            ("b", (WORD.0, 0.0)),
            ("c", (0.0, WORD.1)),
            ("d", (WORD.0, WORD.1)),
        ];
        for ((place, column), (class, (across, down))) in fitting.zip(words) {
            let word = (left + across, top - 22.0 + down);
            drawn.push(text(word, class, "start", column.name));
            let points = growth.rows.iter().filter_map(|row| {
                let value = row.values.get(place).copied().flatten()?;
                let (x, y) = self.point(f64::from(row.count), value.max(f64::MIN_POSITIVE));
                Some(format!("{x:.1},{y:.1}"))
            });
            let points: Vec<_> = points.collect();
            drawn.push(format!(
                "<polyline class=\"line {class}\" points=\"{}\"/>\n",
                points.join(" ")
            ));
        }
        drawn.concat()
    }

    fn grid(&self, unit: Unit) -> String {
        let (left, top) = (self.left, self.top);
        let (right, bottom) = (left + PANEL.0, top + PANEL.1);
        let mut drawn = Vec::new();
        for power in self.across.powers() {
            let (x, _) = self.point(power, 1.0);
            drawn.push(format!(
                "<path class=\"grid\" d=\"M{x:.1} {top}V{bottom}\"/>\n"
            ));
            let label = match power {
                at_least if at_least > 9e5 => format!("{:.0}M", power / 1e6),
                at_least if at_least > 900.0 => format!("{:.0}k", power / 1e3),
                _ => format!("{power:.0}"),
            };
            drawn.push(text((x, bottom + 17.0), "", "middle", &label));
        }
        for power in self.up.powers() {
            let (_, y) = self.point(1.0, power);
            drawn.push(format!(
                "<path class=\"grid\" d=\"M{left} {y:.1}H{right}\"/>\n"
            ));
            let label = match unit {
                Unit::Seconds => time(power * 1.000_1).replace(".0", ""),
                _ => format!("{power:.0} MiB"),
            };
            if left <= MARGIN {
                drawn.push(text((left - 7.0, y + 4.0), "", "end", &label));
            }
        }
        drawn.concat()
    }

    fn point(&self, x: f64, y: f64) -> (f64, f64) {
        (
            self.left + self.across.place(x) * PANEL.0,
            self.top + (1.0 - self.up.place(y)) * PANEL.1,
        )
    }
}

fn text((x, y): (f64, f64), class: &str, anchor: &str, words: &str) -> String {
    format!(
        "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\" text-anchor=\"{anchor}\">{words}</text>\n"
    )
}
