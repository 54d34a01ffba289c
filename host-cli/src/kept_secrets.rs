//! Secrets of computer accounts that outlive their gateways: one 0600 file each, for root alone. One that the domain has accepted
//! is never replaced by an empty one.

use std::path::PathBuf;

use smbgw_api::GatewayName;
use smbgw_api::v1::domain::KeptSecrets;

use crate::{Error, Result, durable};

/// Largest file that is read.
const LARGEST: u64 = 4 << 20;

/// Where they are.
#[derive(Debug, Clone)]
pub struct SecretStore {
    directory: PathBuf,
}

impl SecretStore {
    /// In this directory; it is made with the first of them.
    pub fn in_directory(directory: PathBuf) -> Self {
        Self { directory }
    }

    fn path(&self, gateway: &GatewayName) -> PathBuf {
        self.directory.join(format!("{gateway}.json"))
    }

    /// Those of a gateway.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn get(&self, gateway: &GatewayName) -> Result<Option<KeptSecrets>> {
        let path = self.path(gateway);
        let reading = |source| Error::io(format!("reading {}", path.display()), source);
        let text = match std::fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(reading(error)),
            Ok(meta) if meta.len() > LARGEST => {
                return Err(reading(std::io::Error::other("it is too large")));
            }
            Ok(_) => std::fs::read(&path).map_err(reading)?,
        };
        // what does not parse is quoted by no error: it is secret
        serde_json::from_slice(&text).map(Some).map_err(|_| {
            Error::infrastructure("kept-secrets-damaged", format!("{} is damaged", path.display()))
                .hint("remove it, and join the domain with a password")
        })
    }

    /// Replaces those of a gateway.
    ///
    /// # Errors
    /// When they are empty, or cannot be written.
    pub fn put(&self, gateway: &GatewayName, secrets: &KeptSecrets) -> Result<()> {
        if !secrets.dump.contains("SECRETS/MACHINE_PASSWORD/") {
            return Err(Error::service(
                "ad-secret-missing",
                "the gateway gave no secret of its computer account",
            ));
        }
        durable::make_directory(&self.directory, 0o700)?;
        let json = serde_json::to_vec(secrets).map_err(|_| Error::internal("writing kept secrets"))?;
        durable::replace(&self.path(gateway), 0o600, &json)
    }

    /// Forgets those of a gateway.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn remove(&self, gateway: &GatewayName) -> Result<()> {
        durable::remove_file(&self.path(gateway))?;
        // unless there are those of others
        let _ = std::fs::remove_dir(&self.directory);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_kept_is_roots_alone_and_never_emptied() {
        let root = tempfile::tempdir().unwrap();
        let store = SecretStore::in_directory(root.path().join("secrets"));
        let name = GatewayName::parse("team").unwrap();
        assert_eq!(store.get(&name).unwrap(), None);
        let secrets = KeptSecrets {
            realm: "lab.test".parse().unwrap(),
            account: "TEAM".into(),
            domain_sid: "S-1-5-21-1-2-3".parse().unwrap(),
            dump: "SECRETS/MACHINE_PASSWORD/LAB".into(),
        };
        store.put(&name, &secrets).unwrap();
        assert!(store.put(&name, &KeptSecrets { dump: String::new(), ..secrets.clone() }).is_err());
        assert_eq!(store.get(&name).unwrap(), Some(secrets));
        let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(store.path(&name)), mode(root.path().join("secrets"))), (0o600, 0o700));
        std::fs::write(store.path(&name), "canary").unwrap();
        let error = store.get(&name).unwrap_err();
        assert!(!format!("{error:?}").contains("canary"));
        store.remove(&name).unwrap();
        store.remove(&name).unwrap();
    }
}
