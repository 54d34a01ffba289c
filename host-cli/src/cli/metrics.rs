//! `metrics`

use std::collections::VecDeque;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use smbgw_api::GatewayName;
use smbgw_api::v1::Metrics;
use smbgw_command::Interrupt;

use super::args::{MetricsArgs, Span};
use super::asking::{Asked, First, pause};
use super::list::state_word;
use super::rates;
use crate::link::Agent;
use crate::monitor::store::Reader;
use crate::monitor::{history, run};
use crate::operation::{Context, Secrets};
use crate::output::screen::Looker;
use crate::output::view::{Figures, Frame, Silence, render};
use crate::platform::GuestState;
use crate::record::Record;
use crate::{Error, Result, record};

/// Between the two looks that a rate needs.
pub(super) const SECOND: Duration = Duration::from_secs(1);
/// An agent that takes longer is called silent; in a virtual machine, an answer takes a second or two.
pub(super) const SILENCE: Duration = Duration::from_secs(5);
/// Looks that are remembered, for a wide terminal.
const REMEMBERED: usize = 400;

pub(super) fn run(context: &Context, args: &MetricsArgs) -> Result<ExitCode> {
    if let Some(span) = args.history {
        return history(context, &args.name, span, args.step);
    }
    let record = context.platform.record(&args.name)?.ok_or_else(|| record::missing(&args.name))?;
    if args.watch {
        if context.output.is_json() {
            return Err(Error::usage("watch-json", "what is watched has no end, and a JSON document has")
                .hint("leave out --watch, and ask again as often as you need"));
        }
        return watch(context, &record, Duration::from_secs(args.interval.into()));
    }
    let name = &args.name;
    let state = context.platform.guest_state(name)?;
    if !matches!(state, GuestState::Running { .. }) {
        return Err(Error::resource("gateway-stopped", format!("gateway {name} does not run"))
            .hint(format!("pve-smbgateway start {name}")));
    }
    let interrupt = context.interrupt.clone();
    let asked = Asked::agent(context, name, move |agent| two_looks(agent, &interrupt));
    let (before, now, span) = asked.wait(&context.interrupt)?;
    let mode = record.spec.mode.to_string();
    context.output.data(&rates::figures(name.as_str(), &mode, Some((&before, span)), &now));
    Ok(ExitCode::SUCCESS)
}

/// Two looks at a gateway, and the time between them.
pub(super) fn two_looks(agent: &Agent, interrupt: &Interrupt) -> Result<(Metrics, Metrics, Duration)> {
    let before = agent.metrics()?;
    let then = Instant::now();
    pause(SECOND, interrupt)?;
    let now = agent.metrics()?;
    Ok((before, now, then.elapsed()))
}

/// What was in a time that has gone by.
fn history(context: &Context, name: &GatewayName, span: Span, step: Span) -> Result<ExitCode> {
    if step > span {
        return Err(Error::usage("step-too-long", format!("{step} is longer than {span}"))
            .hint("give a --step that fits into --history"));
    }
    let now = context.entropy()?.now.as_second();
    let range = history::range(span.seconds().into(), step.seconds().into(), now)?;
    let database = run::database(&context.paths.figures());
    let reader = Reader::open(&database)?.ok_or_else(|| {
        Error::resource("no-history", "there is no history on this node")
            .hint("systemctl enable --now pve-smbgateway-monitor, and wait for a minute")
    })?;
    // of one that is gone, the history is still there
    let history = history::read(&reader, name.as_str(), range)?;
    if history.points.is_empty() && context.platform.record(name)?.is_none() {
        return Err(record::missing(name));
    }
    context.output.data(&history);
    Ok(ExitCode::SUCCESS)
}

/// A look of a watcher.
struct Look {
    at: Instant,
    metrics: Metrics,
}

/// A look that failed.
struct Silent {
    why: String,
    /// How its guest is, in a word.
    state: Option<&'static str>,
}

/// What a watcher remembers.
struct Watched {
    gateway: String,
    mode: String,
    last: Option<Look>,
    figures: Option<Figures>,
    silent: Option<Silent>,
    /// When the question was asked that is open.
    asked: Option<Instant>,
    reads: VecDeque<Option<f64>>,
    writes: VecDeque<Option<f64>>,
}

impl Watched {
    fn new(gateway: String, mode: String) -> Self {
        Self {
            gateway,
            mode,
            last: None,
            figures: None,
            silent: None,
            asked: None,
            reads: VecDeque::new(),
            writes: VecDeque::new(),
        }
    }

    fn heard(&mut self, look: Look) {
        let earlier = self.last.as_ref().map(|last| (&last.metrics, look.at.duration_since(last.at)));
        let figures = rates::figures(&self.gateway, &self.mode, earlier, &look.metrics);
        // a first look has no rate, and is no gap either
        if self.last.is_some() {
            self.remember(figures.rates.map(|rates| (rates.read.bytes_per_s, rates.write.bytes_per_s)));
        }
        (self.figures, self.last, self.silent) = (Some(figures), Some(look), None);
    }

    fn not_heard(&mut self) {
        if self.last.is_some() {
            self.remember(None);
        }
    }

    fn remember(&mut self, rates: Option<(f64, f64)>) {
        for (past, value) in
            [(&mut self.reads, rates.map(|rates| rates.0)), (&mut self.writes, rates.map(|rates| rates.1))]
        {
            past.push_back(value);
            while past.len() > REMEMBERED {
                past.pop_front();
            }
        }
    }

    /// A question is open for so long that nobody expects an answer.
    fn hangs(&self, now: Instant, patience: Duration) -> bool {
        self.asked.is_some_and(|asked| now.duration_since(asked) >= patience)
    }

    fn frame(&self, now: Instant, patience: Duration) -> Frame {
        let state = self.silent.as_ref().and_then(|silent| silent.state);
        let age_s = self.last.as_ref().map_or(0, |last| now.duration_since(last.at).as_secs());
        let why = self.silent.as_ref().map(|silent| silent.why.clone());
        let silence = (self.silent.is_some() || self.hangs(now, patience)).then_some(Silence { why, age_s });
        Frame {
            gateway: self.gateway.clone(),
            mode: self.mode.clone(),
            state: state.unwrap_or("running").to_owned(),
            figures: self.figures.clone(),
            silence,
            reads: self.reads.iter().copied().collect(),
            writes: self.writes.iter().copied().collect(),
        }
    }
}

/// Looks at a gateway, and when its agent does not answer, at its guest.
fn look(context: &Context, record: &Record) -> Asked<std::result::Result<Look, Silent>> {
    let (context, record) = (context.clone(), record.clone());
    Asked::aside(move || {
        let agent = context.world(Secrets::new()).agent(record.name());
        let answer = agent.and_then(|agent| agent.metrics());
        Ok(answer.map(|metrics| Look { at: Instant::now(), metrics }).map_err(|error| {
            let state = context.platform.guest_state(record.name()).ok();
            Silent { why: error.chain(), state: state.map(|state| state_word(&record, state)) }
        }))
    })
}

fn watch(context: &Context, record: &Record, interval: Duration) -> Result<ExitCode> {
    let interrupt = &context.interrupt;
    let mut screen = context.output.screen();
    let mut watched = Watched::new(record.name().to_string(), record.spec.mode.to_string());
    let mut open = None;
    let hanging = SILENCE.max(interval * 2);
    loop {
        let begun = Instant::now();
        let question = open.take().unwrap_or_else(|| {
            watched.asked = Some(begun);
            look(context, record)
        });
        match question.wait_until(begun + interval, interrupt) {
            First::Interrupt => break,
            First::Time => {
                open = Some(question);
                if watched.hangs(Instant::now(), hanging) {
                    watched.not_heard();
                }
            }
            First::Answer(answer) => {
                watched.asked = None;
                match answer? {
                    Ok(look) => watched.heard(look),
                    Err(silent) => {
                        watched.not_heard();
                        watched.silent = Some(silent);
                    }
                }
            }
        }
        let frame = watched.frame(Instant::now(), hanging);
        if screen.draw(|width| render(&frame, width))? == Looker::Gone {
            break;
        }
        // the first rates soon
        let patience = if frame.figures.is_some_and(|figures| figures.interval_s.is_some()) {
            interval
        } else {
            interval.min(SECOND)
        };
        if pause(patience.saturating_sub(begun.elapsed()), interrupt).is_err() {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use smbgw_api::v1::{Operations, Traffic};

    fn look(at: Instant, bytes: u64) -> Look {
        let read = Operations { count: 1, bytes, time_us: 1 };
        let traffic = Some(Traffic { read, write: Operations::default() });
        Look { at, metrics: Metrics { traffic, ..Metrics::default() } }
    }

    #[test]
    fn watching_goes_on_through_silence() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut watched = Watched::new("team".into(), "lxc".into());
        watched.heard(look(at(0), 100));
        assert_eq!(watched.frame(at(0), SILENCE).reads, []);
        watched.heard(look(at(2), 300));
        assert_eq!(watched.frame(at(2), SILENCE).reads, [Some(100.0)]);
        // slow is not silent
        watched.asked = Some(at(2));
        assert_eq!(watched.frame(at(4), SILENCE).silence, None);
        let silence = watched.frame(at(8), SILENCE).silence;
        assert_eq!(silence, Some(Silence { why: None, age_s: 6 }));
        watched.not_heard();
        watched.silent = Some(Silent { why: "no".into(), state: Some("stopped") });
        let frame = watched.frame(at(9), SILENCE);
        assert_eq!((frame.state.as_str(), frame.reads.as_slice()), ("stopped", &[Some(100.0), None][..]));
        assert_eq!(frame.figures.unwrap().gateway, "team");
        watched.asked = None;
        watched.heard(look(at(12), 1300));
        let frame = watched.frame(at(12), SILENCE);
        assert_eq!((frame.silence, frame.reads.as_slice()), (None, &[Some(100.0), None, Some(100.0)][..]));
    }

    #[test]
    fn what_is_remembered_has_an_end() {
        let mut watched = Watched::new("team".into(), "lxc".into());
        watched.last = Some(look(Instant::now(), 0));
        (0..1000).for_each(|_| watched.not_heard());
        assert_eq!((watched.reads.len(), watched.writes.len()), (REMEMBERED, REMEMBERED));
    }
}
