//! Ids of users and groups that gateways had: one JSON file a gateway. They outlive it.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use smbgw_api::{GatewayName, IdBook};

use crate::paths::Paths;
use crate::{Error, Result, durable};

/// All of them.
///
/// # Errors
/// When one cannot be read: ids must not be given twice.
pub fn all(paths: &Paths) -> Result<BTreeMap<GatewayName, IdBook>> {
    let directory = paths.ids();
    let io = |source| Error::io(format!("listing {}", directory.display()), source);
    let entries = match std::fs::read_dir(&directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        other => other.map_err(io)?,
    };
    let mut books = BTreeMap::new();
    for entry in entries {
        let path = entry.map_err(io)?.path();
        let name = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".json"));
        let Some(Ok(name)) = name.map(GatewayName::parse) else { continue };
        let text = std::fs::read(&path)
            .map_err(|source| Error::io(format!("reading {}", path.display()), source))?;
        let book = serde_json::from_slice(&text).map_err(|source| {
            Error::infrastructure("ids-damaged", format!("the ids in {} cannot be read", path.display()))
                .hint("put it right by hand, or remove it: users who come back may then get other ids")
                .source(source)
        })?;
        books.insert(name, book);
    }
    Ok(books)
}

/// Replaces those of a gateway; none forgets them.
///
/// # Errors
/// When they cannot be written.
pub fn put(paths: &Paths, name: &GatewayName, book: Option<&IdBook>) -> Result<()> {
    let path = paths.ids().join(format!("{name}.json"));
    let Some(book) = book else { return durable::remove_file(&path) };
    let mut bytes =
        serde_json::to_vec_pretty(book).map_err(|source| Error::internal("writing ids").source(source))?;
    bytes.push(b'\n');
    durable::make_directory(&paths.ids(), 0o755)?;
    durable::replace(&path, 0o600, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::under(root.path());
        let name = GatewayName::parse("team").unwrap();
        assert!(all(&paths).unwrap().is_empty());
        let mut book = IdBook::default();
        book.users.insert("alice".parse().unwrap(), 10_000);
        book.groups.insert("staff".parse().unwrap(), 20_000);
        put(&paths, &name, Some(&book)).unwrap();
        assert_eq!(all(&paths).unwrap(), BTreeMap::from([(name.clone(), book)]));
        std::fs::write(paths.ids().join("team.json"), "{").unwrap();
        assert_eq!(all(&paths).unwrap_err().code, "ids-damaged");
        put(&paths, &name, None).unwrap();
        put(&paths, &name, None).unwrap();
        assert!(all(&paths).unwrap().is_empty());
    }
}
