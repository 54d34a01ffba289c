//! One JSON file a gateway.

use std::io::ErrorKind;
use std::path::PathBuf;

use smbgw_api::GatewayName;

use crate::paths::Paths;
use crate::record::{RECORD_VERSION, Record};
use crate::{Error, Result, durable};

fn path(paths: &Paths, name: &GatewayName) -> PathBuf {
    paths.records().join(format!("{name}.json"))
}

/// All records, by name.
///
/// # Errors
/// When the directory or a record cannot be read.
pub fn all(paths: &Paths) -> Result<Vec<Record>> {
    let directory = paths.records();
    let io = |source| Error::io(format!("listing {}", directory.display()), source);
    let entries = match std::fs::read_dir(&directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(io)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let file = entry.map_err(io)?.file_name();
        if let Some(name) = file.to_str().and_then(|f| f.strip_suffix(".json"))
            && let Ok(name) = GatewayName::parse(name)
        {
            names.push(name);
        }
    }
    names.sort();
    names.iter().filter_map(|name| read(paths, name).transpose()).collect()
}

/// One record.
///
/// # Errors
/// When it cannot be read, or is of a version that this program does not know.
pub fn read(paths: &Paths, name: &GatewayName) -> Result<Option<Record>> {
    let path = path(paths, name);
    let text = match std::fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|source| Error::io(format!("reading {}", path.display()), source))?,
    };
    let record: Record = serde_json::from_slice(&text).map_err(|source| {
        Error::infrastructure("record-damaged", format!("the record {} cannot be read", path.display()))
            .hint("it was written by a newer version, or by hand")
            .source(source)
    })?;
    if record.version != RECORD_VERSION || record.name() != name {
        return Err(Error::infrastructure(
            "record-damaged",
            format!("the record {} is of version {} for {}", path.display(), record.version, record.name()),
        )
        .hint("it was written by a newer version, or by hand"));
    }
    Ok(Some(record))
}

/// Adds a record; under the node's lock.
///
/// # Errors
/// Codes `name-taken` and `address-taken`.
pub fn add(paths: &Paths, record: &Record) -> Result<()> {
    let others = all(paths)?;
    if let Some(same) = others.iter().find(|other| other.name() == record.name()) {
        // the same record: this step runs for the second time
        if same == record {
            return Ok(());
        }
        return Err(Error::resource("name-taken", format!("there is a gateway {} already", record.name()))
            .hint("choose another name, or change that one with `pve-smbgateway set`"));
    }
    if let Some(ip) = record.guest.ip()
        && let Some(other) = others.iter().find(|o| o.guest.ip() == Some(ip))
    {
        return Err(Error::resource(
            "address-taken",
            format!("gateway {} has the address {ip}", other.name()),
        )
        .hint("choose another address, or leave out --ip"));
    }
    durable::make_directory(&paths.records(), 0o755)?;
    durable::create(&path(paths, record.name()), 0o600, &bytes(record)?)
}

/// Replaces a record.
///
/// # Errors
/// When it cannot be written.
pub fn put(paths: &Paths, record: &Record) -> Result<()> {
    durable::make_directory(&paths.records(), 0o755)?;
    durable::replace(&path(paths, record.name()), 0o600, &bytes(record)?)
}

/// Removes a record.
///
/// # Errors
/// When it cannot be removed.
pub fn remove(paths: &Paths, name: &GatewayName) -> Result<()> {
    durable::remove_file(&path(paths, name))
}

fn bytes(record: &Record) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(record)
        .map_err(|source| Error::internal("writing a record").source(source))?;
    bytes.push(b'\n');
    Ok(bytes)
}
