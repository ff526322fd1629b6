//! Figures, what each is measured against, and how they are shown. Nothing here measures.

use super::machine::Machine;
use comfy_table::{CellAlignment, Table, presets::UTF8_FULL_CONDENSED};
use serde::Serialize;

/// One measured number beside its peer or its limit, both of the same run.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// Which benchmark measured it.
    pub benchmark: &'static str,
    /// What was measured.
    pub name: String,
    /// The number.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// What it stands beside.
    pub against: Option<Against>,
    /// What else belongs to the number, such as the recall of an inexact search.
    pub note: String,
}

/// What a figure stands beside.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Against {
    /// The same work done by something simpler, measured in the same run.
    Peer {
        /// What did it.
        name: String,
        /// Its number.
        value: f64,
        /// Ours divided by it.
        ratio: f64,
        /// The least that the ratio should be, where more is better.
        aim: Option<f64>,
    },
    /// What the number should not exceed.
    Limit {
        /// The limit.
        value: f64,
        /// Ours divided by it.
        ratio: f64,
    },
}

impl Figure {
    /// A number by itself.
    pub fn new(benchmark: &'static str, name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { benchmark, name: name.into(), value, unit, against: None, note: String::new() }
    }

    /// Beside what something simpler reaches; where more is better, `aim` is the least that the ratio should be.
    pub fn beside(mut self, peer: impl Into<String>, value: f64, aim: Option<f64>) -> Self {
        self.against = Some(Against::Peer { name: peer.into(), value, ratio: self.value / value, aim });
        self
    }

    /// Beside what it should not exceed.
    pub fn at_most(mut self, limit: f64) -> Self {
        self.against = Some(Against::Limit { value: limit, ratio: self.value / limit });
        self
    }

    /// With a remark.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// Whether it is what it should be; nothing when nothing is asked of it.
    fn met(&self) -> Option<bool> {
        match self.against {
            Some(Against::Peer { ratio, aim, .. }) => aim.map(|aim| ratio >= aim),
            Some(Against::Limit { ratio, .. }) => Some(ratio <= 1.0),
            None => None,
        }
    }

    fn row(&self) -> [String; 8] {
        let (against, ratio, aim) = match &self.against {
            Some(Against::Peer { name, value, ratio, aim }) => (
                format!("{name}: {}", number(*value)),
                format!("{ratio:.2}"),
                aim.map_or_else(String::new, |aim| format!(">= {aim:.2}")),
            ),
            Some(Against::Limit { value, ratio }) => {
                (format!("limit: {}", number(*value)), format!("{ratio:.2}"), "<= 1.00".to_owned())
            }
            None => Default::default(),
        };
        let met = self.met().map_or("", |met| if met { "yes" } else { "NO" }).to_owned();
        let measured = format!("{} {}", number(self.value), self.unit);
        [self.benchmark.to_owned(), self.name.clone(), measured, against, ratio, aim, met, self.note.clone()]
    }
}

/// Everything that one run measured, on one machine.
#[derive(Serialize)]
pub struct Report {
    /// The machine.
    pub machine: Machine,
    /// The figures, in the order in which they were measured.
    pub figures: Vec<Figure>,
    /// What was not measured, and why.
    pub skipped: Vec<String>,
}

impl Report {
    /// A report without figures.
    pub fn new(machine: Machine) -> Self {
        Self { machine, figures: Vec::new(), skipped: Vec::new() }
    }

    /// Adds a figure and shows it.
    pub fn add(&mut self, figure: Figure) {
        let [_, name, measured, against, ratio, ..] = figure.row();
        let beside =
            if against.is_empty() { String::new() } else { format!("   ({against}; ratio {ratio})") };
        println!("  {name}: {measured}{beside}");
        self.figures.push(figure);
    }

    /// Notes and says that something was not measured.
    pub fn skip(&mut self, what: String) {
        println!("  skipped: {what}");
        self.skipped.push(what);
    }

    /// All figures, aligned.
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(UTF8_FULL_CONDENSED).set_header([
            "benchmark",
            "figure",
            "measured",
            "beside",
            "ratio",
            "aim",
            "met",
            "note",
        ]);
        table.add_rows(self.figures.iter().map(Figure::row));
        for column in [2, 4, 5] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }
}

/// Three figures that count, and no more.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_asks_for_at_least_its_aim_and_a_limit_for_at_most_itself() {
        let rate = |value| Figure::new("scans", "marks", value, "/s").beside("pgbench", 1000.0, Some(0.5));
        assert_eq!((rate(500.0).met(), rate(499.0).met()), (Some(true), Some(false)));
        let delay = |value| Figure::new("scans", "p99", value, "ms").at_most(50.0);
        assert_eq!((delay(50.0).met(), delay(51.0).met()), (Some(true), Some(false)));
        assert_eq!(Figure::new("frames", "throughput", 10.0, "/s").met(), None);
    }

    #[test]
    fn numbers_show_what_counts() {
        assert_eq!(
            ["4321", "43.2", "4.32", "0.432"].map(String::from),
            [4321.4, 43.21, 4.321, 0.4321].map(number)
        );
    }
}
