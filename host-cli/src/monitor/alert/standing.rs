//! What stands, and what changes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Condition, Kind, Severity};

/// How many times in a row a thing must be well before it is said to have ended.
const CALM: u32 = 2;

/// An alert that stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Standing {
    /// Gateway; empty when it concerns the service itself.
    pub gateway: String,
    /// What.
    pub kind: Kind,
    /// With what of it: a share, a unit; empty for the gateway itself.
    pub subject: String,
    /// Since when, in seconds since 1970.
    pub since: i64,
    /// How bad.
    pub severity: Severity,
    /// The level, where there are levels.
    pub level: i64,
    /// In words.
    pub text: String,
}

impl Standing {
    /// One that was kept; none when this version does not know such.
    pub fn restore(
        gateway: String,
        kind: &str,
        subject: String,
        since: i64,
        severity: &str,
        level: i64,
        text: String,
    ) -> Option<Self> {
        let (kind, severity) = (Kind::parse(kind)?, Severity::parse(severity)?);
        Some(Self { gateway, kind, subject, since, severity, level, text })
    }
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It began.
    Raised(Standing),
    /// It got worse.
    Worse(Standing),
    /// It has ended.
    Cleared(Standing),
}

impl Change {
    /// The word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Raised(_) => "raised",
            Self::Worse(_) => "worse",
            Self::Cleared(_) => "cleared",
        }
    }

    /// The alert.
    pub fn alert(&self) -> &Standing {
        match self {
            Self::Raised(alert) | Self::Worse(alert) | Self::Cleared(alert) => alert,
        }
    }
}

/// What a look at a gateway can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All that can be wrong.
    All,
    /// This alone; how it stands with the rest is not known.
    Only(Kind),
}

type Key = (String, Kind, String);

/// All alerts that stand.
#[derive(Debug, Default)]
pub struct Alerts {
    standing: BTreeMap<Key, Standing>,
    calm: BTreeMap<Key, u32>,
    /// What was found, how often in a row, and is not said yet.
    found: BTreeMap<Key, u32>,
}

impl Alerts {
    /// Those that stood before.
    pub fn restore(alerts: Vec<Standing>) -> Self {
        let key = |alert: &Standing| (alert.gateway.clone(), alert.kind, alert.subject.clone());
        let standing = alerts.into_iter().map(|alert| (key(&alert), alert)).collect();
        Self { standing, ..Self::default() }
    }

    /// Those that stand, by gateway.
    pub fn standing(&self) -> Vec<Standing> {
        self.standing.values().cloned().collect()
    }

    /// Takes in what is wrong with a gateway now; gives what is to be said.
    pub fn update(
        &mut self,
        gateway: &str,
        scope: Scope,
        conditions: Vec<Condition>,
        now: i64,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut seen = Vec::new();
        for Condition { kind, subject, severity, looks, level, text } in conditions {
            let key = (gateway.to_owned(), kind, subject.clone());
            seen.push(key.clone());
            self.calm.remove(&key);
            match self.standing.get_mut(&key) {
                Some(alert) => {
                    let worse = severity > alert.severity || level > alert.level;
                    (alert.severity, alert.level, alert.text) = (severity, level, text);
                    if worse {
                        changes.push(Change::Worse(alert.clone()));
                    }
                }
                None if looks > 1 && self.found.get(&key).copied().unwrap_or(0) + 1 < looks => {
                    *self.found.entry(key).or_default() += 1;
                }
                None => {
                    self.found.remove(&key);
                    let gateway = gateway.to_owned();
                    let alert = Standing { gateway, kind, subject, since: now, severity, level, text };
                    changes.push(Change::Raised(alert.clone()));
                    self.standing.insert(key, alert);
                }
            }
        }
        let known = |kind: Kind| match scope {
            Scope::All => true,
            Scope::Only(only) => kind == only,
        };
        self.found.retain(|key, _| key.0 != gateway || seen.contains(key));
        let quiet: Vec<Key> = self
            .standing
            .keys()
            .filter(|key| key.0 == gateway && known(key.1) && !seen.contains(key))
            .cloned()
            .collect();
        for key in quiet {
            let calm = self.calm.entry(key.clone()).or_default();
            *calm += 1;
            if *calm >= CALM {
                self.calm.remove(&key);
                changes.extend(self.standing.remove(&key).map(Change::Cleared));
            }
        }
        changes
    }

    /// Forgets gateways that are not among these; that they are gone is nothing to be told.
    pub fn keep(&mut self, gateways: &[&str]) {
        let stays = |key: &Key| key.0.is_empty() || gateways.contains(&key.0.as_str());
        self.standing.retain(|key, _| stays(key));
        self.calm.retain(|key, _| stays(key));
        self.found.retain(|key, _| stays(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(kind: Kind, level: i64) -> Condition {
        let (subject, text) = ("team".to_owned(), format!("{level} %"));
        Condition { kind, subject, severity: Severity::Warning, looks: 1, level, text }
    }

    fn words(changes: &[Change]) -> Vec<&'static str> {
        changes.iter().map(Change::word).collect()
    }

    #[test]
    fn said_once_and_when_it_gets_worse_and_when_it_ends() {
        let mut alerts = Alerts::default();
        let mut look = |levels: &[i64], now| {
            let conditions = levels.iter().map(|level| condition(Kind::Quota, *level)).collect();
            words(&alerts.update("files", Scope::All, conditions, now))
        };
        assert_eq!(look(&[75], 1), ["raised"]);
        assert!(look(&[75], 2).is_empty());
        assert_eq!(look(&[95], 3), ["worse"]);
        // less is not worth a word, and no reason to say it again when it rises to where it was
        assert!(look(&[85], 4).is_empty());
        // one quiet look is no end
        assert!(look(&[], 5).is_empty());
        assert!(look(&[85], 6).is_empty());
        assert!(look(&[], 7).is_empty());
        assert_eq!(look(&[], 8), ["cleared"]);
        assert!(look(&[], 9).is_empty());
    }

    #[test]
    fn some_things_must_be_found_more_than_once() {
        let mut alerts = Alerts::default();
        let mut look = |down: bool, now| {
            let down = down.then(|| Condition { looks: 3, ..condition(Kind::ServiceDown, 0) });
            words(&alerts.update("files", Scope::All, down.into_iter().collect(), now))
        };
        assert!(look(true, 1).is_empty() && look(true, 2).is_empty());
        assert!(look(false, 3).is_empty());
        assert!(look(true, 4).is_empty() && look(true, 5).is_empty());
        assert_eq!(look(true, 6), ["raised"]);
        assert!(look(true, 7).is_empty());
    }

    #[test]
    fn silence_says_nothing_of_the_rest() {
        let mut alerts = Alerts::default();
        alerts.update("files", Scope::All, vec![condition(Kind::Quota, 95)], 1);
        for now in 2..9 {
            let gone = vec![condition(Kind::Unreachable, 0)];
            let changes = alerts.update("files", Scope::Only(Kind::Unreachable), gone, now);
            assert_eq!(changes.len(), usize::from(now == 2));
        }
        assert_eq!(alerts.standing().len(), 2);
        // others are none of its business
        alerts.update("other", Scope::All, Vec::new(), 9);
        alerts.update("other", Scope::All, Vec::new(), 10);
        assert_eq!(alerts.standing().len(), 2);
        let kept = Alerts::restore(alerts.standing());
        assert_eq!(kept.standing(), alerts.standing());
        alerts.keep(&["other"]);
        assert!(alerts.standing().is_empty());
    }
}
