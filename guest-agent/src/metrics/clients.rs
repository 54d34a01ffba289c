//! Connections of clients: each is an smbd of its own, whatever sessions are in it.

use std::collections::{BTreeMap, BTreeSet};

use smbgw_api::v1::{ClientFigures, Metrics, Session, Traffic};

use crate::samba::status::Status;
use crate::traffic::books::Figures;

/// Clients, the busiest first.
pub(super) fn of(status: &Status, traffic: &Figures) -> Vec<ClientFigures> {
    let mut processes: BTreeMap<u32, Vec<&Session>> = BTreeMap::new();
    for session in &status.sessions {
        if let Some(pid) = status.servers.get(&session.id) {
            processes.entry(*pid).or_default().push(session);
        }
    }
    let mut clients: Vec<ClientFigures> =
        processes.iter().map(|(pid, sessions)| client(*pid, sessions, status, traffic)).collect();
    let bytes = |client: &ClientFigures| {
        let Traffic { read, write } = client.traffic.unwrap_or_default();
        read.bytes.saturating_add(write.bytes)
    };
    clients.sort_by(|a, b| {
        bytes(b).cmp(&bytes(a)).then_with(|| (&a.client, &a.users).cmp(&(&b.client, &b.users)))
    });
    clients.truncate(Metrics::MAX_CLIENTS);
    clients
}

fn client(pid: u32, sessions: &[&Session], status: &Status, traffic: &Figures) -> ClientFigures {
    let users: BTreeSet<&String> = sessions.iter().map(|session| &session.user).collect();
    let known = traffic.processes.get(&pid);
    let first = sessions.first();
    ClientFigures {
        client: first.map(|session| session.client.clone()).unwrap_or_default(),
        users: users.into_iter().cloned().collect(),
        shares: status.open.get(&pid).into_iter().flatten().cloned().collect(),
        sessions: sessions.len() as u64,
        dialect: first.and_then(|session| session.dialect.clone()),
        signed: sessions.iter().all(|session| session.signing.is_some()),
        encrypted: sessions.iter().all(|session| session.encryption.is_some()),
        traffic: known.map(|(traffic, _)| *traffic),
        by_share: known.map(|(_, shares)| shares.clone()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samba::status;
    use smbgw_api::v1::Operations;

    #[test]
    fn a_client_is_a_process() {
        let status = status::parse(include_str!("../samba/fixtures/smbstatus-4.22.json")).unwrap();
        let pids: Vec<u32> = status.servers.values().copied().collect();
        let read = |bytes| Traffic { read: Operations { bytes, ..Default::default() }, ..Default::default() };
        let mut traffic = Figures::default();
        traffic.processes.insert(pids[1], (read(7), BTreeMap::from([("Team Files".to_owned(), read(7))])));
        let clients = of(&status, &traffic);
        assert_eq!(clients.len(), 2);
        assert_eq!((clients[0].traffic, clients[1].traffic), (Some(read(7)), None));
        assert_eq!(clients[0].by_share.len(), 1);
        for client in &clients {
            assert_eq!(
                (client.users.as_slice(), client.sessions, client.signed),
                (&["alice".to_owned()][..], 1, true)
            );
            assert_eq!(
                (client.shares.as_slice(), client.client.as_str()),
                (&["Team Files".to_owned()][..], "10.78.0.1")
            );
        }
        assert_eq!(clients.iter().filter(|client| client.encrypted).count(), 1);
    }
}
