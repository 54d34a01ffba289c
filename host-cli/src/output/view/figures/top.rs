//! All gateways of a node beside each other.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Rates, words};
use crate::output::chart::{self, Column, Style, paint};
use crate::output::human::bytes;
use crate::output::{View, screen};

/// Most problems that are written out.
const PROBLEMS: usize = 8;

/// `top`
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct TopList {
    /// Gateways of this node that run, the busiest first.
    pub gateways: Vec<TopRow>,
}

/// A gateway.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct TopRow {
    /// Gateway.
    pub gateway: String,
    /// Mode.
    pub mode: String,
    /// `running`; `silent` when its agent does not answer; `asked` before the first answer.
    pub state: String,
    /// Why it is silent.
    pub error: Option<String>,
    /// SMB sessions.
    pub sessions: Option<u64>,
    /// Open files.
    pub open_files: Option<u64>,
    /// What its clients do.
    pub rates: Option<Rates>,
    /// Memory of all its processes, as proportional set size, in bytes.
    pub memory_pss_bytes: Option<u64>,
    /// Processor time of its processes, in per cent of one processor.
    pub cpu_percent: Option<f64>,
    /// Logons that failed since its agent started.
    pub failed_logons: Option<u64>,
    /// What is wrong; empty when nothing is.
    pub problems: Vec<String>,
}

impl View for TopList {
    fn human(&self) -> String {
        render(self, screen::width())
    }
}

/// The table for a width.
pub fn render(list: &TopList, width: usize) -> String {
    const HEADS: [Column; 12] = [
        Column::names("GATEWAY", 0, 8),
        Column::words("MODE", 10),
        Column::words("STATE", 3),
        Column::numbers("SESS", 5),
        Column::numbers("FILES", 8),
        Column::numbers("READ/s", 1),
        Column::numbers("WRITE/s", 2),
        Column::numbers("LATENCY", 6),
        Column::numbers("MEMORY", 9),
        Column::numbers("CPU", 7),
        Column::numbers("FAILED", 11),
        Column::numbers("PROBLEMS", 4),
    ];
    if list.gateways.is_empty() {
        return chart::fit("no gateway runs here", width);
    }
    let row = |row: &TopRow| {
        let number =
            |number: Option<u64>| number.map_or_else(|| words::NOTHING.to_owned(), |n| n.to_string());
        let [read, write, latency] = words::rates(row.rates.as_ref());
        let problems = match row.problems.len() {
            0 => words::NOTHING.to_owned(),
            count => count.to_string(),
        };
        vec![
            row.gateway.clone(),
            row.mode.clone(),
            row.state.clone(),
            number(row.sessions),
            number(row.open_files),
            read,
            write,
            latency,
            row.memory_pss_bytes.map_or_else(|| words::NOTHING.to_owned(), bytes),
            words::percent(row.cpu_percent),
            number(row.failed_logons),
            problems,
        ]
    };
    let rows: Vec<_> = list.gateways.iter().map(row).collect();
    let mut lines = chart::columns(&HEADS, &rows, width);
    let silent = list.gateways.iter().filter_map(|row| Some((row, row.error.as_ref()?)));
    let silent = silent.map(|(row, why)| format!("{} is silent: {why}", row.gateway));
    let wrong = list.gateways.iter().flat_map(|row| row.problems.iter().map(move |text| (row, text)));
    let wrong: Vec<_> =
        silent.chain(wrong.map(|(row, text)| format!("PROBLEM {}: {text}", row.gateway))).collect();
    if !wrong.is_empty() {
        lines.push(String::new());
    }
    for text in wrong.iter().take(PROBLEMS) {
        lines.extend(chart::wrap(text, width).into_iter().take(3).map(|line| paint(Style::Red, &line)));
    }
    if wrong.len() > PROBLEMS {
        lines.push(chart::fit(&format!("and {} more", wrong.len() - PROBLEMS), width));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::Rate;
    use super::*;
    use proptest::prelude::*;

    fn list() -> TopList {
        let rates = Rates {
            read: Rate { bytes_per_s: 118.4e6, operations_per_s: 950.0, latency_us: Some(310.0) },
            write: Rate { bytes_per_s: 2.1e6, operations_per_s: 40.0, latency_us: Some(2100.0) },
        };
        let team = TopRow {
            gateway: "team".into(),
            mode: "lxc".into(),
            state: "running".into(),
            sessions: Some(12),
            open_files: Some(140),
            rates: Some(rates),
            memory_pss_bytes: Some(97 << 20),
            cpu_percent: Some(37.5),
            failed_logons: Some(3),
            problems: vec!["share media is over 95 % of its quota".into()],
            ..TopRow::default()
        };
        let archive = TopRow {
            gateway: "archive-of-the-film-department".into(),
            mode: "vm".into(),
            state: "silent".into(),
            error: Some("the agent did not answer GET /v1/metrics within 5 s".into()),
            ..TopRow::default()
        };
        TopList { gateways: vec![team, archive] }
    }

    fn plain(list: &TopList, width: usize) -> String {
        anstream::adapter::strip_str(&render(list, width)).to_string()
    }

    #[test]
    fn at_80_and_200_columns() {
        insta::assert_snapshot!("top_at_80", plain(&list(), 80));
        insta::assert_snapshot!("top_at_200", plain(&list(), 200));
        assert_eq!(plain(&TopList::default(), 80), "no gateway runs here");
    }

    proptest! {
        #[test]
        fn no_line_is_too_wide(width in 1_usize..250) {
            for line in render(&list(), width).lines() {
                prop_assert!(chart::width(line) <= width, "{line}");
            }
        }
    }
}
