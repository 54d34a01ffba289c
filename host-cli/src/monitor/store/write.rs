//! Writing. Each round of looks is one transaction: a crash leaves all of it or nothing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use smbgw_api::v1::Traffic;

use super::{Result, StoreError, retain, salvage, schema};
use crate::monitor::alert::Standing;
use crate::monitor::sample::Sample;
use crate::monitor::settings::History;

/// How long another process may hold the file.
const BUSY: Duration = Duration::from_secs(2);

/// The history, open for writing.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
    settings: History,
    gateways: HashMap<String, i64>,
    shares: HashMap<(i64, String), i64>,
}

impl Store {
    /// Opens the history, makes it when there is none, and saves what can be saved of one that is damaged. Gives what is to be said
    /// about that.
    ///
    /// # Errors
    /// When it can neither be used nor made.
    pub fn open(path: &Path, settings: &History) -> Result<(Self, Vec<String>)> {
        match Self::open_sound(path, settings) {
            Err(StoreError::Damaged(error)) => salvage::salvage(path, settings, &error),
            Err(other) => Err(other),
            Ok(store) => Ok((store, Vec::new())),
        }
    }

    /// As [`Self::open`], but a damaged one is an error.
    pub(super) fn open_sound(path: &Path, settings: &History) -> Result<Self> {
        let connection = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE
                | OpenFlags::SQLITE_OPEN_CREATE
                | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.busy_timeout(BUSY)?;
        // with a write-ahead log a crash leaves whole transactions; what the last seconds had may be missing after a power loss
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 100; PRAGMA journal_size_limit = 1048576; PRAGMA temp_store = MEMORY;
             PRAGMA cache_size = -512;",
        )?;
        schema::prepare(&connection)?;
        let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if found != "ok" {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
            return Err(StoreError::Damaged(rusqlite::Error::SqliteFailure(code, Some(found))));
        }
        let page: i64 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
        let most = (settings.max_size.bytes() as i64 / page.max(1)).max(64);
        connection.query_row(&format!("PRAGMA max_page_count = {most}"), [], |row| row.get::<_, i64>(0))?;
        let mut store = Self {
            connection,
            path: path.to_owned(),
            settings: settings.clone(),
            gateways: HashMap::new(),
            shares: HashMap::new(),
        };
        store.learn()?;
        Ok(store)
    }

    fn learn(&mut self) -> Result<()> {
        self.gateways.clear();
        self.shares.clear();
        let mut names = self.connection.prepare("SELECT name, id FROM gateway")?;
        for row in names.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))? {
            let (name, id) = row?;
            self.gateways.insert(name, id);
        }
        let mut names = self.connection.prepare("SELECT gateway, name, id FROM share")?;
        for row in names.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))? {
            let (name, id) = row?;
            self.shares.insert(name, id);
        }
        Ok(())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the database, without its log.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn bytes(&self) -> Result<u64> {
        let ask =
            |what: &str| self.connection.query_row(&format!("PRAGMA {what}"), [], |row| row.get::<_, i64>(0));
        Ok((ask("page_count")? * ask("page_size")?) as u64)
    }

    /// Writes the samples of a round. When there is no room, what is oldest makes some.
    ///
    /// # Errors
    /// When it cannot be written; nothing of the round is written then.
    pub fn write(&mut self, samples: &[(String, Sample)]) -> Result<()> {
        let written = self.write_once(samples);
        if let Err(StoreError::Full(_)) = written {
            // ids given in the transaction that failed are not there
            self.learn()?;
            if retain::make_room(&self.connection)? {
                return self.write_once(samples);
            }
        } else if written.is_err() {
            let _ = self.learn();
        }
        written
    }

    fn write_once(&mut self, samples: &[(String, Sample)]) -> Result<()> {
        let transaction = self.connection.transaction()?;
        for (name, sample) in samples {
            let gateway = match self.gateways.get(name) {
                Some(id) => *id,
                None => {
                    let add = "INSERT INTO gateway (name) VALUES (?1) RETURNING id";
                    let id = transaction.query_row(add, [name], |row| row.get(0))?;
                    self.gateways.insert(name.clone(), id);
                    id
                }
            };
            let counted = if sample.traffic.is_some() { sample.span_ms } else { 0 };
            let traffic = columns(sample.traffic);
            let mut insert = transaction.prepare_cached(&insert("sample", "gateway", schema::GATEWAY))?;
            insert.execute(params![
                sample.at,
                gateway,
                1,
                sample.up,
                whole(sample.span_ms),
                whole(counted),
                whole(sample.sessions),
                whole(sample.open_files),
                whole(sample.pss_bytes >> 10),
                sample.failed_logons.map(whole),
                whole(sample.problems),
                traffic[0],
                traffic[1],
                traffic[2],
                traffic[3],
                traffic[4],
                traffic[5],
            ])?;
            for (share, figures) in &sample.shares {
                let key = (gateway, share.clone());
                let share = match self.shares.get(&key) {
                    Some(id) => *id,
                    None => {
                        let add = "INSERT INTO share (gateway, name) VALUES (?1, ?2) RETURNING id";
                        let id = transaction.query_row(add, params![gateway, share], |row| row.get(0))?;
                        self.shares.insert(key, id);
                        id
                    }
                };
                let counted = if figures.traffic.is_some() { sample.span_ms } else { 0 };
                let traffic = columns(figures.traffic);
                let mut insert = transaction.prepare_cached(&insert_of_share())?;
                insert.execute(params![
                    sample.at,
                    share,
                    1,
                    whole(sample.span_ms),
                    whole(counted),
                    whole(figures.tree_connects),
                    figures.size_bytes.map(|bytes| whole(bytes >> 10)),
                    figures.available_bytes.map(|bytes| whole(bytes >> 10)),
                    traffic[0],
                    traffic[1],
                    traffic[2],
                    traffic[3],
                    traffic[4],
                    traffic[5],
                ])?;
            }
        }
        if let Some(first) = samples.iter().map(|(_, sample)| sample.at).min() {
            retain::touch(&transaction, first)?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Sums up what is old enough, and drops what is too old. `steady` says that the clock has gone evenly for long: one that jumps
    /// ahead must not take the history with it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn tidy(&mut self, now: i64, steady: bool) -> Result<()> {
        retain::sum_up(&mut self.connection, now)?;
        if steady {
            retain::drop_old(&mut self.connection, &self.settings, now)?;
            self.learn()?;
        }
        Ok(())
    }

    /// Notes that something happened.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note(&mut self, at: i64, gateway: Option<&str>, kind: &str, text: &str) -> Result<()> {
        let add = "INSERT INTO event (at, gateway, kind, text) VALUES (?1, ?2, ?3, ?4)";
        self.connection.execute(add, params![at, gateway, kind, text])?;
        Ok(())
    }

    /// The time of the newest sample.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn newest(&self) -> Result<Option<i64>> {
        let find = "SELECT at FROM sample ORDER BY at DESC LIMIT 1";
        Ok(self.connection.query_row(find, [], |row| row.get(0)).optional()?)
    }

    /// Alerts that stood when they were kept last.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn alerts(&self) -> Result<Vec<Standing>> {
        let mut find = self
            .connection
            .prepare("SELECT gateway, kind, subject, since, severity, level, text FROM alert")?;
        let alerts = find.query_map([], |row| {
            let (kind, severity): (String, String) = (row.get(1)?, row.get(4)?);
            Ok(Standing::restore(
                row.get(0)?,
                &kind,
                row.get(2)?,
                row.get(3)?,
                &severity,
                row.get(5)?,
                row.get(6)?,
            ))
        })?;
        // a kind that this version does not know is not raised by it
        alerts.filter_map(|alert| alert.map_err(StoreError::from).transpose()).collect()
    }

    /// Keeps the alerts that stand.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn keep_alerts(&mut self, alerts: &[Standing]) -> Result<()> {
        let transaction = self.connection.transaction()?;
        transaction.execute("DELETE FROM alert", [])?;
        for alert in alerts {
            transaction.execute(
                "INSERT INTO alert (gateway, kind, subject, since, severity, level, text) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    alert.gateway,
                    alert.kind.as_str(),
                    alert.subject,
                    alert.since,
                    alert.severity.as_str(),
                    alert.level,
                    alert.text
                ],
            )?;
        }
        transaction.commit()?;
        Ok(())
    }

    pub(super) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    pub(super) fn relearn(&mut self) -> Result<()> {
        self.learn()
    }
}

/// Two samples of the same second, as of a late look and the one after it, are one: nothing that clients did is lost, nor what was
/// there before the clock was set back.
fn insert(table: &str, owner: &str, columns: &[(&str, &str)]) -> String {
    let marks = (1..=columns.len() + 2).map(|n| format!("?{n}")).collect::<Vec<_>>().join(", ");
    let both = columns.iter().map(|(name, how)| {
        let both = match *how {
            "sum" => format!("min({table}.{name} + excluded.{name}, {MOST})"),
            least_or_most => format!("{least_or_most}({table}.{name}, excluded.{name})"),
        };
        format!("{name} = coalesce({both}, {table}.{name}, excluded.{name})")
    });
    format!(
        "INSERT INTO {table} (at, {owner}, {}) VALUES ({marks}) ON CONFLICT (at, {owner}) DO UPDATE SET {}",
        schema::names(columns),
        both.collect::<Vec<_>>().join(", ")
    )
}

fn insert_of_share() -> String {
    insert("share_sample", "share", schema::SHARE)
}

/// More than this happens in no interval. SQLite's sums must not overflow, whatever a gateway says.
const MOST: u64 = 1 << 45;

fn whole(value: u64) -> i64 {
    value.min(MOST) as i64
}

/// Bytes, counts and times, in the order of the columns.
fn columns(traffic: Option<Traffic>) -> [Option<i64>; 6] {
    match traffic {
        None => [None; 6],
        Some(Traffic { read, write }) => {
            [read.bytes, write.bytes, read.count, write.count, read.time_us, write.time_us]
                .map(|value| Some(whole(value)))
        }
    }
}
