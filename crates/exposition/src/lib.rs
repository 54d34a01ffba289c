//! Figures in the words of Prometheus. Agent and host say the same, so it is said in one place.
//!
//! * [`Exposition`]: families of samples, and their two text forms
//! * [`gateway()`]: the figures of a gateway as such families
//!
//! Written here since the one kept library (`prometheus-client`) has no plain text form, which is what `promtool check metrics` reads.

mod gateway;

pub use gateway::{Clients, gateway};

use std::fmt::Write;

/// Text forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' own, version 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// What a client that sends this `Accept` header gets.
    pub fn negotiate(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Text }
    }

    /// The `Content-Type` of it.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Goes up, and back to zero.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// Labels of a sample: name and value.
pub type Labels<'a> = &'a [(&'static str, &'a str)];

#[derive(Debug, Clone)]
struct Family {
    name: &'static str,
    kind: Kind,
    unit: Option<&'static str>,
    help: &'static str,
    samples: Vec<(String, f64)>,
}

/// Families of samples, in the order in which they were named first.
#[derive(Debug, Clone, Default)]
pub struct Exposition {
    families: Vec<Family>,
    common: Vec<(&'static str, String)>,
}

/// Units that a name can end with (OpenMetrics 1.0.0, section "Units").
const UNITS: [&str; 2] = ["bytes", "seconds"];

impl Exposition {
    /// Labels that each sample from now on has, too.
    pub fn common(&mut self, labels: Labels<'_>) {
        self.common = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    }

    /// Adds a sample of a counter. The name is that of the family, without `_total`.
    pub fn counter(&mut self, name: &'static str, help: &'static str, labels: Labels<'_>, value: f64) {
        self.add(Kind::Counter, name, help, labels, value);
    }

    /// Adds a sample of a gauge.
    pub fn gauge(&mut self, name: &'static str, help: &'static str, labels: Labels<'_>, value: f64) {
        self.add(Kind::Gauge, name, help, labels, value);
    }

    fn add(&mut self, kind: Kind, name: &'static str, help: &'static str, labels: Labels<'_>, value: f64) {
        let common = self.common.iter().map(|(name, value)| (*name, value.as_str()));
        let labels = render_labels(common.chain(labels.iter().copied()));
        let family = match self.families.iter_mut().position(|family| family.name == name) {
            Some(index) => &mut self.families[index],
            None => {
                let unit = UNITS.into_iter().find(|unit| name.ends_with(unit));
                self.families.push(Family { name, kind, unit, help, samples: Vec::new() });
                let last = self.families.len() - 1;
                &mut self.families[last]
            }
        };
        family.samples.push((labels, value));
    }

    /// The text.
    pub fn render(&self, format: Format) -> String {
        let mut out = String::new();
        for Family { name, kind, unit, help, samples } in &self.families {
            let (word, suffix) = match kind {
                Kind::Counter => ("counter", "_total"),
                Kind::Gauge => ("gauge", ""),
            };
            // in its own form, Prometheus knows no families beyond the samples' names
            let family = match format {
                Format::Text => format!("{name}{suffix}"),
                Format::OpenMetrics => (*name).to_owned(),
            };
            let _ = writeln!(out, "# HELP {family} {help}\n# TYPE {family} {word}");
            if let (Format::OpenMetrics, Some(unit)) = (format, unit) {
                let _ = writeln!(out, "# UNIT {family} {unit}");
            }
            for (labels, value) in samples {
                let _ = writeln!(out, "{name}{suffix}{labels} {value}");
            }
        }
        if format == Format::OpenMetrics {
            out.push_str("# EOF\n");
        }
        out
    }
}

fn render_labels<'a>(labels: impl Iterator<Item = (&'static str, &'a str)>) -> String {
    let mut out = String::new();
    for (name, value) in labels {
        out.push(if out.is_empty() { '{' } else { ',' });
        let _ = write!(out, "{name}=\"");
        for c in value.chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                c if c.is_control() => out.push('\u{fffd}'),
                c => out.push(c),
            }
        }
        out.push('"');
    }
    if !out.is_empty() {
        out.push('}');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        let mut exposition = Exposition::default();
        exposition.common(&[("gateway", "a")]);
        exposition.counter("x_read_bytes", "Read.", &[("share", "Büro \"1\"\\\n\u{1b}")], 3e15);
        exposition.gauge("x_up", "Up.", &[], 1.0);
        exposition.common(&[("gateway", "b")]);
        exposition.gauge("x_up", "Up.", &[], 0.5);
        let labels = r#"{gateway="a",share="Büro \"1\"\\\n�"}"#;
        assert_eq!(
            exposition.render(Format::Text),
            format!(
                "# HELP x_read_bytes_total Read.\n# TYPE x_read_bytes_total counter\nx_read_bytes_total{labels} 3000000000000000\n\
                 # HELP x_up Up.\n# TYPE x_up gauge\nx_up{{gateway=\"a\"}} 1\nx_up{{gateway=\"b\"}} 0.5\n"
            )
        );
        assert_eq!(
            exposition.render(Format::OpenMetrics),
            format!(
                "# HELP x_read_bytes Read.\n# TYPE x_read_bytes counter\n# UNIT x_read_bytes bytes\nx_read_bytes_total{labels} 3000000000000000\n\
                 # HELP x_up Up.\n# TYPE x_up gauge\nx_up{{gateway=\"a\"}} 1\nx_up{{gateway=\"b\"}} 0.5\n# EOF\n"
            )
        );
        assert_eq!(Exposition::default().render(Format::Text), "");
    }

    #[test]
    fn who_asks_for_openmetrics_gets_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(Format::negotiate(prometheus), Format::OpenMetrics);
        assert_eq!(Format::negotiate("*/*"), Format::Text);
    }
}
