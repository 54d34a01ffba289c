//! A damaged file: it is moved aside, and what can be read of it goes into a new one.
//!
//! Each table is read from its beginning until it cannot be read, and from its end likewise. What is between the two is lost.

use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};

use super::schema::SERIES;
use super::{Result, Store, StoreError};
use crate::monitor::settings::History;

/// Where a damaged file is kept; an older one goes.
pub(super) fn aside(path: &Path) -> PathBuf {
    path.with_extension("damaged.db")
}

/// Files that belong to a database.
fn family(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|suffix| PathBuf::from(format!("{}{suffix}", path.display())))
}

pub(super) fn salvage(
    path: &Path,
    settings: &History,
    error: &rusqlite::Error,
) -> Result<(Store, Vec<String>)> {
    let aside = aside(path);
    for (from, to) in family(path).into_iter().zip(family(&aside)) {
        let doing = || format!("moving {} aside", from.display());
        match std::fs::remove_file(&to) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::File { doing: doing(), source });
            }
            _ => {}
        }
        match std::fs::rename(&from, &to) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::File { doing: doing(), source });
            }
            _ => {}
        }
    }
    let mut store = Store::open_sound(path, settings)?;
    let mut said =
        vec![format!("the history was damaged ({error}); the damaged file is kept as {}", aside.display())];
    match copy(&aside, store.connection()) {
        Ok(lines) => said.extend(lines),
        Err(error) => said.push(format!("nothing of it could be saved: {error}")),
    }
    store.relearn()?;
    Ok((store, said))
}

/// Copies what can be read; says of each table what came of it.
fn copy(from: &Path, to: &mut Connection) -> rusqlite::Result<Vec<String>> {
    let old = Connection::open_with_flags(
        from,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    let (mut said, mut total) = (Vec::new(), 0);
    let transaction = to.transaction()?;
    let keyed = ["gateway", "share", "event"].map(|table| (table, "id"));
    let unordered = [("alert", "gateway"), ("mark", "name")];
    let series = SERIES.iter().flat_map(|(detail, sum, ..)| [(*detail, "at"), (*sum, "at")]);
    for (table, key) in keyed.into_iter().chain(unordered).chain(series) {
        let up = pass(&old, &transaction, table, key, "ASC")?;
        let mut saved = up.rows;
        if let Some(error) = up.ended {
            let down = pass(&old, &transaction, table, key, "DESC")?;
            saved += down.rows;
            let word = |key: Option<Value>| match key {
                Some(Value::Integer(at)) if table.contains("sample") || table == "mark" => time(at),
                Some(Value::Integer(id)) => id.to_string(),
                Some(Value::Text(text)) => text,
                _ => "the end".to_owned(),
            };
            said.push(format!(
                "{table}: {saved} rows were saved; lost is what was between {} and {} ({error})",
                up.last.map_or_else(|| "the beginning".to_owned(), |key| word(Some(key))),
                word(down.last)
            ));
        } else if saved > 0 {
            said.push(format!("{table}: all {saved} rows were saved"));
        }
        total += saved;
    }
    transaction.commit()?;
    if total == 0 {
        said = vec!["nothing of it could be saved".to_owned()];
    }
    Ok(said)
}

struct Pass {
    rows: usize,
    last: Option<Value>,
    ended: Option<rusqlite::Error>,
}

/// Reads a table in one direction until its end, or until it cannot be read.
fn pass(
    from: &Connection,
    to: &Connection,
    table: &str,
    key: &str,
    direction: &str,
) -> rusqlite::Result<Pass> {
    let mut pass = Pass { rows: 0, last: None, ended: None };
    let mut read = || -> rusqlite::Result<()> {
        let mut select = from.prepare(&format!("SELECT * FROM {table} ORDER BY {key} {direction}"))?;
        let columns: Vec<String> = select.column_names().map(str::to_owned).collect();
        let at = columns.iter().position(|column| column == key).unwrap_or(0);
        let marks = (1..=columns.len()).map(|n| format!("?{n}")).collect::<Vec<_>>().join(", ");
        let insert = format!("INSERT OR IGNORE INTO {table} ({}) VALUES ({marks})", columns.join(", "));
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let values: Vec<Value> =
                (0..columns.len()).map(|n| row.get(n)).collect::<rusqlite::Result<_>>()?;
            pass.last = values.get(at).cloned();
            // what no column can hold was no row
            pass.rows += to.prepare_cached(&insert)?.execute(params_from_iter(values)).unwrap_or(0);
        }
        Ok(())
    };
    if let Err(error) = read() {
        pass.ended = Some(error);
    }
    Ok(pass)
}

fn time(at: i64) -> String {
    jiff::Timestamp::from_second(at).map_or_else(|_| at.to_string(), |at| at.to_string())
}
