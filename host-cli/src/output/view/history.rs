//! What a gateway did in a time that has gone by.

use crate::monitor::history::History;
use crate::monitor::store::{Counted, Point, SharePoint};
use crate::output::human::{bytes, duration};
use crate::output::{View, chart, table};

/// Columns of a line of bars.
const BARS: usize = 60;

impl View for History {
    fn human(&self) -> String {
        let looks: u64 = self.points.iter().map(|point| point.looks).sum();
        if looks == 0 {
            return format!(
                "nothing is known of {} in this time: pve-smbgateway-monitor.service looks at it while it runs",
                self.gateway
            );
        }
        let answered: u64 = self.points.iter().map(|point| point.answered).sum();
        let span = duration((self.to - self.from).max(0) as u64);
        let mut lines = vec![format!(
            "{}  {span}, from {} to {}; {:.1} % of {looks} looks answered",
            self.gateway,
            time(self.from),
            time(self.to),
            answered as f64 * 100.0 / looks as f64
        )];
        lines.push(String::new());
        let rate = |value: f64| format!("{}/s", bytes(value as u64));
        let count = |value: f64| format!("{value:.0}");
        let reads = self.bars(|point| Some(point.traffic?.rates()?.0));
        let writes = self.bars(|point| Some(point.traffic?.rates()?.1));
        let sessions = self.bars(|point| Some(point.sessions as f64));
        let memory = self.bars(|point| Some(point.pss_bytes as f64));
        lines.push(bar_line("reads", &reads, rate));
        lines.push(bar_line("writes", &writes, rate));
        lines.push(bar_line("sessions", &sessions, count));
        lines.push(bar_line("memory", &memory, |value| bytes(value as u64)));
        if let Some(failed) = self.points.iter().filter_map(|point| point.failed_logons).reduce(|a, b| a + b)
            && failed > 0
        {
            lines.push(format!("{failed} logons failed"));
        }
        if !self.shares.is_empty() {
            lines.push(String::new());
            let rows = self.shares.iter().map(|(share, points)| share_row(share, points));
            lines.push(table::render(
                &["SHARE", "READ", "WRITTEN", "COUNTED", "MOST CLIENTS", "FREE", "GREW"],
                rows,
            ));
        }
        lines.join("\n")
    }

    fn table(&self) -> String {
        let rows = self.points.iter().map(|point| {
            let rates = point.traffic.and_then(|traffic| traffic.rates());
            let rate =
                |value: Option<f64>| value.map_or_else(|| "n/a".to_owned(), |value| format!("{value:.0}"));
            vec![
                time(point.at),
                format!("{}/{}", point.answered, point.looks),
                point.sessions.to_string(),
                point.open_files.to_string(),
                rate(rates.map(|rates| rates.0)),
                rate(rates.map(|rates| rates.1)),
                point.pss_bytes.to_string(),
                point.failed_logons.map_or_else(|| "n/a".to_owned(), |count| count.to_string()),
            ]
        });
        let head =
            ["TIME", "ANSWERED", "SESSIONS", "FILES", "READ B/S", "WRITTEN B/S", "MEMORY B", "FAILED LOGONS"];
        table::render(&head, rows)
    }
}

impl History {
    /// Points in at most [`BARS`] places over the whole time, the largest of each; gaps where nothing is known.
    fn bars(&self, value: impl Fn(&Point) -> Option<f64>) -> Vec<Option<f64>> {
        let steps = ((self.to - self.from) / self.step_s.max(1)).max(1) as usize;
        let each = steps.div_ceil(BARS);
        let mut bars = vec![None; steps.div_ceil(each)];
        for point in &self.points {
            let place = ((point.at - self.from) / self.step_s.max(1)).max(0) as usize / each;
            if let (Some(bar), Some(value)) = (bars.get_mut(place), value(point)) {
                *bar = Some(f64::max(bar.unwrap_or(0.0), value));
            }
        }
        bars
    }
}

fn bar_line(name: &str, values: &[Option<f64>], word: impl Fn(f64) -> String) -> String {
    let most = chart::largest(values, values.len());
    let most =
        if values.iter().all(Option::is_none) { "n/a".to_owned() } else { format!("most {}", word(most)) };
    format!("{name:<9} {}  {most}", chart::sparkline(values, values.len()))
}

fn share_row(share: &str, points: &[SharePoint]) -> Vec<String> {
    let counted: Vec<&Counted> = points.iter().filter_map(|point| point.traffic.as_ref()).collect();
    let sum = |what: fn(&Counted) -> u64| {
        if counted.is_empty() {
            "n/a".to_owned()
        } else {
            bytes(counted.iter().map(|counted| what(counted)).sum())
        }
    };
    let (covered, known): (u64, u64) = (
        points.iter().map(|point| point.span_ms).sum(),
        counted.iter().map(|counted| counted.counted_ms).sum(),
    );
    let free: Vec<u64> = points.iter().filter_map(|point| point.available_bytes).collect();
    let grew = match (free.first(), free.last()) {
        (Some(first), Some(last)) if first >= last => format!("+{}", bytes(first - last)),
        (Some(first), Some(last)) => format!("-{}", bytes(last - first)),
        _ => "n/a".to_owned(),
    };
    vec![
        share.to_owned(),
        sum(|counted| counted.read_bytes),
        sum(|counted| counted.write_bytes),
        if covered == 0 {
            "n/a".to_owned()
        } else {
            format!("{:.0} %", known as f64 * 100.0 / covered as f64)
        },
        points.iter().map(|point| point.tree_connects).max().unwrap_or(0).to_string(),
        free.last().map_or_else(|| "n/a".to_owned(), |free| bytes(*free)),
        grew,
    ]
}

/// In UTC, without seconds that say nothing.
fn time(at: i64) -> String {
    jiff::Timestamp::from_second(at)
        .map_or_else(|_| at.to_string(), |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day() {
        let from = 1_793_491_200;
        let counted = |factor: u64| Counted {
            counted_ms: 300_000,
            read_bytes: factor * 300_000_000,
            write_bytes: factor * 3_000_000,
            reads: factor,
            writes: factor,
            read_us: 5,
            write_us: 5,
        };
        // the morning was quiet, at noon nobody looked
        let busy = |place: i64| if place < 96 { 0 } else { (place as u64 - 96) % 40 };
        let places = (0..288).filter(|place| !(140..160).contains(place));
        let points = places.clone().map(|place| Point {
            at: from + place * 300,
            looks: 20,
            answered: if place == 200 { 5 } else { 20 },
            span_ms: 300_000,
            sessions: busy(place) / 4,
            open_files: busy(place),
            pss_bytes: 60 << 20,
            failed_logons: Some(u64::from(place == 100)),
            problems: 0,
            traffic: Some(counted(busy(place))),
        });
        let share = places.map(|place| SharePoint {
            at: from + place * 300,
            span_ms: 300_000,
            tree_connects: busy(place) / 4,
            size_bytes: Some(1 << 40),
            available_bytes: Some((1 << 39) - place as u64 * (1 << 20)),
            traffic: (place % 4 != 0).then(|| counted(busy(place))),
        });
        let history = History {
            gateway: "team".into(),
            from,
            to: from + 86_400,
            step_s: 300,
            points: points.collect(),
            shares: [("team".to_owned(), share.collect())].into(),
        };
        insta::assert_snapshot!("a_day", history.human());
        insta::assert_snapshot!(
            "a_day_in_rows",
            history.table().lines().take(5).collect::<Vec<_>>().join("\n")
        );
        let empty = History { points: Vec::new(), shares: [].into(), ..history };
        assert!(empty.human().contains("nothing is known"));
    }
}
