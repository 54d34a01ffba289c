//! `metrics`, `top` and `sessions`: what gateways do, and who is there.

use clap::{Args, Subcommand};
use smbgw_api::GatewayName;

/// `metrics`
#[derive(Debug, Args)]
pub struct MetricsArgs {
    /// Name of the gateway
    pub name: GatewayName,
    /// Look again and again, until Ctrl-C
    #[arg(long, conflicts_with = "history")]
    pub watch: bool,
    /// Time from look to look
    #[arg(long, value_name = "SECONDS", requires = "watch", default_value_t = 2, value_parser = interval())]
    pub interval: u32,
    /// What was in this time, as 24h or 7d
    #[arg(long, value_name = "SPAN")]
    pub history: Option<Span>,
    /// One line for this much of it, as 5m
    #[arg(long, value_name = "STEP", requires = "history", default_value_t = Span::STEP)]
    pub step: Span,
}

/// `top`
#[derive(Debug, Args)]
pub struct TopArgs {
    /// One table, of what was in a second
    #[arg(long)]
    pub once: bool,
    /// Time from look to look
    #[arg(long, value_name = "SECONDS", conflicts_with = "once", default_value_t = 3, value_parser = interval())]
    pub interval: u32,
}

/// `sessions`
#[derive(Debug, Subcommand)]
pub enum SessionsVerb {
    /// List who is there
    List {
        /// Name of the gateway; all of this node when absent
        name: Option<GatewayName>,
    },
    /// End sessions; the client may connect again at once
    ///
    /// End sessions, each with the connection that it is in. Files that are open
    /// in it are closed, and what a program has not written yet is lost. The
    /// client may connect again at once, and most do: to keep a user out, remove
    /// the user, or the right to the share.
    Close {
        /// Name of the gateway
        name: GatewayName,
        #[command(flatten)]
        /// Which.
        which: WhichSessions,
    },
}

/// Which sessions: exactly one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct WhichSessions {
    /// The one with this id, as `sessions list` shows it
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// All of this user; of the domain as 'CORP\alice'
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// All from this address
    #[arg(long, value_name = "ADDRESS")]
    pub client: Option<String>,
}

fn interval() -> clap::builder::RangedU64ValueParser<u32> {
    clap::builder::RangedU64ValueParser::new().range(1..=3600)
}

/// A time, as 5m, 24h or 7d.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(u32);

const UNITS: [(char, u32); 5] = [('w', 7 * 86_400), ('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)];

impl Span {
    /// Of one line of a history, unless another is asked for.
    pub const STEP: Self = Self(300);
    /// The longest: what began before would be of another machine.
    const MOST: u32 = 10 * 366 * 86_400;

    /// In seconds.
    pub const fn seconds(self) -> u32 {
        self.0
    }
}

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || "write a time from 1s to 3660d, as 90s, 5m, 24h, 7d or 2w".to_owned();
        let unit = UNITS.iter().find(|(unit, _)| text.ends_with(*unit)).ok_or_else(bad)?;
        let number = &text[..text.len() - 1];
        if number.is_empty() || !number.chars().all(|c| c.is_ascii_digit()) {
            return Err(bad());
        }
        let seconds = number.parse().ok().and_then(|number: u32| number.checked_mul(unit.1));
        seconds.filter(|seconds| (1..=Self::MOST).contains(seconds)).map(Self).ok_or_else(bad)
    }
}

impl std::fmt::Display for Span {
    /// The shortest exact form.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = UNITS.iter().find(|(_, seconds)| self.0.is_multiple_of(*seconds)).unwrap_or(&('s', 1));
        write!(f, "{}{}", self.0 / unit.1, unit.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Cli;
    use clap::Parser;

    #[test]
    fn spans() {
        for (text, seconds, again) in [
            ("1s", 1, "1s"),
            ("90s", 90, "90s"),
            ("5m", 300, "5m"),
            ("24h", 86_400, "1d"),
            ("36h", 129_600, "36h"),
            ("7d", 604_800, "1w"),
            ("2w", 1_209_600, "2w"),
            ("3660d", 316_224_000, "3660d"),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!((span.seconds(), span.to_string().as_str()), (seconds, again), "{text}");
        }
        for bad in
            ["", "0s", "5", "m", "-5m", "+5m", "5 m", "1.5h", "5mm", "3661d", "99999999999d", "5µ", "5M"]
        {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_fits_together() {
        let parses = |words: &str| Cli::try_parse_from(words.split(' ')).is_ok();
        for good in [
            "x metrics a",
            "x metrics a --watch",
            "x metrics a --watch --interval 5",
            "x metrics a --history 24h",
            "x metrics a --history 24h --step 1h",
            "x top",
            "x top --once",
            "x top --interval 1",
            "x sessions list",
            "x sessions list a",
            "x sessions close a --id 77",
            "x sessions close a --user alice",
        ] {
            assert!(parses(good), "{good}");
        }
        for bad in [
            "x metrics",
            "x metrics a --interval 5",
            "x metrics a --watch --interval 0",
            "x metrics a --watch --history 24h",
            "x metrics a --step 5m",
            "x top --once --interval 3",
            "x sessions close a",
            "x sessions close --id 1",
            "x sessions close a --id 1 --user alice",
            "x sessions close a --user alice --client 10.0.0.1",
        ] {
            assert!(!parses(bad), "{bad}");
        }
    }
}
