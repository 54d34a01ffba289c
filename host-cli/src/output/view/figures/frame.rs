//! A gateway at a glance. Pure: what is drawn depends on the figures and the width alone.

use super::{ClientRow, Figures, Rate, ShareRow, words};
use crate::output::chart::{self, Column, Style, paint};
use crate::output::human::{bytes, duration};

/// From this width on, shares and clients are side by side.
const WIDE: usize = 160;
/// Most shares and clients that are shown.
const SHARES: usize = 20;
const CLIENTS: usize = 10;
const PROBLEMS: usize = 8;
/// What the cut rows of shares without rates mean.
const NOT_TOLD: &str =
    "n/a: clients with several shares on one connection cannot be told apart (Samba before 4.23)";

/// What is drawn.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Frame {
    /// Gateway.
    pub gateway: String,
    /// Mode.
    pub mode: String,
    /// `running`, `stopped` and the like.
    pub state: String,
    /// The last ones; none before the first answer.
    pub figures: Option<Figures>,
    /// Its agent does not answer.
    pub silence: Option<Silence>,
    /// Bytes read in a second, look by look, the newest last.
    pub reads: Vec<Option<f64>>,
    /// Bytes written in a second.
    pub writes: Vec<Option<f64>>,
}

/// An agent that does not answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Silence {
    /// Why; none while it is only waited for.
    pub why: Option<String>,
    /// Age of the last figures in seconds.
    pub age_s: u64,
}

impl Frame {
    /// Of one look, without any before.
    pub fn of(figures: Figures) -> Self {
        Self {
            gateway: figures.gateway.clone(),
            mode: figures.mode.clone(),
            state: "running".to_owned(),
            figures: Some(figures),
            ..Self::default()
        }
    }
}

/// The frame for a width.
pub fn render(frame: &Frame, width: usize) -> String {
    let mut lines = heading(frame, width);
    if let Some(figures) = &frame.figures {
        lines.extend(wrong(figures, width));
        lines.push(String::new());
        lines.extend(rates(frame, figures, width));
        lines.push(String::new());
        lines.extend(tables(figures, width));
    }
    lines.join("\n")
}

fn heading(frame: &Frame, width: usize) -> Vec<String> {
    let mut parts = vec![
        paint(Style::Bold, &chart::fit(&frame.gateway, width)),
        match frame.mode.is_empty() {
            true => frame.state.clone(),
            false => format!("{} ({})", frame.state, frame.mode),
        },
    ];
    if let Some(figures) = &frame.figures {
        parts.push(format!("up {}", duration(figures.uptime_s)));
        parts.push(count(figures.sessions, "session"));
        parts.push(count(figures.open_files, "open file"));
        parts.push(format!("memory {}", bytes(figures.memory_pss_bytes)));
        if figures.cpu_percent.is_some() {
            parts.push(format!("CPU {}", words::percent(figures.cpu_percent)));
        }
    }
    let mut lines = chart::flow(&parts, width);
    if let Some(silence) = &frame.silence {
        let mut text = match frame.figures {
            Some(_) => format!("silent: these figures are {} old", duration(silence.age_s)),
            None => "silent".to_owned(),
        };
        if let Some(why) = &silence.why {
            text.push_str(&format!("; {why}"));
        }
        lines.extend(chart::wrap(&text, width).into_iter().take(3).map(|line| paint(Style::Red, &line)));
    } else if frame.figures.is_none() && frame.state == "running" {
        lines.extend(chart::wrap("waiting for its agent", width));
    }
    lines
}

/// Problems, and how it stands with what the gateway needs.
fn wrong(figures: &Figures, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut red = |text: String| {
        let lined = chart::wrap(&text, width).into_iter().take(4).map(|line| paint(Style::Red, &line));
        lines.extend(lined.collect::<Vec<_>>());
    };
    for problem in figures.problems.iter().take(PROBLEMS) {
        red(format!("PROBLEM {problem}"));
    }
    if figures.problems.len() > PROBLEMS {
        red(format!("PROBLEM and {} more", figures.problems.len() - PROBLEMS));
    }
    for service in figures.services.iter().filter(|service| service.state != "active").take(PROBLEMS) {
        red(format!("SERVICE {} is {}", service.name, service.state));
    }
    let mut parts = Vec::new();
    if let Some(domain) = &figures.domain {
        let state = match (domain.joined, domain.online) {
            (true, true) => "member, a controller answers",
            (true, false) => "member, no controller answers",
            (false, _) => "not joined",
        };
        let faults = match domain.faults.is_empty() {
            true => String::new(),
            false => format!(", {}", domain.faults.join(", ")),
        };
        let text = format!("domain: {state}{faults} ({} ago)", duration(domain.age_s));
        let good = domain.joined && domain.online && domain.faults.is_empty();
        parts.push(if good { text } else { paint(Style::Red, &text) });
    }
    if let Some(failed) = figures.failed_logons {
        let ntlmv1 = match failed.ntlmv1 {
            0 => String::new(),
            number => format!(" ({number} by NTLMv1)"),
        };
        let now =
            failed.now.filter(|now| *now > 0).map(|now| format!(", {now} just now")).unwrap_or_default();
        let text = format!("failed logons: {}{ntlmv1}{now}", failed.total);
        parts.push(if now.is_empty() { text } else { paint(Style::Red, &text) });
    }
    lines.extend(chart::flow(&parts, width));
    lines
}

/// What is read and written, as large as the width allows.
fn rates(frame: &Frame, figures: &Figures, width: usize) -> Vec<String> {
    let Some(now) = &figures.rates else {
        let why = match (figures.totals, figures.interval_s) {
            (None, _) => "reads and writes: n/a, smbd does not count them",
            (Some(_), None) => "reads and writes: known after the next look",
            (Some(_), Some(_)) => "reads and writes: counted anew, known after the next look",
        };
        return chart::wrap(why, width).into_iter().map(|line| paint(Style::Dim, &line)).collect();
    };
    [("READ", Style::Cyan, &now.read, &frame.reads), ("WRITE", Style::Yellow, &now.write, &frame.writes)]
        .map(|(name, style, rate, past)| rate_line(name, style, rate, past, width))
        .to_vec()
}

fn rate_line(name: &str, style: Style, rate: &Rate, past: &[Option<f64>], width: usize) -> String {
    const NAME: usize = 5;
    const RATE: usize = 10;
    const MOST: usize = 14;
    const LEAST_CHART: usize = 8;
    let head = chart::pad(name, NAME);
    let speed = chart::pad_left(&format!("{}/s", words::rate(rate.bytes_per_s)), RATE);
    let mut room = width.saturating_sub(NAME + 1 + RATE);
    if room == 0 {
        return chart::fit(&format!("{head} {}", speed.trim_start()), width);
    }
    // what matters most takes its room first
    let mut take = |text: String| {
        let needs = chart::width(&text) + 2;
        let fits = needs <= room;
        room -= if fits { needs } else { 0 };
        fits.then_some(text)
    };
    let latency = take(chart::pad_left(&words::latency(rate.latency_us), 7));
    let operations =
        take(chart::pad_left(&format!("{} ops/s", words::operations(rate.operations_per_s)), 11));
    let mut line = format!("{} {}", paint(style, &head), paint(Style::Bold, &speed));
    // a chart and its scale, or none of them
    if past.len() > 1 && room >= LEAST_CHART + 2 + MOST + 2 {
        let chart_width = room - MOST - 4;
        let most = chart::largest(past, chart_width);
        let scale = chart::pad(&format!("max {}/s", words::rate(most)), MOST);
        line.push_str(&format!(
            "  {}  {}",
            paint(style, &chart::sparkline(past, chart_width)),
            paint(Style::Dim, &scale)
        ));
    }
    for text in [operations, latency].into_iter().flatten() {
        line.push_str(&format!("  {text}"));
    }
    line
}

/// Shares and clients, side by side where there is room.
fn tables(figures: &Figures, width: usize) -> Vec<String> {
    if width < WIDE {
        let mut lines = shares(figures, width);
        lines.push(String::new());
        lines.extend(clients(figures, width));
        return lines;
    }
    const GAP: usize = 4;
    let left = shares(figures, (width - GAP) / 2);
    let left_width = left.iter().map(|line| chart::width(line)).max().unwrap_or(0);
    let right = clients(figures, width - GAP - left_width);
    chart::beside(&left, &right, left_width, GAP)
}

fn shares(figures: &Figures, width: usize) -> Vec<String> {
    const HEADS: [Column; 8] = [
        Column::names("SHARE", 0, 8),
        Column::numbers("CLIENTS", 4),
        Column::numbers("READ/s", 1),
        Column::numbers("WRITE/s", 2),
        Column::numbers("LATENCY", 5),
        Column::words("USED", 3),
        Column::numbers("SIZE", 6),
        Column::numbers("QUOTA", 7),
    ];
    if figures.shares.is_empty() {
        return chart::wrap("no shares", width).into_iter().map(|line| paint(Style::Dim, &line)).collect();
    }
    let bar = if width < 100 { 6 } else { 14 };
    let row = |share: &ShareRow| {
        let [read, write, latency] = words::share_rates(share);
        let used = match (share.used_bytes, share.size_bytes) {
            (Some(used), Some(size)) if size > 0 => {
                let percent = (used as f64 / size as f64 * 100.0).min(100.0);
                format!("{} {percent:>3.0} %", chart::bar(used, size, bar))
            }
            _ => String::new(),
        };
        let size = |bytes_: Option<u64>| bytes_.map(bytes).unwrap_or_default();
        let (size, quota) = (size(share.size_bytes), size(share.quota_bytes));
        vec![share.share.clone(), share.tree_connects.to_string(), read, write, latency, used, size, quota]
    };
    let rows: Vec<_> = figures.shares.iter().take(SHARES).map(row).collect();
    let mut lines = chart::columns(&HEADS, &rows, width);
    let mut dim = |text: &str| {
        lines.extend(chart::wrap(text, width).into_iter().map(|line| paint(Style::Dim, &line)));
    };
    if figures.shares.len() > SHARES {
        dim(&format!("and {} more", figures.shares.len() - SHARES));
    }
    // where nothing is counted at all, that is said above
    if figures.totals.is_some() && figures.shares.iter().any(|share| !share.counted) {
        dim(NOT_TOLD);
    }
    lines
}

fn clients(figures: &Figures, width: usize) -> Vec<String> {
    const HEADS: [Column; 7] = [
        Column::names("CLIENT", 0, 15),
        Column::names("USERS", 3, 6),
        Column::words("DIALECT", 6),
        Column::words("SAFETY", 4),
        Column::names("SHARES", 5, 6),
        Column::numbers("READ/s", 1),
        Column::numbers("WRITE/s", 2),
    ];
    if figures.clients.is_empty() {
        return chart::wrap("no clients", width).into_iter().map(|line| paint(Style::Dim, &line)).collect();
    }
    let row = |client: &ClientRow| {
        let [read, write, _] = words::rates(client.rates.as_ref());
        let [users, dialects, shares] =
            [&client.users, &client.dialects, &client.shares].map(|names| names.join(", "));
        vec![client.client.clone(), users, dialects, words::safety(client), shares, read, write]
    };
    let rows: Vec<_> = figures.clients.iter().take(CLIENTS).map(row).collect();
    let mut lines = chart::columns(&HEADS, &rows, width);
    if figures.clients.len() > CLIENTS {
        let more = format!("and {} more", figures.clients.len() - CLIENTS);
        lines.push(paint(Style::Dim, &chart::fit(&more, width)));
    }
    lines
}

fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests;
