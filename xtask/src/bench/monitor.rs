//! The service that watches gateways: what it takes with many of them while some do not answer, and what one look costs in a
//! gateway.
//!
//! Containers are few, since each takes several of the kernel's inotify instances and all of them count as one user. So there are
//! more agents in them: real ones, each with a mount namespace and books of its own, that ask the same Samba. A record that was
//! copied and a link directory make a gateway of each.

mod node;

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use smbgw_lab::{Monitor, Product, Session, monitor};

use self::node::{Node, ask};
use super::gateway::Bench;
use super::{Figures, seconds};
use crate::say;

/// Gateways that answer; another number for a quick try.
const GATEWAYS: (&str, u64) = ("SMBGW_BENCH_GATEWAYS", 50);
/// Seconds that they are watched.
const WATCHED: (&str, u64) = ("SMBGW_BENCH_SECONDS", 195);
/// The service's usual interval.
const INTERVAL: Duration = Duration::from_secs(15);
/// Containers among the gateways.
const CONTAINERS: usize = 4;
/// Containers that do not answer as they should.
const HUNG: &str = "hung";
const GARBAGE: &str = "garbage";
/// A record of which nothing else is there.
const GONE: &str = "gone";
/// Sessions of each container.
const SESSIONS: usize = 10;
/// Requests to one agent, and the time between two: it answers from memory for a second.
const REQUESTS: usize = 20;
const PAUSE: Duration = Duration::from_millis(1100);
/// For what starts.
const DEADLINE: Duration = Duration::from_secs(60);
/// Clock ticks in a second, as /proc gives times (proc(5), USER_HZ).
const TICKS: f64 = 100.0;

pub(super) fn run(bench: &Bench, figures: &mut Figures) -> Result<()> {
    let (count, watched) = (number(GATEWAYS)? as usize, Duration::from_secs(number(WATCHED)?));
    let containers = CONTAINERS.min(count);
    say::step("monitor", &format!("{} containers", containers + 2));
    let mut node = Node::new(bench);
    for number in 1..=containers {
        node.create(&format!("real{number}"))?;
    }

    say::step("monitor", &format!("{REQUESTS} looks at one gateway"));
    // what a start leaves to be done is over then
    std::thread::sleep(Duration::from_secs(10));
    agent_cost(figures, "idle", "idle")?;
    let mut sessions = node.sessions("real1")?;
    agent_cost(figures, "busy", &format!("{SESSIONS} sessions"))?;

    say::step("monitor", &format!("{count} gateways, three more that do not answer"));
    for number in 2..=containers {
        sessions.extend(node.sessions(&format!("real{number}"))?);
    }
    for number in containers..count {
        node.add(&format!("real{}", number % containers + 1), &format!("copy{number}"))?;
    }
    let healthy = node.names();
    let hung = node.hang()?;
    let garbage = node.talk_nonsense()?;
    node.copy("real1", GONE)?;
    let listed = bench.host(&["list"])?.data()?;
    let all = listed.as_array().or_else(|| listed["gateways"].as_array()).map_or(0, Vec::len);
    ensure!(all == count + 3, "{all} gateways are listed: {listed}");
    one_by_one(figures, &healthy)?;
    let what = format!("{containers} containers and {} more agents in them", count - containers);
    watch(bench, figures, &healthy, &what, &mut sessions, watched)?;
    drop((sessions, garbage, hung));
    node.remove()
}

/// A number that the environment may set.
fn number((name, usual): (&str, u64)) -> Result<u64> {
    match std::env::var(name) {
        Ok(text) => text.parse().ok().filter(|number| *number > 0).with_context(|| format!("{name}={text}")),
        Err(_) => Ok(usual),
    }
}

/// What looks at the first container cost in it.
fn agent_cost(figures: &mut Figures, key: &str, state: &str) -> Result<()> {
    let figure = |answer: &Value, name: &str| answer["agent"][name].as_f64().with_context(|| name.to_owned());
    let before = figure(&ask("real1")?, "cpu_s")?;
    let (mut beyond, mut asked, mut last) = (Vec::new(), Vec::new(), Value::Null);
    for _ in 0..REQUESTS {
        std::thread::sleep(PAUSE);
        last = ask("real1")?;
        let (collect, smbstatus) = (figure(&last, "collect_us")?, figure(&last, "smbstatus_us")?);
        beyond.push(Duration::from_secs_f64((collect - smbstatus) / 1e6));
        asked.push(Duration::from_secs_f64(smbstatus / 1e6));
    }
    let (resident, cpu) = (figure(&last, "resident_bytes")?, figure(&last, "cpu_s")? - before);
    let (beyond, asked) = (Spread::of(&mut beyond), Spread::of(&mut asked));
    let each = Duration::from_secs_f64(cpu / REQUESTS as f64);
    figures.add(
        &format!("monitor_agent_{key}_beyond_smbstatus"),
        &format!("a look, {state}: beyond smbstatus"),
        format!("{} (target: 20 ms at most; {REQUESTS} looks)", beyond.text()),
        beyond.json(),
    );
    figures.add(
        &format!("monitor_agent_{key}_smbstatus"),
        &format!("a look, {state}: smbstatus"),
        asked.text(),
        asked.json(),
    );
    figures.add(
        &format!("monitor_agent_{key}_resident_bytes"),
        &format!("agent's resident memory, {state}"),
        format!("{} (target: 8 MB at most)", say::megabytes(resident as u64)),
        json!(resident),
    );
    let what = format!("agent's processor time for a look, {state}");
    figures.add(
        &format!("monitor_agent_{key}_cpu"),
        &what,
        format!("{}, without smbstatus", say::seconds(each)),
        seconds(each),
    );
    Ok(())
}

/// What looks take when nothing else is looked at meanwhile.
fn one_by_one(figures: &mut Figures, names: &[String]) -> Result<()> {
    let start = Instant::now();
    let mut times =
        names.iter().map(|name| Ok(say::timed(|| ask(name))?.1)).collect::<Result<Vec<Duration>>>()?;
    let (all, spread) = (start.elapsed(), Spread::of(&mut times));
    figures.add(
        "monitor_one_by_one",
        "a look, one gateway after the other",
        format!("{}; {} of them in {}", spread.text(), names.len(), say::seconds(all)),
        spread.json(),
    );
    Ok(())
}

/// The middle, the 99th of a hundred, and the largest.
struct Spread {
    median: Duration,
    p99: Duration,
    most: Duration,
}

impl Spread {
    fn of(times: &mut [Duration]) -> Self {
        times.sort();
        let at = |part: usize| times.get((times.len() * part / 100).min(times.len().saturating_sub(1)));
        let at = |part| at(part).copied().unwrap_or_default();
        Self { median: at(50), p99: at(99), most: at(100) }
    }

    fn text(&self) -> String {
        let Self { median, p99, most } = self;
        let [median, p99, most] = [median, p99, most].map(|time| say::seconds(*time));
        format!("median {median}, 99 % within {p99}, most {most}")
    }

    fn json(&self) -> Value {
        json!({"median_s": seconds(self.median), "p99_s": seconds(self.p99), "max_s": seconds(self.most)})
    }
}

/// The service at one time, when all looks of a round have ended.
struct Glance {
    at: Instant,
    /// Ticks of the processor: its own, and of programs it ran.
    ticks: (u64, u64),
    resident_kib: u64,
    pss_kib: u64,
    round: Duration,
    database: u64,
    /// How long the healthy ones took; none where a look got no answer. An agent that was added has no container of its own, so
    /// the service then holds its gateway to be off.
    took: Vec<Option<Duration>>,
    /// When they were looked at.
    looked: Vec<Option<i64>>,
    /// States of the three that are not well.
    others: Vec<String>,
}

impl Glance {
    fn take(pid: u32, healthy: &[String]) -> Result<Self> {
        let (at, ticks) = (Instant::now(), ticks(pid)?);
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let text = monitor::get("/metrics")?;
        let own = |name: &str| monitor::sample(&text, name).with_context(|| format!("no {name}"));
        let took = healthy
            .iter()
            .map(|name| {
                let labels = format!("{{gateway=\"{name}\",mode=\"lxc\"}}");
                let up = monitor::sample(&text, &format!("smbgw_up{labels}")) == Some(1.0);
                let took = monitor::sample(&text, &format!("smbgw_collect_seconds{labels}"));
                took.filter(|_| up).map(Duration::from_secs_f64)
            })
            .collect();
        let overviews = monitor::get_json("/api/v1/gateways")?;
        let overview = |name: &str| {
            let mut all = overviews["gateways"].as_array().into_iter().flatten();
            all.find(|gateway| gateway["name"] == name)
        };
        // not there yet: the first look has not ended
        let looked = healthy.iter().map(|name| overview(name)?["at"].as_i64()).collect();
        let others = [HUNG, GARBAGE, GONE]
            .iter()
            .map(|name| overview(name).and_then(|gateway| gateway["state"].as_str()).unwrap_or("not seen"))
            .zip([HUNG, GARBAGE, GONE])
            .map(|(state, name)| format!("{name}: {state}"))
            .collect();
        Ok(Self {
            at,
            ticks,
            resident_kib: field(&rollup, "Rss:")?,
            pss_kib: field(&rollup, "Pss:")?,
            round: Duration::from_secs_f64(own("smbgw_monitor_round_seconds")?),
            database: own("smbgw_monitor_database_bytes")? as u64,
            took,
            looked,
            others,
        })
    }

    /// How long those took that were looked at after another glance.
    fn took_since(&self, earlier: &Self) -> Vec<Option<Duration>> {
        let looked = self.looked.iter().zip(&earlier.looked).map(|(now, before)| now > before);
        self.took.iter().zip(looked).filter(|(_, anew)| *anew).map(|(took, _)| *took).collect()
    }
}

/// utime and stime, of the process and of its children that have ended (proc(5), `stat`).
fn ticks(pid: u32) -> Result<(u64, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // what is before it may hold spaces
    let (_, fields) = stat.rsplit_once(") ").context("no fields")?;
    let fields: Vec<u64> =
        fields.split(' ').skip(11).take(4).map(str::parse).collect::<Result<_, _>>().context("fields")?;
    let [user, system, children, children_system] = fields[..] else { anyhow::bail!("too few fields") };
    Ok((user + system, children + children_system))
}

/// A number of a file of /proc.
fn field(text: &str, name: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).with_context(|| format!("no {name}"))
}

/// Runs the service over them, and looks at it once in each round, as Prometheus would.
fn watch(
    bench: &Bench,
    figures: &mut Figures,
    healthy: &[String],
    what: &str,
    sessions: &mut [Session],
    watched: Duration,
) -> Result<()> {
    let product = Product::from_environment()?;
    let settings = format!("interval: {}\n", INTERVAL.as_secs());
    let mut service = Monitor::start(&product, &bench.directory, &settings)?;
    let pid = service.daemon()?.pid();
    let start = Instant::now();
    let mut glances = Vec::new();
    while start.elapsed() < watched || glances.len() < 3 {
        let next = start + INTERVAL * 4 / 5 + INTERVAL * u32::try_from(glances.len())?;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        glances.push(Glance::take(pid, healthy)?);
        // something for the next round to count
        for session in &mut *sessions {
            session.read("first.txt", 1)?;
        }
        service.daemon()?.expect_running()?;
    }
    tell(figures, healthy, what, start, &glances)?;
    let history = samples(healthy)?;
    let gap = glances
        .windows(2)
        .flat_map(|pair| {
            pair[0].looked.iter().zip(&pair[1].looked).filter_map(|(first, then)| Some((*then)? - (*first)?))
        })
        .max();
    let text = monitor::get("/metrics")?;
    let lost =
        monitor::sample(&text, "smbgw_monitor_lost_samples_total").context("no count of lost samples")?;
    let others = glances.last().map(|glance| glance.others.join(", ")).unwrap_or_default();
    figures.add(
        "monitor_samples",
        "  samples of each healthy one",
        format!(
            "{} to {} in {} intervals, {} s between two looks at most, {lost} lost; {others}",
            history.0,
            history.1,
            glances.len() - 1,
            gap.unwrap_or(0)
        ),
        json!({"least": history.0, "most": history.1, "intervals": glances.len() - 1, "gap_s": gap, "lost": lost}),
    );
    service.stop()
}

fn tell(
    figures: &mut Figures,
    healthy: &[String],
    what: &str,
    start: Instant,
    glances: &[Glance],
) -> Result<()> {
    let (Some(first), Some(last)) = (glances.first(), glances.last()) else { anyhow::bail!("no rounds") };
    let span = (last.at - first.at).as_secs_f64();
    let fresh: Vec<Vec<Option<Duration>>> = std::iter::once(first.took.clone())
        .chain(glances.windows(2).map(|pair| pair[1].took_since(&pair[0])))
        .collect();
    let looks: usize = fresh.iter().skip(1).map(Vec::len).sum();
    let share = |before: u64, after: u64| (after - before) as f64 / TICKS / span * 100.0;
    let own = share(first.ticks.0, last.ticks.0);
    let programs = share(first.ticks.1, last.ticks.1);
    figures.add(
        "monitor_cpu_percent",
        &format!("service with {} gateways", healthy.len()),
        format!(
            "{own:.2} % of a core, {programs:.2} % more in programs it ran for those that do not answer ({what}; {looks} looks in {span:.0} s, each round asked for /metrics once)"
        ),
        json!({"own": own, "programs": programs, "gateways": healthy.len(), "looks": looks, "span_s": span}),
    );
    // of the first minute, much is only the beginning
    let settled = glances.iter().find(|glance| glance.at - start >= Duration::from_secs(60)).unwrap_or(first);
    figures.add(
        "monitor_memory",
        "  its memory",
        format!(
            "{} resident, {} PSS ({} PSS {:.0} s before)",
            say::mib(last.resident_kib),
            say::mib(last.pss_kib),
            say::mib(settled.pss_kib),
            (last.at - settled.at).as_secs_f64()
        ),
        json!({"resident_kib": last.resident_kib, "pss_kib": last.pss_kib, "pss_kib_before": settled.pss_kib}),
    );
    let all = fresh.concat();
    let mut took: Vec<Duration> = all.iter().copied().flatten().collect();
    let spread = Spread::of(&mut took);
    let missed = all.len() - took.len();
    figures.add(
        "monitor_collect",
        "  a look at a healthy one",
        format!("{} ({} looks; {missed} more got no answer)", spread.text(), took.len()),
        spread.json(),
    );
    let mut slowest: Vec<Duration> =
        fresh.iter().filter_map(|took| took.iter().flatten().max().copied()).collect();
    let (slowest, mut rounds) =
        (Spread::of(&mut slowest), glances.iter().map(|glance| glance.round).collect::<Vec<_>>());
    let rounds = Spread::of(&mut rounds);
    figures.add(
        "monitor_round",
        "  a round",
        format!(
            "{} with the three that do not answer (median; most {}); the slowest healthy one {} (most {})",
            say::seconds(rounds.median),
            say::seconds(rounds.most),
            say::seconds(slowest.median),
            say::seconds(slowest.most)
        ),
        json!({"slowest_healthy": slowest.json(), "all": rounds.json()}),
    );
    // a first look makes no sample, and the tables have their first pages with the first ones
    let written: usize = fresh.iter().skip(2).map(Vec::len).sum();
    let bytes = glances.get(1).map_or(0, |glance| last.database.saturating_sub(glance.database));
    // two of the three others have rows, too, but no shares
    let each = bytes as f64 / written.max(1) as f64;
    let day = each * healthy.len() as f64 * 86_400.0 / INTERVAL.as_secs_f64();
    figures.add(
        "monitor_database",
        "  its database",
        format!(
            "{each:.0} bytes for each look (its row and its share's: {} more pages of 4096 bytes for {written} looks), hence {} a day if none is left out",
            bytes / 4096,
            say::megabytes(day as u64)
        ),
        json!({"bytes_per_look": each, "bytes_per_day": day, "bytes": bytes, "looks": written}),
    );
    Ok(())
}

/// Fewest and most answered looks that the history has of a healthy one.
fn samples(healthy: &[String]) -> Result<(u64, u64)> {
    let (mut least, mut most) = (u64::MAX, 0);
    for name in healthy {
        // the usual steps: with finer ones a history that begins within five minutes has them at its very beginning
        let history = monitor::get_json(&format!("/api/v1/gateways/{name}/history"))?;
        let points = history["points"].as_array().into_iter().flatten();
        let answered = points.filter_map(|point| point["answered"].as_u64()).sum();
        (least, most) = (least.min(answered), most.max(answered));
    }
    Ok((least, most))
}
