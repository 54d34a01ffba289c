//! What happens in the gateway, told to those who listen. While somebody does, it is looked at every few seconds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use smbgw_api::v1::{Event, ShareSize};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::agent::Agent;
use crate::error::{Result, internal};
use crate::samba::status;
use crate::{metrics, state};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(5);
/// Events that a listener may be late by; one that is later is let go.
const WAITING: usize = 1024;
/// Listeners at once.
const MOST: usize = 32;
/// Levels of a quota in per cent.
const LEVELS: [u8; 3] = [95, 85, 75];

/// Who listens.
#[derive(Debug, Default)]
pub(crate) struct Events(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    listeners: Vec<Sender<Event>>,
    sampling: bool,
    closed: bool,
}

/// A look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Look {
    /// User and client of each session, by id.
    sessions: BTreeMap<String, (String, String)>,
    levels: BTreeMap<String, u8>,
    services: BTreeMap<String, String>,
}

impl Events {
    /// Ends all streams, for good.
    pub(crate) fn close(&self) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.closed = true;
        inner.listeners.clear();
    }

    /// Tells all, and lets those go who do not listen any more. Whether anybody does.
    fn tell(&self, events: &[Event]) -> bool {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.listeners.retain(|listener| {
            !listener.is_closed() && events.iter().all(|event| listener.try_send(event.clone()).is_ok())
        });
        inner.sampling = !inner.listeners.is_empty();
        inner.sampling
    }
}

/// What happens from now on.
pub(crate) fn listen(agent: &Arc<Agent>) -> Result<Receiver<Event>> {
    let (sender, receiver) = channel(WAITING);
    let mut inner = agent.events.0.lock().unwrap_or_else(PoisonError::into_inner);
    if inner.closed || inner.listeners.len() >= MOST {
        return Err(internal(format!("not more than {MOST} can listen at once")));
    }
    inner.listeners.push(sender);
    if !inner.sampling {
        inner.sampling = true;
        tokio::spawn(sample(Arc::clone(agent)));
    }
    Ok(receiver)
}

async fn sample(agent: Arc<Agent>) {
    let mut before: Option<Look> = None;
    loop {
        let events = match agent.read(look).await {
            Ok(now) => {
                let events = before.as_ref().map(|before| differences(before, &now)).unwrap_or_default();
                before = Some(now);
                events
            }
            Err(error) => {
                tracing::debug!(%error, "the gateway was not looked at");
                Vec::new()
            }
        };
        if !agent.events.tell(&events) {
            return;
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn look(agent: &Agent) -> Result<Look> {
    let desired = state::load(&agent.paths)?;
    let sessions = status::read(agent.runner.as_ref())?.sessions.into_iter();
    let quotas = desired.as_ref().map(|desired| metrics::quotas(agent, desired)).unwrap_or_default();
    let services = metrics::services(agent, desired.as_ref())?.into_iter();
    Ok(Look {
        sessions: sessions.map(|session| (session.id, (session.user, session.client))).collect(),
        levels: quotas.iter().map(|size| (size.share.to_string(), level(size))).collect(),
        services: services.map(|service| (service.name, service.state)).collect(),
    })
}

/// The highest level that the share has passed.
fn level(size: &ShareSize) -> u8 {
    let used = u128::from(size.total.saturating_sub(size.available)) * 100;
    LEVELS.into_iter().find(|level| used >= u128::from(size.total) * u128::from(*level)).unwrap_or(0)
}

/// What happened between two looks.
fn differences(before: &Look, now: &Look) -> Vec<Event> {
    let mut events = Vec::new();
    let only = |these: &Look, those: &Look| -> Vec<(String, String)> {
        let new = these.sessions.iter().filter(|(id, _)| !those.sessions.contains_key(*id));
        new.map(|(_, who)| who.clone()).collect()
    };
    for (user, client) in only(before, now) {
        events.push(Event::SessionClosed { user, client });
    }
    for (user, client) in only(now, before) {
        events.push(Event::SessionOpened { user, client });
    }
    for (share, level) in &now.levels {
        if before.levels.get(share).unwrap_or(&0) != level {
            events.push(Event::QuotaLevel { share: share.clone(), level: *level });
        }
    }
    for (name, state) in &now.services {
        if before.services.get(name).is_some_and(|before| before != state) {
            events.push(Event::Service { name: name.clone(), state: state.clone() });
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use smbgw_api::ShareName;

    #[test]
    fn levels() {
        let at = |used: u64| {
            let share = ShareName::parse("a").unwrap();
            level(&ShareSize { share, limit: 1000, total: 1000, available: 1000 - used })
        };
        assert_eq!([0, 749, 750, 850, 949, 950, 1000].map(at), [0, 0, 75, 85, 85, 95, 95]);
    }

    #[test]
    fn each_difference_is_an_event() {
        let session = |id: &str, user: &str| (id.to_owned(), (user.to_owned(), "10.0.0.1".to_owned()));
        let before = Look {
            sessions: BTreeMap::from([session("1", "alice"), session("2", "bob")]),
            levels: BTreeMap::from([("a".to_owned(), 75), ("b".to_owned(), 0)]),
            services: BTreeMap::from([("smbd".to_owned(), "active".to_owned())]),
        };
        assert_eq!(differences(&before, &before), []);
        let now = Look {
            sessions: BTreeMap::from([session("2", "bob"), session("3", "bob")]),
            levels: BTreeMap::from([("a".to_owned(), 0), ("b".to_owned(), 0), ("c".to_owned(), 95)]),
            services: BTreeMap::from([("smbd".to_owned(), "failed".to_owned())]),
        };
        let text = serde_json::to_string(&differences(&before, &now)).unwrap();
        assert_eq!(
            text,
            r#"[{"event":"session-closed","user":"alice","client":"10.0.0.1"},{"event":"session-opened","user":"bob","client":"10.0.0.1"},{"event":"quota-level","share":"a","level":0},{"event":"quota-level","share":"c","level":95},{"event":"service","name":"smbd","state":"failed"}]"#
        );
    }
}
