//! What can go wrong in a build, in which category it falls, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use smbgw_command::CommandError;

use crate::fetch::Failure;
use crate::lint::Finding;
use crate::sign::{KeyFault, SignatureFault};
use crate::size::Excess;

/// Every way the builder fails.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A recipe that cannot be used. The detail names line and column where there is one.
    #[error("recipe {}: {detail}", path.display())]
    Recipe {
        /// The recipe file.
        path: PathBuf,
        /// What is wrong, and where.
        detail: String,
    },
    /// A lock file that cannot be used.
    #[error("lock {}: {detail}", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// Something the build needs is not there.
    #[error("{what} {} does not exist", path.display())]
    Missing {
        /// "the agent", "the recipe" ...
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// How to get it.
        hint: String,
    },
    /// Packages that the mirror no longer has, or that it never had.
    #[error("{} could not be fetched from {mirror}: {}", packages(names.len()), list(names))]
    PackagesGone {
        /// `name_version_architecture` of each.
        names: Vec<String>,
        /// The mirror asked.
        mirror: String,
    },
    /// Packages that a mirror did not give, for other reasons than that it does not have them.
    #[error("{} could not be fetched:{}{}", packages(failures.len()), failed(failures), untried(*left))]
    NotFetched {
        /// Each with its address and what happened.
        failures: Vec<Failure>,
        /// Packages that were not asked for any more.
        left: usize,
    },
    /// A setting that names no usable proxy.
    #[error("the proxy in {place}: {detail}")]
    Proxy {
        /// `the environment variable http_proxy` ...
        place: String,
        /// What is wrong. Never the value: it may hold a password.
        detail: String,
    },
    /// A package in the store whose content has changed.
    #[error("the stored package {} is damaged: its SHA-256 is {found}", path.display())]
    StoreDamaged {
        /// The file, by now removed.
        path: PathBuf,
        /// The hash of what was in it.
        found: String,
    },
    /// `--offline`, and the store lacks packages.
    #[error("offline, and the store lacks {}: {}", packages(names.len()), list(names))]
    StoreLacks {
        /// `name_version_architecture` of each.
        names: Vec<String>,
    },
    /// The mirror gave no usable package index.
    #[error("the package index of {mirror} could not be read: {detail}")]
    Mirror {
        /// The mirror asked.
        mirror: String,
        /// What apt said.
        detail: String,
    },
    /// apt cannot install what the recipe names.
    #[error("these packages cannot be installed together: {detail}")]
    Unresolvable {
        /// What apt said.
        detail: String,
    },
    /// A program failed.
    #[error("{doing}")]
    Program {
        /// "making the root file system" ...
        doing: &'static str,
        /// The program, its status and what it said.
        #[source]
        source: CommandError,
    },
    /// The engine's process inside its namespaces failed.
    #[error("installing the packages: {detail}")]
    Inside {
        /// What it said.
        detail: String,
        /// What it advised.
        hint: Option<String>,
        /// Who has to act.
        category: Category,
    },
    /// A file operation failed.
    #[error("{doing} {}", path.display())]
    Io {
        /// "reading", "writing" ...
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The root file system is not what it must be for the next step.
    #[error("the root file system: {0}")]
    Tree(String),
    /// The finished tree breaks rules.
    #[error("the finished tree breaks {} rule(s):{}", findings.len(), lines(findings))]
    Lint {
        /// Every rule that is broken, and where.
        findings: Vec<Finding>,
    },
    /// A template that is not what its manifest or checksum says.
    #[error("{} is not intact: {detail}", path.display())]
    NotIntact {
        /// The template.
        path: PathBuf,
        /// What differs.
        detail: String,
    },
    /// A key that cannot be used.
    #[error("key {}: {fault}", path.display())]
    Key {
        /// The key's file, or its password's.
        path: PathBuf,
        /// Why.
        fault: KeyFault,
    },
    /// A file that its signature does not vouch for.
    #[error("{}: {fault}", path.display())]
    Signature {
        /// The file, not its signature.
        path: PathBuf,
        /// Why.
        fault: SignatureFault,
    },
    /// A record of sizes that cannot be used.
    #[error("size record {}: {detail}", path.display())]
    SizeRecord {
        /// The record.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// A template that is bigger than its recipe allows.
    #[error("{0}")]
    TooBig(Excess),
    /// Ctrl-C, or SIGTERM.
    #[error("interrupted")]
    Interrupted,
}

/// Who has to act; the exit code of the program follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    /// A bug, or a package that behaves as none did before.
    Internal,
    /// Usage or an invalid recipe.
    Usage,
    /// The mirror, or a program this machine lacks.
    Infrastructure,
    /// A missing file, a full disk, missing rights.
    Resource,
    /// The person stopped it.
    Interrupted,
}

impl Category {
    /// The exit code of the program.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Infrastructure => 3,
            Self::Resource => 4,
            Self::Interrupted => 130,
        }
    }

    /// The category of an exit code.
    pub fn of_exit_code(code: i32) -> Option<Self> {
        let all = [Self::Internal, Self::Usage, Self::Infrastructure, Self::Resource, Self::Interrupted];
        all.into_iter().find(|category| i32::from(category.exit_code()) == code)
    }

    /// The word used in JSON output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Usage => "usage",
            Self::Infrastructure => "infrastructure",
            Self::Resource => "resource",
            Self::Interrupted => "interrupted",
        }
    }
}

impl Error {
    /// For `map_err` on a file operation.
    pub(crate) fn io(doing: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io { doing, path, source }
    }

    /// For `map_err` on a command.
    pub(crate) fn program(doing: &'static str) -> impl FnOnce(CommandError) -> Self {
        move |source| match source {
            CommandError::Interrupted { .. } => Self::Interrupted,
            source => Self::Program { doing, source },
        }
    }

    /// Who has to act.
    pub fn category(&self) -> Category {
        match self {
            Self::Key { .. } | Self::SizeRecord { .. } | Self::TooBig(_) => Category::Usage,
            Self::Signature { .. } => Category::Resource,
            Self::Recipe { .. }
            | Self::Lock { .. }
            | Self::Unresolvable { .. }
            | Self::Proxy { .. }
            | Self::Lint { .. } => Category::Usage,
            Self::Missing { .. }
            | Self::PackagesGone { .. }
            | Self::StoreLacks { .. }
            | Self::StoreDamaged { .. }
            | Self::NotIntact { .. } => Category::Resource,
            Self::Mirror { .. } | Self::NotFetched { .. } | Self::Program { .. } => Category::Infrastructure,
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound
                | io::ErrorKind::PermissionDenied
                | io::ErrorKind::StorageFull
                | io::ErrorKind::ReadOnlyFilesystem
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::IsADirectory
                | io::ErrorKind::AlreadyExists => Category::Resource,
                _ => Category::Internal,
            },
            Self::Tree(_) => Category::Internal,
            Self::Inside { category, .. } => *category,
            Self::Interrupted => Category::Interrupted,
        }
    }

    /// What to do next, where there is something to say.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Recipe { .. } => "the fields of a recipe are described in docs/templates.md".into(),
            Self::Lock { .. } => {
                "make one with `smbgw-builder lock RECIPE --lock FILE`, or leave out --lock and --offline".into()
            }
            Self::Missing { hint, .. } => hint.clone(),
            Self::Inside { hint, .. } => return hint.clone(),
            Self::PackagesGone { .. } => "mirrors drop old versions: run `smbgw-builder lock RECIPE` to take the present \
                 ones, or give --mirror 'http://snapshot.debian.org/archive/{archive}/TIME' to get the old ones"
                .into(),
            Self::NotFetched { failures, .. } => match failures.first() {
                Some(failure) => failure.fault.hint().into(),
                None => return None,
            },
            Self::Proxy { .. } => "mend it, or set http_proxy (and https_proxy) to http://HOST:PORT for this run; no_proxy='*' is without any proxy".into(),
            Self::StoreDamaged { .. } => "it was removed: run the same build again without --offline to fetch it anew; \
                 look at the disk if it happens again"
                .into(),
            Self::StoreLacks { .. } => "run the same build once without --offline to fill the store".into(),
            Self::Mirror { .. } => {
                "check the network, or name another mirror with --mirror http://HOST (the part before /debian)".into()
            }
            Self::Unresolvable { .. } => "look at `packages` and `exclude` of the recipe".into(),
            Self::Program { source: CommandError::NotInstalled { program }, .. } => {
                format!("apt-get install {}", package_of(program))
            }
            Self::Program { .. } => "the message above is the program's own; run the same command with TMPDIR on a \
                 disk with 2 GB free if space is short"
                .into(),
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    "free some space, or choose other places with --out, --cache and TMPDIR".into()
                }
                io::ErrorKind::PermissionDenied => "check who owns it, or choose another place".into(),
                _ => return None,
            },
            Self::Lint { .. } => "a template is only written when every check passes; change the recipe or overlay".into(),
            Self::NotIntact { .. } => "do not use it: build it again, or copy it again from where it came".into(),
            Self::Key { fault, .. } => fault.hint().into(),
            Self::Signature { fault, .. } => fault.hint().into(),
            Self::SizeRecord { .. } => "build with --record-sizes, or take it back from version control".into(),
            Self::TooBig(_) => "leave something out with `slim` or `exclude`, or raise the budget, `size` of the recipe; \
                 nothing was put in place"
                .into(),
            Self::Tree(_) | Self::Interrupted => return None,
        };
        Some(hint)
    }
}

fn package_of(program: &str) -> &str {
    match program.rsplit('/').next().unwrap_or(program) {
        "newuidmap" | "newgidmap" => "uidmap",
        "apt-get" => "apt",
        "unshare" => "util-linux",
        other => match other {
            "dpkg-deb" => "dpkg",
            _ => "mmdebstrap uidmap",
        },
    }
}

fn packages(count: usize) -> String {
    if count == 1 { "1 package".into() } else { format!("{count} packages") }
}

/// Packages that a message names.
const SHOWN: usize = 8;

fn list(names: &[String]) -> String {
    let mut text = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

fn lines(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("\n  {finding}")).collect()
}

fn failed(failures: &[Failure]) -> String {
    let mut text: String = failures.iter().take(SHOWN).map(|failure| format!("\n  {failure}")).collect();
    if failures.len() > SHOWN {
        text.push_str(&format!("\n  and {} more", failures.len() - SHOWN));
    }
    text
}

fn untried(left: usize) -> String {
    if left == 0 { String::new() } else { format!("\n  {left} more were not asked for") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_a_resource_problem_with_a_hint() {
        let error = Error::io("writing", "/x")(io::ErrorKind::StorageFull.into());
        assert_eq!(error.category().exit_code(), 4);
        assert!(error.hint().is_some_and(|hint| hint.contains("--out")));
    }

    #[test]
    fn a_missing_program_names_its_package() {
        let error = Error::program("x")(CommandError::NotInstalled { program: "mmdebstrap".into() });
        assert_eq!(error.category().exit_code(), 3);
        assert!(error.hint().is_some_and(|hint| hint.contains("apt-get install mmdebstrap")));
    }

    #[test]
    fn an_interrupted_program_is_an_interrupted_build() {
        let error = Error::program("x")(CommandError::Interrupted { command: "mmdebstrap".into() });
        assert_eq!(error.category().exit_code(), 130);
    }
}
