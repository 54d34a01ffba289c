//! Usage of shares over time, and when one will be full. Files in the state directory: they survive a reboot.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smbgw_api::{GatewayName, ShareName};

use crate::{Error, Result, durable};

/// Seconds between two samples that are kept.
const STEP: i64 = 3600;
/// Samples that are kept of a share: 30 days.
const KEPT: usize = 30 * 24;
/// Percentages of a quota at which something is said, once each time they are passed upwards.
pub const LEVELS: [u8; 3] = [75, 85, 95];

/// What was seen of the shares of one gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct History {
    shares: BTreeMap<ShareName, Track>,
}

/// What was seen of one share.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Track {
    /// The highest level that was said and is still passed.
    level: u8,
    /// Seconds since 1970, and bytes; the oldest first.
    samples: Vec<(i64, u64)>,
}

impl History {
    /// Reads that of a gateway; an empty one if there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(directory: &Path, gateway: &GatewayName) -> Result<Self> {
        let path = directory.join(format!("{gateway}.json"));
        match std::fs::read(&path) {
            // it is worth less than what is to be done now: one that is damaged begins anew
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(Error::io(format!("reading {}", path.display()), source)),
        }
    }

    /// Writes it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, directory: &Path, gateway: &GatewayName) -> Result<()> {
        durable::make_directory(directory, 0o700)?;
        let json =
            serde_json::to_vec(self).map_err(|source| Error::internal("writing a history").source(source))?;
        durable::replace(&directory.join(format!("{gateway}.json")), 0o600, &json)
    }

    /// Removes that of a gateway.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(directory: &Path, gateway: &GatewayName) -> Result<()> {
        durable::remove_file(&directory.join(format!("{gateway}.json")))?;
        // the last one takes the directory with it
        let _ = std::fs::remove_dir(directory);
        Ok(())
    }

    /// Removes those of gateways that are gone.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub fn sweep(directory: &Path, there: &[&GatewayName]) -> Result<()> {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let gateway = name.strip_suffix(".json").and_then(|name| GatewayName::parse(name).ok());
            if let Some(gateway) = gateway.filter(|gateway| !there.contains(&gateway)) {
                Self::remove(directory, &gateway)?;
            }
        }
        Ok(())
    }

    /// Forgets shares that have no quota any more.
    pub fn keep(&mut self, shares: &[&ShareName]) {
        self.shares.retain(|share, _| shares.contains(&share));
    }

    /// Notes what a share holds. Gives the level that it has passed by that, if it is a higher one than before.
    pub fn note(&mut self, share: &ShareName, used: u64, limit: u64, now: Timestamp) -> Option<u8> {
        let track = self.shares.entry(share.clone()).or_default();
        let now = now.as_second();
        if track.samples.last().is_none_or(|(last, _)| now - last >= STEP) {
            track.samples.push((now, used));
            let old = track.samples.len().saturating_sub(KEPT);
            track.samples.drain(..old);
        }
        let level = LEVELS.into_iter().rfind(|level| percent(used, limit) >= f64::from(*level)).unwrap_or(0);
        let said = std::mem::replace(&mut track.level, level);
        (level > said).then_some(level)
    }

    /// Days until a share is full, if it goes on growing as it has; nothing while it does not grow, or too little was seen.
    pub fn days_until_full(&self, share: &ShareName, used: u64, limit: u64) -> Option<f64> {
        let samples = &self.shares.get(share)?.samples;
        let slope = slope(samples)?;
        let left = limit.saturating_sub(used) as f64;
        (slope > 0.0).then(|| left / slope / 86_400.0)
    }
}

/// How full, in percent.
pub fn percent(used: u64, limit: u64) -> f64 {
    if limit == 0 { 100.0 } else { used as f64 * 100.0 / limit as f64 }
}

/// Bytes a second, by least squares; nothing for less than two hours.
fn slope(samples: &[(i64, u64)]) -> Option<f64> {
    let ((first, _), (last, _)) = (samples.first()?, samples.last()?);
    if last - first < 2 * STEP {
        return None;
    }
    let points: Vec<(f64, f64)> =
        samples.iter().map(|(time, used)| ((time - first) as f64, *used as f64)).collect();
    let count = points.len() as f64;
    let (mean_x, mean_y) = (
        points.iter().map(|(x, _)| x).sum::<f64>() / count,
        points.iter().map(|(_, y)| y).sum::<f64>() / count,
    );
    let above: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let below: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    (below > 0.0).then(|| above / below)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share() -> ShareName {
        ShareName::parse("team").unwrap()
    }

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + hours * 3600).unwrap()
    }

    #[test]
    fn each_level_is_said_once_on_the_way_up() {
        let mut history = History::default();
        let mut said = Vec::new();
        for used in [10, 74, 75, 80, 86, 84, 86, 96, 99, 50, 96] {
            said.push(history.note(&share(), used, 100, at(0)).unwrap_or(0));
        }
        assert_eq!(said, [0, 0, 75, 0, 85, 0, 85, 95, 0, 0, 95]);
    }

    #[test]
    fn a_share_that_grows_will_be_full() {
        let mut history = History::default();
        assert_eq!(history.days_until_full(&share(), 0, 100), None);
        // a gigabyte a day
        for hour in 0..48 {
            history.note(&share(), hour * (1 << 30) / 24, 10 << 30, at(hour as i64));
        }
        let days = history.days_until_full(&share(), 2 << 30, 10 << 30).unwrap();
        assert!((days - 8.0).abs() < 0.1, "{days}");
    }

    #[test]
    fn a_share_that_shrinks_will_not() {
        let mut history = History::default();
        for hour in 0..10 {
            history.note(&share(), 1000 - hour, 2000, at(hour as i64));
        }
        assert_eq!(history.days_until_full(&share(), 990, 2000), None);
    }

    #[test]
    fn it_survives_and_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let name = GatewayName::parse("team").unwrap();
        let mut history = History::default();
        for hour in 0..1000 {
            history.note(&share(), 1, 100, at(hour));
        }
        history.write(directory.path(), &name).unwrap();
        assert_eq!(History::read(directory.path(), &name).unwrap(), history);
        assert_eq!(history.shares[&share()].samples.len(), KEPT);
        std::fs::write(directory.path().join("team.json"), "rubbish").unwrap();
        assert_eq!(History::read(directory.path(), &name).unwrap(), History::default());
        History::sweep(directory.path(), &[&name]).unwrap();
        assert!(directory.path().join("team.json").exists());
        History::sweep(directory.path(), &[]).unwrap();
        assert!(!directory.path().exists());
        History::remove(directory.path(), &name).unwrap();
    }
}
