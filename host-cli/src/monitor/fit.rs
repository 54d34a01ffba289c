//! What of an answer is taken. A gateway is less trusted than the node: it must not fill the history with names, nor write into
//! logs and onto terminals. Pure.

use smbgw_api::v1::Metrics;

use crate::output::foreign;

/// Most units, problems and names of processes; a gateway has a few.
const MOST: usize = 50;

/// Keeps what is of these shares, and of all else a number that can be; texts are made fit to be shown.
pub fn fit(mut metrics: Metrics, shares: &[String]) -> Metrics {
    let ours = |name: &str| shares.iter().any(|share| share == name);
    metrics.tree_connects.retain(|share, _| ours(share));
    metrics.share_traffic.retain(|share, _| ours(share));
    metrics.shares.retain(|space| ours(&space.share));
    metrics.quotas.retain(|quota| ours(quota.share.as_str()));
    metrics.shares.truncate(shares.len());
    metrics.quotas.truncate(shares.len());
    metrics.services.truncate(MOST);
    metrics.processes.truncate(MOST);
    metrics.problems.truncate(MOST);
    metrics.clients.truncate(Metrics::MAX_CLIENTS);
    let name = |text: &mut String| *text = foreign::name(text);
    for service in &mut metrics.services {
        name(&mut service.name);
        name(&mut service.state);
    }
    metrics.processes.iter_mut().for_each(|process| name(&mut process.name));
    for problem in &mut metrics.problems {
        *problem = foreign::sentence(problem);
    }
    for client in &mut metrics.clients {
        name(&mut client.client);
        client.users.truncate(MOST);
        client.users.iter_mut().for_each(name);
        client.shares.retain(|share| ours(share));
        client.by_share.retain(|share, _| ours(share));
        client.dialect.iter_mut().for_each(name);
    }
    if let Some(domain) = &mut metrics.domain {
        domain.faults.truncate(MOST);
        domain.faults.iter_mut().for_each(name);
    }
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;
    use smbgw_api::v1::{ClientFigures, ServiceState, ShareFigures, ShareSpace};

    #[test]
    fn a_gateway_speaks_of_its_own_shares_and_plainly() {
        let space = |share: &str| ShareSpace { share: share.into(), total_bytes: 1, available_bytes: 1 };
        let names = |count: usize| (0..count).map(|number| format!("share-{number}"));
        let metrics = Metrics {
            tree_connects: names(10_000).chain(["team".to_owned()]).map(|name| (name, 1)).collect(),
            share_traffic: names(10).map(|name| (name, ShareFigures::default())).collect(),
            shares: vec![space("team"), space("other"), space("team")],
            services: vec![ServiceState { name: "smbd".into(), state: "\u{1b}[2Jactive".into() }; 1000],
            problems: vec!["it\u{7} is\nbad".into()],
            clients: vec![ClientFigures {
                client: "10.0.0.1\u{1b}".into(),
                users: vec!["alice\n<0>".into()],
                shares: vec!["team".into(), "other".into()],
                ..ClientFigures::default()
            }],
            ..Metrics::default()
        };
        let fit = fit(metrics, &["team".to_owned()]);
        assert_eq!(fit.tree_connects.keys().collect::<Vec<_>>(), ["team"]);
        assert_eq!((fit.share_traffic.len(), fit.shares.len(), fit.services.len()), (0, 1, MOST));
        assert_eq!(fit.clients[0].shares, ["team"]);
        let texts =
            [&fit.services[0].state, &fit.clients[0].client, &fit.clients[0].users[0], &fit.problems[0]];
        assert!(texts.iter().all(|text| !text.chars().any(char::is_control)), "{texts:?}");
    }
}
