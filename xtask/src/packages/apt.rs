//! `apt-get`: asks before it acts, fetches package lists once when they are missing or stale, and never removes anything.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

use anyhow::{Context, Result, bail};

use crate::programs::target;
use crate::say;

/// Packages of the source package qemu: modules and programs work together only when they are of one version.
const QEMU: &[&str] = &["qemu-system-x86", "qemu-utils", "qemu-block-extra"];
/// Signs all of Debian's releases; of package debian-archive-keyring.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Installs these.
pub(super) fn install(packages: &[&str]) -> Result<()> {
    let (mut qemu, others): (Vec<&str>, Vec<&str>) =
        packages.iter().copied().partition(|package| QEMU.contains(package));
    if !others.is_empty() {
        Sources::Machine.install(&others)?;
    }
    if !qemu.is_empty() {
        let installed = output(Command::new("dpkg-query").args([
            "--show",
            "--showformat=${db:Status-Status} ${Package} ${Version}\n",
            "qemu-*",
        ]))
        .unwrap_or_default();
        // those that are there already change with the new ones if they must
        qemu.extend(QEMU.iter().filter(|package| is_installed(&installed, package)));
        qemu.sort_unstable();
        qemu.dedup();
        Sources::of_qemu(&installed)?.install(&qemu)?;
    }
    Ok(())
}

/// Where packages come from.
enum Sources {
    /// As the machine says.
    Machine,
    /// This release, which is one of the machine's.
    Release(String),
    /// This release, which the machine does not have among its own; with sources and lists in a directory of ours, so that the
    /// machine's stay as they are.
    Own { release: String, directory: PathBuf },
}

impl Sources {
    /// Where the parts of QEMU that are there came from.
    fn of_qemu(installed: &str) -> Result<Self> {
        if !installed.lines().any(|line| line.starts_with("installed ") && line.contains("~bpo")) {
            return Ok(Self::Machine);
        }
        let system = fs::read_to_string("/etc/os-release").context("reading /etc/os-release")?;
        let codename =
            os_release(&system, "VERSION_CODENAME").context("no VERSION_CODENAME in /etc/os-release")?;
        let release = format!("{codename}-backports");
        // "Created-By" leaves out lists of contents and translations; source: apt-get(8), indextargets
        let ask = ["indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages"];
        let known = output(Command::new("apt-get").args(ask))?;
        if known.lines().any(|line| line.split(' ').next() == Some(&release)) {
            say::line(&format!("QEMU from {release}, as the parts of it that are installed"));
            return Ok(Self::Release(release));
        }
        say::line(&format!(
            "QEMU from {release}, as the parts of it that are installed; this machine has them no longer among its sources, which stay as they are"
        ));
        let mirror = known.lines().find_map(|line| line.strip_prefix(&format!("{codename} ")));
        let mirror = mirror.unwrap_or("http://deb.debian.org/debian/");
        let directory = target().join(format!("apt-{}", std::process::id()));
        fs::create_dir_all(directory.join("lists/partial"))?;
        let list = fs::read_to_string("/etc/apt/sources.list").unwrap_or_default();
        let more = format!("\ndeb [signed-by={KEYRING}] {mirror} {release} main\n");
        fs::write(directory.join("sources.list"), list + &more)?;
        Ok(Self::Own { release, directory })
    }

    /// Options of apt-get. Source: apt.conf(5).
    fn options(&self) -> Vec<String> {
        match self {
            Self::Machine => Vec::new(),
            Self::Release(release) => vec!["-t".to_owned(), release.clone()],
            Self::Own { release, directory } => {
                let at = |name: &str| directory.join(name).display().to_string();
                vec![
                    "-t".to_owned(),
                    release.clone(),
                    format!("-oDir::Etc::SourceList={}", at("sources.list")),
                    format!("-oDir::State::Lists={}", at("lists")),
                    "-oDir::Cache::pkgcache=".to_owned(),
                    "-oDir::Cache::srcpkgcache=".to_owned(),
                    // the checkout may lie where _apt cannot look
                    "-oAPT::Sandbox::User=root".to_owned(),
                ]
            }
        }
    }

    fn install(&self, packages: &[&str]) -> Result<()> {
        let words = [&["install", "--no-remove"], packages].concat();
        let mut updated = false;
        if !self.run(&[&["--dry-run"], &words[..]].concat(), true)? {
            self.update()?;
            updated = true;
        }
        if self.run(&words, false)? {
            return Ok(());
        }
        if !updated {
            // the mirror has newer versions, and the old ones no longer
            say::line(
                "that failed, maybe because the package lists are old: fetching them and trying once more",
            );
            self.update()?;
            if self.run(&words, false)? {
                return Ok(());
            }
        }
        bail!("apt-get {} failed", words.join(" "))
    }

    fn update(&self) -> Result<()> {
        if !self.run(&["update"], false)? {
            bail!("apt-get update failed");
        }
        Ok(())
    }

    fn run(&self, words: &[&str], quietly: bool) -> Result<bool> {
        let mut command = Command::new("apt-get");
        command
            .args(["-q", "-y", "--no-install-recommends", "-oDpkg::Use-Pty=0", "-oDPkg::Lock::Timeout=300"])
            .args(self.options())
            .args(words)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null());
        let status = if quietly { command.output().map(|output| output.status) } else { command.status() };
        Ok(status.context("starting apt-get: this needs a Debian machine")?.success())
    }
}

impl Drop for Sources {
    fn drop(&mut self) {
        if let Self::Own { directory, .. } = self {
            remove(directory);
        }
    }
}

fn remove(directory: &Path) {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            say::line(&format!("{} could not be removed: {error}", directory.display()));
        }
        _ => {}
    }
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("starting {command:?}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn is_installed(installed: &str, package: &str) -> bool {
    let start = format!("installed {package} ");
    installed.lines().any(|line| line.starts_with(&start))
}

/// A value of os-release(5).
pub(super) fn os_release(text: &str, name: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_os_release() {
        let text = "NAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n";
        assert_eq!(os_release(text, "VERSION_ID").as_deref(), Some("12"));
        assert_eq!(os_release(text, "VERSION_CODENAME").as_deref(), Some("bookworm"));
        assert_eq!(os_release(text, "VERSION"), None);
    }

    #[test]
    fn a_removed_package_is_not_installed() {
        let installed = "config-files qemu-system-x86 1:7.2\ninstalled qemu-utils 1:10.0.2~bpo12+1\n";
        assert!(!is_installed(installed, "qemu-system-x86"));
        assert!(is_installed(installed, "qemu-utils"));
    }
}
