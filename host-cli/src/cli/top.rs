//! `top`

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use smbgw_api::GatewayName;
use smbgw_api::v1::Metrics;
use smbgw_command::wait_until;

use super::args::TopArgs;
use super::asking::{Asked, pause};
use super::metrics::{SECOND, SILENCE, two_looks};
use super::rates;
use crate::Result;
use crate::operation::Context;
use crate::output::screen::Looker;
use crate::output::view::{Figures, TopList, TopRow, render_top};
use crate::platform::GuestState;
use crate::record::RecordState;

/// How often it is looked which gateways run: on Proxmox VE, that takes a second.
const ROUND: Duration = Duration::from_secs(15);

/// A gateway that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Runs {
    pub(super) name: GatewayName,
    pub(super) mode: String,
}

pub(super) fn run(context: &Context, args: &TopArgs) -> Result<ExitCode> {
    if args.once || context.output.is_json() {
        return once(context);
    }
    watch(context, Duration::from_secs(args.interval.into()))
}

/// Gateways of this node that run.
pub(super) fn running(context: &Context) -> Result<Vec<Runs>> {
    let mut records = Vec::new();
    for record in context.platform.records()? {
        if record.state == RecordState::Active && context.platform.is_here(&record)? {
            records.push(record);
        }
    }
    let states = context.platform.guest_states(&records)?;
    let running = records.iter().zip(states).filter(|(_, state)| matches!(state, GuestState::Running { .. }));
    Ok(running
        .map(|(record, _)| Runs { name: record.name().clone(), mode: record.spec.mode.to_string() })
        .collect())
}

fn once(context: &Context) -> Result<ExitCode> {
    let asked: Vec<_> = running(context)?
        .into_iter()
        .map(|runs| {
            let interrupt = context.interrupt.clone();
            let asked = Asked::agent(context, &runs.name, move |agent| two_looks(agent, &interrupt));
            (runs, asked)
        })
        .collect();
    let mut rows = Vec::new();
    for (runs, asked) in asked {
        rows.push(match asked.wait(&context.interrupt) {
            Ok((before, now, span)) => {
                let figures = rates::figures(runs.name.as_str(), &runs.mode, Some((&before, span)), &now);
                row(&runs, Some(&figures), None)
            }
            Err(error) if context.interrupt.is_set() => return Err(error),
            Err(error) => row(&runs, None, Some(error.chain())),
        });
    }
    context.output.data(&sorted(rows));
    Ok(ExitCode::SUCCESS)
}

/// A row; one that is silent shows no figures, lest they pass for those of now.
fn row(runs: &Runs, figures: Option<&Figures>, error: Option<String>) -> TopRow {
    let state = match (figures, &error) {
        (_, Some(_)) => "silent",
        (None, None) => "asked",
        (Some(_), None) => "running",
    };
    let base = TopRow {
        gateway: runs.name.to_string(),
        mode: runs.mode.clone(),
        state: state.to_owned(),
        ..TopRow::default()
    };
    match figures {
        Some(figures) if error.is_none() => TopRow {
            sessions: Some(figures.sessions),
            open_files: Some(figures.open_files),
            rates: figures.rates,
            memory_pss_bytes: Some(figures.memory_pss_bytes),
            cpu_percent: figures.cpu_percent,
            failed_logons: figures.failed_logons.map(|failed| failed.total),
            problems: figures.problems.clone(),
            ..base
        },
        _ => TopRow { error, ..base },
    }
}

fn sorted(mut rows: Vec<TopRow>) -> TopList {
    rows.sort_by(|a, b| {
        rates::busier(a.rates.as_ref(), b.rates.as_ref()).then_with(|| a.gateway.cmp(&b.gateway))
    });
    TopList { gateways: rows }
}

/// What is known of a gateway that is watched.
struct Watched {
    runs: Runs,
    asked: Option<(Instant, Asked<(Instant, Metrics)>)>,
    last: Option<(Instant, Metrics)>,
    figures: Option<Figures>,
    error: Option<String>,
}

impl Watched {
    fn new(runs: Runs) -> Self {
        Self { runs, asked: None, last: None, figures: None, error: None }
    }

    /// Takes an answer that has come.
    fn hear(&mut self) {
        match self.asked.as_ref().and_then(|(_, asked)| asked.answer()) {
            None => {}
            Some(Err(error)) => (self.asked, self.error) = (None, Some(error.chain())),
            Some(Ok((at, metrics))) => {
                let earlier = self.last.as_ref().map(|(then, before)| (before, at.duration_since(*then)));
                let name = self.runs.name.as_str();
                self.figures = Some(rates::figures(name, &self.runs.mode, earlier, &metrics));
                (self.asked, self.error, self.last) = (None, None, Some((at, metrics)));
            }
        }
    }

    /// Asks, unless a question is still open.
    fn ask(&mut self, context: &Context) {
        if self.asked.is_none() {
            let asked = Asked::agent(context, &self.runs.name, |agent| {
                let metrics = agent.metrics()?;
                Ok((Instant::now(), metrics))
            });
            self.asked = Some((Instant::now(), asked));
        }
    }

    /// A question of this round is open.
    fn is_awaited(&self, round: Instant) -> bool {
        self.asked.as_ref().is_some_and(|(since, _)| *since >= round)
    }

    fn row(&self, patience: Duration) -> TopRow {
        let hangs = self.asked.as_ref().map(|(since, _)| since.elapsed()).filter(|time| *time > patience);
        let hangs = hangs.map(|time| format!("no answer for {} s", time.as_secs()));
        row(&self.runs, self.figures.as_ref(), self.error.clone().or(hangs))
    }
}

fn watch(context: &Context, interval: Duration) -> Result<ExitCode> {
    let mut screen = context.output.screen();
    let mut watched: BTreeMap<GatewayName, Watched> = BTreeMap::new();
    adopt(&mut watched, running(context)?);
    let (mut looked, mut looking) = (Instant::now(), None);
    let mut first = true;
    loop {
        let round = Instant::now();
        if looking.is_none() && looked.elapsed() >= ROUND {
            let context = context.clone();
            looking = Some(Asked::aside(move || running(&context)));
        }
        if let Some(answer) = looking.as_ref().and_then(Asked::answer) {
            // a platform that does not answer now may do so later
            if let Ok(running) = answer {
                adopt(&mut watched, running);
            }
            (looked, looking) = (Instant::now(), None);
        }
        for one in watched.values_mut() {
            one.hear();
            one.ask(context);
        }
        // one that has not answered in an earlier round is not waited for
        let _ = wait_until("the agents' answers", interval / 2, &context.interrupt, || {
            watched.values_mut().for_each(Watched::hear);
            watched.values().all(|one| !one.is_awaited(round)).then_some(())
        });
        let list = sorted(watched.values().map(|one| one.row(SILENCE.max(interval * 2))).collect());
        if screen.draw(|width| render_top(&list, width))? == Looker::Gone {
            break;
        }
        let patience = if first { interval.min(SECOND) } else { interval };
        first = false;
        if pause(patience.saturating_sub(round.elapsed()), &context.interrupt).is_err() {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Forgets gateways that do not run any more, and takes on those that do.
fn adopt(watched: &mut BTreeMap<GatewayName, Watched>, running: Vec<Runs>) {
    watched.retain(|_, one| running.contains(&one.runs));
    for runs in running {
        watched.entry(runs.name.clone()).or_insert_with(|| Watched::new(runs));
    }
}
