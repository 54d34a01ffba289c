//! What dpkg knows of unpacked packages: its database as dpkg itself writes it on unpacking. Pure: texts in, texts out.
//! Sources: dpkg(1), deb-triggers(5), deb-conffiles(5); dpkg's own `lib/dpkg/dump.c`, `trigdeferred` and `infodb` formats as
//! seen in what it writes.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::deb::{Member, Package};
use crate::deb822::Paragraph;
use crate::error::Error;
use crate::tree::Tree;

/// dpkg's database.
pub const ADMIN: &str = "/var/lib/dpkg";

/// A package taken apart, and what its control data says.
#[derive(Debug)]
pub struct Unpacked {
    /// Its name.
    pub name: String,
    /// Its architecture.
    pub architecture: String,
    /// What dpkg names its files by: with the architecture where several may be installed together.
    pub info_name: String,
    /// Its `control` file.
    pub control: String,
    /// What else comes with it for dpkg.
    pub members: Vec<Member>,
    /// Names in its tar, as they stand there.
    pub names: Vec<String>,
    /// Its files.
    pub tree: Tree,
    conffiles: Vec<Conffile>,
    interests: Vec<(String, bool)>,
    replaces: BTreeSet<String>,
}

impl Unpacked {
    /// Reads what the package says of itself.
    ///
    /// # Errors
    /// [`Error::Tree`] naming the package.
    pub fn new(id: &str, package: Package) -> Result<Self, Error> {
        let broken = |detail: &str| Error::Tree(format!("{id} cannot be unpacked: {detail}"));
        let names = package.names().map_err(|detail| broken(&detail))?;
        if names.iter().any(|name| name.contains('\n')) {
            return Err(broken("a name in it has a line break"));
        }
        let conffiles = conffiles(package.member("conffiles").unwrap_or_default());
        let Package { control, members, data } = package;
        // the text goes into dpkg's own database as it is, but for blank lines around it
        let mut paragraphs = crate::deb822::paragraphs(&control);
        let (Some(paragraph), None) = (paragraphs.next(), paragraphs.next()) else {
            return Err(broken("its control file is not one paragraph"));
        };
        let control = paragraph.text().to_owned();
        if control.contains(['\0', '\r']) {
            return Err(broken("its control file has characters that are not of a text"));
        }
        let paragraph = Paragraph::new(&control);
        if let Some(field) = ["Status", "Conffiles"].into_iter().find(|field| paragraph.get(field).is_some())
        {
            return Err(broken(&format!("its control file has the field {field}, which is dpkg's")));
        }
        let field = |name: &str| paragraph.get(name).map(str::to_owned);
        let needed =
            |name: &str| field(name).ok_or_else(|| broken(&format!("its control file has no {name}")));
        let (name, architecture) = (needed("Package")?, needed("Architecture")?);
        let plain = |text: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        };
        if !plain(&name) || !plain(&architecture) {
            return Err(broken("its name or architecture has other characters than these have"));
        }
        let same = field("Multi-Arch").is_some_and(|value| value == "same");
        let replaces = field("Replaces").unwrap_or_default();
        let replaces =
            replaces.split(',').filter_map(|one| Some(one.split_whitespace().next()?.to_owned())).collect();
        let info_name = if same { format!("{name}:{architecture}") } else { name.clone() };
        let info = |member: &Member| !member.name.is_empty() && !member.name.contains(['/', '\n', '\0']);
        if !members.iter().all(info) {
            return Err(broken("a file of its control data has no plain name"));
        }
        let interests = interests(members.iter().find(|member| member.name == "triggers"));
        if let Some((odd, _)) = interests.iter().find(|(trigger, _)| !is_trigger(trigger)) {
            return Err(broken(&format!("`{odd}` is no name of a trigger")));
        }
        let tree = Tree::read_tar(data).map_err(|error| broken(&error.to_string()))?;
        Ok(Self {
            name,
            architecture,
            info_name,
            members,
            names,
            tree,
            conffiles,
            interests,
            replaces,
            control,
        })
    }

    /// Whether a path of its tree is a configuration file.
    pub fn is_conffile(&self, path: &str) -> bool {
        self.conffiles.iter().any(|conffile| conffile.path == path && !conffile.goes)
    }

    /// Whether it may take over files of that package.
    pub fn replaces(&self, name: &str) -> bool {
        self.replaces.contains(name)
    }

    /// A script of its own.
    pub fn script(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    /// Its paragraph in `status`: unpacked, not configured.
    pub fn status(&self) -> String {
        let control = self.control.trim_end();
        let (first, rest) = control.split_once('\n').unwrap_or((control, ""));
        let mut text = format!("{first}\nStatus: install ok unpacked\n{rest}");
        if !text.ends_with('\n') {
            text.push('\n');
        }
        if !self.conffiles.is_empty() {
            text.push_str("Conffiles:\n");
            for Conffile { path, goes } in &self.conffiles {
                let _ =
                    writeln!(text, " {path} newconffile{}", if *goes { " remove-on-upgrade" } else { "" });
            }
        }
        text.push('\n');
        text
    }

    /// Its list of paths, without those that others replace.
    pub fn list(&self, replaced: &BTreeSet<String>) -> String {
        let lines = self.names.iter().map(|name| {
            let path = name.trim_start_matches('.').trim_end_matches('/');
            match path {
                "" => "/.".to_owned(),
                path if path.starts_with('/') => path.to_owned(),
                path => format!("/{path}"),
            }
        });
        lines.filter(|path| !replaced.contains(path)).map(|path| path + "\n").collect()
    }

    /// What it is interested in: the trigger, and whether dpkg waits for it.
    pub fn interests(&self) -> &[(String, bool)] {
        &self.interests
    }
}

/// What a `triggers` file says of interests. Source: deb-triggers(5).
fn interests(member: Option<&Member>) -> Vec<(String, bool)> {
    let text = member.map(|member| String::from_utf8_lossy(&member.content).into_owned()).unwrap_or_default();
    let interest = |line: &str| {
        let mut words = line.split('#').next()?.split_whitespace();
        let (word, name) = (words.next()?, words.next()?);
        match word {
            "interest" | "interest-await" => Some((name.to_owned(), true)),
            "interest-noawait" => Some((name.to_owned(), false)),
            _ => None,
        }
    };
    text.lines().filter_map(interest).collect()
}

/// A path, or a name that is safe as that of a file. Source: dpkg's `doc/spec/triggers.txt`.
fn is_trigger(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-.+_".contains(c);
    name.chars().all(|c| c.is_ascii_graphic())
        && (name.starts_with('/')
            || name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(plain))
}

/// A configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Conffile {
    path: String,
    /// It is not in this version any more, and an upgrade removes it.
    goes: bool,
}

/// The configuration files that a package lists. Source: deb-conffiles(5).
fn conffiles(text: &str) -> Vec<Conffile> {
    let line = |line: &str| {
        let (path, goes) = match line.trim().strip_prefix("remove-on-upgrade ") {
            Some(path) => (path.trim_start(), true),
            None => (line.trim(), false),
        };
        path.starts_with('/').then(|| Conffile { path: path.to_owned(), goes })
    };
    text.lines().filter_map(line).collect()
}

/// A file of the database.
#[derive(Debug, PartialEq, Eq)]
pub struct DatabaseFile {
    /// Its path.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Seconds since 1970; that of writing if none.
    pub mtime: Option<i64>,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// The database of freshly unpacked packages: `existing` gives the text of a file that is there already, which is kept.
pub fn database(
    packages: &[Unpacked],
    replaced: &[BTreeSet<String>],
    existing: &dyn Fn(&str) -> Option<String>,
) -> Vec<DatabaseFile> {
    let mut files = Vec::new();
    let mut put = |path: String, mode, mtime, content: Vec<u8>| {
        files.push(DatabaseFile { path, mode, mtime, content });
    };
    let mut status = existing(&format!("{ADMIN}/status")).unwrap_or_default();
    let mut explicit = std::collections::BTreeMap::<String, String>::new();
    let file_triggers = format!("{ADMIN}/triggers/File");
    for (package, replaced) in packages.iter().zip(replaced) {
        status.push_str(&package.status());
        let info = |name: &str| format!("{ADMIN}/info/{}.{name}", package.info_name);
        put(info("list"), 0o644, None, package.list(replaced).into_bytes());
        for member in &package.members {
            put(info(&member.name), member.mode, Some(member.mtime), member.content.clone());
        }
        for (trigger, waits) in package.interests().iter().cloned() {
            let (path, mut line) = if trigger.starts_with('/') {
                (file_triggers.clone(), format!("{trigger} "))
            } else {
                (format!("{ADMIN}/triggers/{trigger}"), String::new())
            };
            line.push_str(&package.info_name);
            line.push_str(if waits { "\n" } else { "/noawait\n" });
            let text = explicit.entry(path.clone()).or_insert_with(|| existing(&path).unwrap_or_default());
            text.push_str(&line);
        }
    }
    for (path, text) in explicit {
        put(path, 0o644, None, text.into_bytes());
    }
    put(format!("{ADMIN}/status"), 0o644, None, status.into_bytes());
    for name in ["available", "diversions", "statoverride", "triggers/Unincorp"] {
        let path = format!("{ADMIN}/{name}");
        if existing(&path).is_none() {
            put(path, 0o644, None, Vec::new());
        }
    }
    put(format!("{ADMIN}/info/format"), 0o644, None, b"1\n".to_vec());
    files
}

/// Packages of a `status` file that are not installed as they should be, and how they are.
pub fn unfinished(status: &str) -> Vec<String> {
    crate::deb822::paragraphs(status)
        .filter_map(|paragraph| {
            let (name, state) = (paragraph.get("Package")?, paragraph.get("Status")?);
            (state != "install ok installed").then(|| format!("{name} ({state})"))
        })
        .collect()
}
