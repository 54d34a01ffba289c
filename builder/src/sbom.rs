//! The bill of materials: every package of a template, binary and source, with its licences and what it depends on.
//!
//! * [`Bill`]: what there is to tell, from the lock, dpkg's records and the packages' copyright files
//! * [`cyclonedx`], [`spdx`]: the two formats it is told in
//! * [`copyright`] → [`licence`]: what copyright files say · [`relations`]: who fulfils a dependency · [`purl`]: names for scanners
//!
//! Nothing in it depends on time or place.

use std::collections::{BTreeMap, HashMap};

use crate::deb822::{self, Paragraph};
use crate::lock::Lock;
use crate::manifest::{Manifest, PackageRecord};
use crate::recipe::Recipe;
use crate::tree::Tree;

pub mod copyright;
pub mod cyclonedx;
pub mod licence;
pub mod purl;
pub mod relations;
pub mod spdx;

use licence::{Expression, References};
use relations::Installed;

/// Where dpkg records what is installed.
const STATUS: &str = "/var/lib/dpkg/status";
/// The licence of what does not come from Debian: the agent.
const OWN_LICENCE: &str = "AGPL-3.0-or-later";
/// Who supplies the packages.
const SUPPLIER: &str = "Debian";

/// What a bill of materials is made from.
pub struct Subject<'a> {
    /// The template's manifest.
    pub manifest: &'a Manifest,
    /// The recipe, for the mirror that packages come from.
    pub recipe: &'a Recipe,
    /// The lock, for their paths on it.
    pub lock: &'a Lock,
    /// The finished tree.
    pub tree: &'a Tree,
}

/// A bill of materials.
#[derive(Debug)]
pub struct Bill {
    /// `smb-gateway-debian-13`.
    pub name: String,
    /// Version of the template, which is that of the program that made it.
    pub version: String,
    /// SHA-256 of the template.
    pub sha256: String,
    /// Its name as a file.
    pub file: String,
    /// Seconds since 1970.
    pub epoch: i64,
    /// Binary packages, sorted by name and architecture: those that are installed, then those whose files start the disk.
    pub binaries: Vec<Binary>,
    /// Source packages, sorted by name and version.
    pub sources: Vec<Source>,
    /// The agent.
    pub agent: Agent,
    /// The ids of licences that SPDX does not list.
    pub references: References,
}

/// A binary package.
#[derive(Debug)]
pub struct Binary {
    /// Name, version, source and hash.
    pub package: PackageRecord,
    /// Its package URL.
    pub purl: String,
    /// Where the mirror of the recipe has it.
    pub location: Option<String>,
    /// What dpkg's record says of it.
    pub control: Control,
    /// Its licences, as far as its copyright file leaves no doubt.
    pub licence: Option<Expression>,
    /// The packages it depends on, by their place in [`Bill::binaries`].
    pub depends: Vec<usize>,
    /// Its source, by its place in [`Bill::sources`].
    pub source: usize,
    /// Other sources whose code it holds (`Built-Using`, `Static-Built-Using`), likewise.
    pub built_using: Vec<usize>,
}

/// A source package.
#[derive(Debug)]
pub struct Source {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Its package URL.
    pub purl: String,
    /// What dpkg's record of its first binary package says.
    pub control: Control,
    /// Its licences, if all of its binary packages have the same.
    pub licence: Option<Expression>,
}

/// What dpkg records of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Control {
    /// Who looks after it.
    pub maintainer: Option<Maintainer>,
    /// Address of the project.
    pub homepage: Option<String>,
    /// One line for people.
    pub summary: Option<String>,
}

/// `Name <address>`. Source: Debian Policy 5.6.2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maintainer {
    /// Name of a person or a group.
    pub name: String,
    /// Its electronic mail address.
    pub address: String,
}

/// The one program that does not come from Debian.
#[derive(Debug)]
pub struct Agent {
    /// Version, if it says one.
    pub version: Option<String>,
    /// SHA-256 of the binary.
    pub sha256: String,
}

impl Bill {
    /// Collects it.
    pub fn new(subject: &Subject<'_>) -> Self {
        let Subject { manifest, recipe, lock, tree } = *subject;
        let distribution = recipe.name.as_str();
        let on_disk = manifest.disk.iter().flat_map(|disk| &disk.boot_packages);
        let packages: Vec<&PackageRecord> = manifest.packages.iter().chain(on_disk).collect();
        let records = records(tree, &packages);
        let field = |number: usize, name: &str| -> &str {
            records.get(number).copied().flatten().and_then(|record| record.get(name)).unwrap_or_default()
        };

        let sources = SourceList::new(&packages, &records);
        let mut installed = Installed::default();
        // those on the disk are not installed, and nobody depends on them
        for (number, package) in manifest.packages.iter().enumerate() {
            installed.add(number, &package.name, &package.version, field(number, "Provides"));
        }
        let depends_of = |number| {
            let fields = [field(number, "Pre-Depends"), field(number, "Depends")];
            installed.fulfil(number, &fields.join(","))
        };
        let depends: Vec<Vec<usize>> = (0..packages.len()).map(depends_of).collect();
        let mirror = recipe.mirror.trim_end_matches('/');
        let paths: HashMap<&str, &str> =
            lock.all().map(|package| (package.sha256.as_str(), package.path.as_str())).collect();
        let licences = licences(tree, &packages, &depends);

        let binaries: Vec<Binary> = packages
            .iter()
            .zip(depends)
            .zip(licences)
            .zip(&records)
            .map(|(((package, depends), licence), record)| Binary {
                purl: purl::binary(&package.name, &package.version, &package.architecture, distribution),
                location: paths.get(package.sha256.as_str()).map(|path| format!("{mirror}/{path}")),
                control: record.as_ref().map(Control::of).unwrap_or_default(),
                licence,
                depends,
                source: sources.place(&package.source, &package.source_version),
                built_using: record.as_ref().map(|record| sources.built_using(record)).unwrap_or_default(),
                package: (*package).clone(),
            })
            .collect();
        let sources = sources.into_sources(&binaries, distribution);
        let expressions = binaries.iter().filter_map(|binary| binary.licence.as_ref());
        Self {
            name: format!("smb-gateway-{}", manifest.template),
            version: manifest.version.clone(),
            sha256: manifest.archive.sha256.clone(),
            file: manifest.archive.name.clone(),
            epoch: manifest.epoch,
            references: References::of(expressions),
            binaries,
            sources,
            agent: Agent { version: manifest.agent.version.clone(), sha256: manifest.agent.sha256.clone() },
        }
    }

    /// The time of the template in RFC 3339, to the second.
    pub fn time(&self) -> String {
        jiff::Timestamp::from_second(self.epoch).unwrap_or_default().to_string()
    }
}

/// dpkg's record of each package, in order; `None` of those that are not installed.
fn records<'a>(tree: &'a Tree, packages: &[&PackageRecord]) -> Vec<Option<Paragraph<'a>>> {
    let status = deb822::paragraphs(tree.text(STATUS).unwrap_or_default());
    let key = |record: Paragraph<'a>| Some(((record.get("Package")?, record.get("Architecture")?), record));
    let by_name: HashMap<(&str, &str), Paragraph<'a>> = status.filter_map(key).collect();
    let find = |package: &&PackageRecord| {
        by_name.get(&(package.name.as_str(), package.architecture.as_str())).copied()
    };
    packages.iter().map(find).collect()
}

/// The licences of each package, in order. A package without a file of its own has that of a package of the same source which it
/// depends on: its documentation is a link there, and slimming takes the link. Source: Debian Policy 12.5.
fn licences(tree: &Tree, packages: &[&PackageRecord], depends: &[Vec<usize>]) -> Vec<Option<Expression>> {
    let file = |package: &PackageRecord| {
        let path = tree.resolve(&format!("/usr/share/doc/{}/copyright", package.name))?;
        tree.file(&path)
    };
    // packages of one source have the same text, and some are long
    let mut read: HashMap<(&[u8], &str), Option<Expression>> = HashMap::new();
    let origin = |package: &PackageRecord| (package.source.clone(), package.source_version.clone());
    packages
        .iter()
        .zip(depends)
        .map(|(package, depends)| {
            let others = depends.iter().filter_map(|number| packages.get(*number));
            let family = others.filter(|other| origin(other) == origin(package));
            let text = std::iter::once(package).chain(family).find_map(|package| file(package))?;
            let source = package.source.as_str();
            read.entry((text, source)).or_insert_with(|| copyright::licences(text, source)).clone()
        })
        .collect()
}

/// Every source once: those of the packages, and those whose code is in them.
struct SourceList(BTreeMap<(String, String), usize>);

impl SourceList {
    fn new(packages: &[&PackageRecord], records: &[Option<Paragraph<'_>>]) -> Self {
        let own = packages.iter().map(|package| (package.source.clone(), package.source_version.clone()));
        let built_in = records.iter().flatten().flat_map(built_using);
        let mut sources: BTreeMap<_, _> = own.chain(built_in).map(|source| (source, 0)).collect();
        for (place, number) in sources.values_mut().enumerate() {
            *number = place;
        }
        Self(sources)
    }

    fn place(&self, name: &str, version: &str) -> usize {
        self.0.get(&(name.to_owned(), version.to_owned())).copied().unwrap_or_default()
    }

    fn built_using(&self, record: &Paragraph<'_>) -> Vec<usize> {
        let mut places: Vec<usize> =
            built_using(record).iter().map(|(name, version)| self.place(name, version)).collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    fn into_sources(self, binaries: &[Binary], distribution: &str) -> Vec<Source> {
        let source = |((name, version), place): ((String, String), usize)| {
            let mut of_it = binaries.iter().filter(|binary| binary.source == place);
            let first = of_it.next();
            let licence = first.and_then(|first| first.licence.clone());
            let same = of_it.all(|other| other.licence == licence);
            // the summary is of the one package, not of the source
            let control = first.map(|first| Control { summary: None, ..first.control.clone() });
            Source {
                purl: purl::source(&name, &version, distribution),
                control: control.unwrap_or_default(),
                licence: licence.filter(|_| same),
                name,
                version,
            }
        };
        self.0.into_iter().map(source).collect()
    }
}

/// Name and version of the sources whose code is in a package. Source: Debian Policy 7.8, and deb-control(5).
fn built_using(record: &Paragraph<'_>) -> Vec<(String, String)> {
    let fields = ["Built-Using", "Static-Built-Using"].into_iter().filter_map(|field| record.get(field));
    let relations = fields.flat_map(relations::parse).flatten();
    relations.filter_map(|one| Some((one.name.to_owned(), one.exactly()?.to_owned()))).collect()
}

impl Control {
    fn of(record: &Paragraph<'_>) -> Self {
        let value = |field| record.get(field).filter(|value| !value.is_empty());
        Self {
            maintainer: value("Maintainer").and_then(Maintainer::parse),
            homepage: value("Homepage").filter(|address| is_web_address(address)).map(str::to_owned),
            summary: value("Description").map(str::to_owned),
        }
    }
}

/// Strict enough for what both formats allow as an address.
fn is_web_address(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_alphanumeric())
            && rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}[]".contains(&byte))
    })
}

impl Maintainer {
    fn parse(text: &str) -> Option<Self> {
        let (name, address) = text.split_once('<')?;
        let (name, address) = (name.trim().trim_matches('"'), address.split('>').next()?.trim());
        let whole = !name.is_empty() && address.contains('@') && !address.contains(char::is_whitespace);
        whole.then(|| Self { name: name.to_owned(), address: address.to_owned() })
    }

    /// Whether it is a group: by a word of its name, or because its address is a mailing list. Debian does not say it otherwise.
    pub fn is_group(&self) -> bool {
        const WORDS: [&str; 6] = ["team", "maintainers", "group", "developers", "project", "maintenance"];
        const HOSTS: [&str; 5] = [
            "lists.",
            "alioth-lists.debian.net",
            "tracker.debian.org",
            "packages.debian.org",
            "qa.debian.org",
        ];
        let name = self.name.to_ascii_lowercase();
        let host = self.address.rsplit('@').next().unwrap_or_default();
        name.split(|c: char| !c.is_ascii_alphabetic()).any(|word| WORDS.contains(&word))
            || HOSTS.iter().any(|start| host.starts_with(start))
    }
}

#[cfg(test)]
mod tests;
