//! From a lock to files in the store.

use std::fs;
use std::path::Path;
use std::time::Duration;

use smbgw_command::{Command, CommandError, Runner, System};

use crate::apt;
use crate::error::Error;
use crate::lock::Package;
use crate::store::Store;
use crate::workdir::WorkDir;

/// apt's own downloader: it knows proxies, retries and every kind of mirror.
const HELPER: &str = "/usr/lib/apt/apt-helper";
/// Downloads at a time. More does not help: mirrors are limited by the line.
const PARALLEL: usize = 4;
/// A hundred MB over a slow line.
const DEADLINE: Duration = Duration::from_secs(1800);

/// What a fetch did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Packages that came over the network.
    pub packages: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Brings every one of these packages into the store; without network when `offline`.
///
/// # Errors
/// [`Error::StoreLacks`] when offline and something is missing, [`Error::PackagesGone`] when the mirror does not give it.
pub fn fetch(
    packages: &[Package],
    mirror: &str,
    offline: bool,
    store: &Store,
    work: &WorkDir,
    system: &System,
) -> Result<Fetched, Error> {
    let missing: Vec<&Package> = packages.iter().filter(|p| !store.has(&p.sha256, p.size)).collect();
    if missing.is_empty() {
        return Ok(Fetched::default());
    }
    if offline {
        return Err(Error::StoreLacks { names: missing.iter().map(|package| package.id()).collect() });
    }
    let directory = work.join("download");
    fs::create_dir_all(&directory).map_err(Error::io("making", &directory))?;
    // big and small ones in every share, so that all end at about the same time
    let mut shares: Vec<Vec<&Package>> = vec![Vec::new(); PARALLEL.min(missing.len())];
    let mut by_size = missing.clone();
    by_size.sort_by_key(|package| std::cmp::Reverse((package.size, &package.name)));
    for (number, package) in by_size.into_iter().enumerate() {
        let share = number % shares.len();
        shares[share].push(package);
    }
    let ended: Vec<Result<(), Error>> = std::thread::scope(|scope| {
        let running: Vec<_> =
            shares.iter().map(|share| scope.spawn(|| download(share, mirror, &directory, system))).collect();
        running.into_iter().map(join).collect()
    });
    ended.into_iter().collect::<Result<(), Error>>()?;

    let mut gone = Vec::new();
    for package in &missing {
        let file = directory.join(&package.sha256);
        if file.exists() {
            store.take(&file, &package.sha256)?;
        } else {
            gone.push(package.path.rsplit('/').next().unwrap_or(&package.path).to_owned());
        }
    }
    if !gone.is_empty() {
        return Err(Error::PackagesGone { names: gone, mirror: mirror.to_owned() });
    }
    Ok(Fetched { packages: missing.len(), bytes: missing.iter().map(|package| package.size).sum() })
}

/// Downloads a share. What the mirror refuses is simply not there afterwards.
fn download(share: &[&Package], mirror: &str, directory: &Path, system: &System) -> Result<(), Error> {
    let mut command = Command::new(HELPER)
        .args(["-o", "APT::Sandbox::User=", "-o", "Acquire::Retries=2", "-o", "Acquire::http::Timeout=20"])
        .arg("download-file")
        .deadline(DEADLINE);
    for package in share {
        command = command
            .arg(apt::address(mirror, &package.path))
            .arg(directory.join(&package.sha256).to_string_lossy())
            .arg(format!("SHA256:{}", package.sha256));
    }
    match system.run(&command) {
        Ok(_) | Err(CommandError::Failed { .. }) => Ok(()),
        Err(other) => Err(Error::program("fetching packages")(other)),
    }
}

fn join<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
