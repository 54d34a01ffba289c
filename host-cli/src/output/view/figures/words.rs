//! Figures in words, the same in every table.

use super::{ClientRow, Rates, ShareRow};
use crate::output::human::bytes;

/// What is not known, or was not done.
pub(super) const NOTHING: &str = "-";

/// Bytes in a second, where the head says that it is a second.
pub(super) fn rate(bytes_per_s: f64) -> String {
    bytes(bytes_per_s.round() as u64)
}

/// Operations in a second.
pub(super) fn operations(per_s: f64) -> String {
    if per_s < 10.0 && per_s > 0.0 { format!("{per_s:.1}") } else { format!("{per_s:.0}") }
}

/// A time.
pub(super) fn latency(us: Option<f64>) -> String {
    match us {
        None => NOTHING.to_owned(),
        Some(us) if us < 999.5 => format!("{us:.0} µs"),
        Some(us) if us < 99_950.0 => format!("{:.1} ms", us / 1000.0),
        Some(us) if us < 999_500.0 => format!("{:.0} ms", us / 1000.0),
        Some(us) => format!("{:.1} s", us / 1_000_000.0),
    }
}

/// Per cent.
pub(super) fn percent(percent: Option<f64>) -> String {
    match percent {
        None => NOTHING.to_owned(),
        Some(percent) if percent < 99.95 => format!("{percent:.1} %"),
        Some(percent) => format!("{percent:.0} %"),
    }
}

/// Read, write, latency.
pub(super) fn rates(rates: Option<&Rates>) -> [String; 3] {
    match rates {
        None => [NOTHING; 3].map(str::to_owned),
        Some(rates) => {
            [rate(rates.read.bytes_per_s), rate(rates.write.bytes_per_s), latency(rates.latency_us())]
        }
    }
}

/// The same of a share.
pub(super) fn share_rates(share: &ShareRow) -> [String; 3] {
    if share.counted { rates(share.rates.as_ref()) } else { ["n/a", "n/a", NOTHING].map(str::to_owned) }
}

/// How a client's connections are kept safe.
pub(super) fn safety(client: &ClientRow) -> String {
    let word = match (client.encrypted, client.signed) {
        (true, _) => "encrypted",
        (false, true) => "signed",
        (false, false) => "open",
    };
    word.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let latencies = [None, Some(0.0), Some(420.4), Some(1200.0), Some(250_000.0), Some(2_500_000.0)];
        assert_eq!(latencies.map(latency), ["-", "0 µs", "420 µs", "1.2 ms", "250 ms", "2.5 s"]);
        assert_eq!([0.0, 0.5, 12.3].map(operations), ["0", "0.5", "12"]);
        assert_eq!([None, Some(3.12), Some(215.2)].map(percent), ["-", "3.1 %", "215 %"]);
    }
}
