//! `/etc/pve/smbgateway.cfg`: what the cluster remembers of gateways, templates, and deletions under way. Reading takes no
//! lock. Every change takes the cluster's, reads the file anew, and replaces it. Sections and keys of newer versions stay.

use std::collections::BTreeMap;

use smbgw_api::{GatewayName, IdBook};

use super::files::ClusterFiles;
use super::lock::ClusterLock;
use super::section::{self, Section};
use crate::platform::pve::call::GuestId;
use crate::platform::pve::call::pvesh::Kind;
use crate::record::{RECORD_VERSION, Record, RecordState};
use crate::{Error, Result};

/// Name of the file.
pub const FILE: &str = "smbgateway.cfg";
const GATEWAY: &str = "gateway";
const RETIRED: &str = "retired";
const TEMPLATE: &str = "template";
const IDS: &str = "ids";

/// A gateway in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its record.
    pub record: Record,
    /// Node that its guest was made on.
    pub node: String,
    /// Id of its guest, once one was chosen.
    pub id: Option<GuestId>,
}

impl Entry {
    /// Kind of its guest.
    pub fn kind(&self) -> Kind {
        kind(&self.record)
    }
}

/// Kind of the guest of a record.
pub fn kind(record: &Record) -> Kind {
    if record.guest.is_machine() { Kind::Machine } else { Kind::Container }
}

/// A guest whose gateway is being deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retired {
    /// Gateway that it was of.
    pub name: GatewayName,
    /// Node.
    pub node: String,
    /// Id.
    pub id: GuestId,
    /// Kind.
    pub kind: Kind,
    /// It started with the node before.
    pub onboot: bool,
}

/// An installed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Exact name.
    pub name: String,
    /// Node that it was installed on.
    pub node: String,
    /// Its section, with all keys.
    pub section: Section,
}

/// The file's content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registry {
    sections: Vec<Section>,
}

impl Registry {
    /// Reads the text.
    pub fn parse(text: &str) -> Self {
        Self { sections: section::parse(text) }
    }

    /// The text.
    pub fn render(&self) -> String {
        section::render(&self.sections)
    }

    /// What is there now.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(files: &ClusterFiles) -> Result<Self> {
        Ok(files.read(FILE)?.map_or_else(Self::default, |text| Self::parse(&text)))
    }

    /// Changes the file under the cluster's lock. It is not written when nothing differs.
    ///
    /// # Errors
    /// What `change` refuses; codes `no-quorum`, `cluster-busy`.
    pub fn update<T>(files: &ClusterFiles, change: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let lock = ClusterLock::take(files)?;
        let before = Self::read(files)?;
        let mut after = before.clone();
        let result = change(&mut after)?;
        if after != before {
            files.replace(FILE, &after.render())?;
        }
        drop(lock);
        Ok(result)
    }

    fn find(&self, kind: &str, id: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.kind == kind && section.id == id)
    }

    fn find_mut(&mut self, kind: &str, id: &str) -> &mut Section {
        let index = self.sections.iter().position(|section| section.kind == kind && section.id == id);
        let index = index.unwrap_or_else(|| {
            self.sections.push(Section::new(kind, id));
            self.sections.len() - 1
        });
        &mut self.sections[index]
    }

    fn drop_section(&mut self, kind: &str, id: &str) {
        self.sections.retain(|section| section.kind != kind || section.id != id);
    }

    /// All gateways, by name.
    ///
    /// # Errors
    /// Code `record-damaged`.
    pub fn gateways(&self) -> Result<Vec<Entry>> {
        let mut entries = self
            .sections
            .iter()
            .filter(|section| section.kind == GATEWAY)
            .map(entry)
            .collect::<Result<Vec<_>>>()?;
        entries.sort_by(|a, b| a.record.name().cmp(b.record.name()));
        Ok(entries)
    }

    /// One gateway.
    ///
    /// # Errors
    /// Code `record-damaged`.
    pub fn gateway(&self, name: &GatewayName) -> Result<Option<Entry>> {
        self.find(GATEWAY, name.as_str()).map(entry).transpose()
    }

    /// Adds a gateway, whose name, address and disk no other may have.
    ///
    /// # Errors
    /// Codes `name-taken`, `address-taken`, `disk-in-use`.
    pub fn add(&mut self, record: &Record, node: &str) -> Result<()> {
        let others = self.gateways()?;
        if let Some(same) = others.iter().find(|other| other.record.name() == record.name()) {
            // the same record: this step runs for the second time
            if same.record == *record {
                return Ok(());
            }
            return Err(Error::resource(
                "name-taken",
                format!("there is a gateway {} already", record.name()),
            )
            .hint("choose another name, or change that one with `pve-smbgateway set`"));
        }
        let taken = |code, what: String, other: &Entry| {
            Error::resource(code, format!("gateway {} has {what}", other.record.name()))
        };
        if let Some(ip) = record.guest.ip()
            && let Some(other) = others.iter().find(|o| o.record.guest.ip() == Some(ip))
        {
            return Err(
                taken("address-taken", format!("the address {ip}"), other).hint("choose another address")
            );
        }
        if let Some(disk) = &record.spec.disk
            && let Some(other) =
                others.iter().find(|o| o.record.spec.disk.as_ref().is_some_and(|d| d.source == disk.source))
        {
            return Err(taken("disk-in-use", format!("the disk {}", disk.source), other).hint(
                "a disk belongs to one gateway at a time: share it from that one, or delete that one first",
            ));
        }
        let section = self.find_mut(GATEWAY, record.name().as_str());
        section.set("node", node);
        write(section, record)
    }

    /// Replaces a gateway's record; node and id of its guest stay.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn put(&mut self, record: &Record, node: &str) -> Result<()> {
        let retired = self.retired().into_iter().find(|retired| retired.name == *record.name());
        let section = self.find_mut(GATEWAY, record.name().as_str());
        if section.get("node").is_none() {
            section.set("node", node);
        }
        write(section, record)?;
        // its deletion is being taken back: the guest is still there
        if section.get("vmid").is_none()
            && let Some(retired) = retired
        {
            section.set("node", retired.node);
            section.set("vmid", retired.id.to_string());
        }
        Ok(())
    }

    /// Notes where a gateway's guest is.
    ///
    /// # Errors
    /// Code `no-such-gateway`.
    pub fn place(&mut self, name: &GatewayName, node: &str, id: Option<GuestId>) -> Result<()> {
        if self.find(GATEWAY, name.as_str()).is_none() {
            return Err(crate::record::missing(name));
        }
        let section = self.find_mut(GATEWAY, name.as_str());
        section.set("node", node);
        match id {
            Some(id) => section.set("vmid", id.to_string()),
            None => section.remove("vmid"),
        }
        Ok(())
    }

    /// Removes a gateway.
    pub fn remove(&mut self, name: &GatewayName) {
        self.drop_section(GATEWAY, name.as_str());
    }

    /// Ids that users and groups of gateways had.
    ///
    /// # Errors
    /// Code `ids-damaged`: they must not be given twice.
    pub fn ids_of_people(&self) -> Result<BTreeMap<GatewayName, IdBook>> {
        let book = |section: &Section| {
            let damaged = |why: String| {
                Error::infrastructure("ids-damaged", format!("the ids of {} in {FILE}: {why}", section.id))
                    .hint("put them right by hand, or remove the section: users who come back may then get other ids")
            };
            let name = GatewayName::parse(&section.id).map_err(|error| damaged(error.to_string()))?;
            let book = serde_json::from_str(section.get("book").unwrap_or_default())
                .map_err(|error| damaged(error.to_string()))?;
            Ok((name, book))
        };
        self.sections.iter().filter(|section| section.kind == IDS).map(book).collect()
    }

    /// Replaces those of a gateway; none forgets them.
    ///
    /// # Errors
    /// When they cannot be written down.
    pub fn put_ids(&mut self, name: &GatewayName, book: Option<&IdBook>) -> Result<()> {
        let Some(book) = book else {
            self.drop_section(IDS, name.as_str());
            return Ok(());
        };
        let json =
            serde_json::to_string(book).map_err(|source| Error::internal("writing ids").source(source))?;
        self.find_mut(IDS, name.as_str()).set("book", json);
        Ok(())
    }

    /// Ids of guests that are ours or promised to us.
    pub fn ids(&self) -> Vec<GuestId> {
        self.sections.iter().filter_map(|section| section.get("vmid")?.parse().ok()).collect()
    }

    /// Guests whose gateways are being deleted.
    pub fn retired(&self) -> Vec<Retired> {
        self.sections.iter().filter(|section| section.kind == RETIRED).filter_map(retired).collect()
    }

    /// One of them.
    pub fn retired_as(&self, ticket: &str) -> Option<Retired> {
        self.find(RETIRED, ticket).and_then(retired)
    }

    /// Writes one down.
    pub fn retire(&mut self, ticket: &str, retired: &Retired) {
        let section = self.find_mut(RETIRED, ticket);
        section.set("name", retired.name.as_str());
        section.set("node", &*retired.node);
        section.set("vmid", retired.id.to_string());
        section.set("type", retired.kind.to_string());
        section.set("onboot", u8::from(retired.onboot).to_string());
    }

    /// Removes one.
    pub fn unretire(&mut self, ticket: &str) {
        self.drop_section(RETIRED, ticket);
    }

    /// Installed templates.
    pub fn templates(&self) -> Vec<Installed> {
        let template = |section: &Section| {
            let (name, node) = section.id.rsplit_once('@')?;
            Some(Installed { name: name.to_owned(), node: node.to_owned(), section: section.clone() })
        };
        self.sections.iter().filter(|section| section.kind == TEMPLATE).filter_map(template).collect()
    }

    /// Writes one down.
    pub fn put_template(&mut self, name: &str, node: &str, keys: &[(&str, String)]) {
        let section = self.find_mut(TEMPLATE, &format!("{name}@{node}"));
        for (key, value) in keys {
            section.set(key, value);
        }
    }

    /// Removes one.
    pub fn remove_template(&mut self, name: &str, node: &str) {
        self.drop_section(TEMPLATE, &format!("{name}@{node}"));
    }
}

fn write(section: &mut Section, record: &Record) -> Result<()> {
    let json =
        serde_json::to_string(record).map_err(|source| Error::internal("writing a record").source(source))?;
    section.set("mode", record.spec.mode.to_string());
    let state = if record.state == RecordState::Active { "active" } else { "creating" };
    section.set("state", state);
    section.set("record", json);
    Ok(())
}

fn entry(section: &Section) -> Result<Entry> {
    let damaged = |why: String| {
        Error::infrastructure(
            "record-damaged",
            format!("gateway {} in {FILE} cannot be read: {why}", section.id),
        )
        .hint("it was written by a newer version, or by hand")
    };
    let json = section.get("record").ok_or_else(|| damaged("it has no record".to_owned()))?;
    let record: Record = serde_json::from_str(json).map_err(|source| damaged(source.to_string()))?;
    if record.version != RECORD_VERSION || record.name().as_str() != section.id {
        return Err(damaged(format!("it is of version {} for {}", record.version, record.name())));
    }
    let node = section.get("node").filter(|node| super::files::is_node_name(node));
    let node = node.ok_or_else(|| damaged("it has no node".to_owned()))?.to_owned();
    let id =
        section.get("vmid").map(|id| id.parse().map_err(|_| damaged(format!("vmid {id}")))).transpose()?;
    Ok(Entry { record, node, id })
}

fn retired(section: &Section) -> Option<Retired> {
    Some(Retired {
        name: GatewayName::parse(section.get("name")?).ok()?,
        node: section.get("node")?.to_owned(),
        id: section.get("vmid")?.parse().ok()?,
        kind: if section.get("type")? == "qemu" { Kind::Machine } else { Kind::Container },
        onboot: section.get("onboot") == Some("1"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::pve::cluster::files::tests::cluster;
    use jiff::Timestamp;
    use proptest::prelude::*;

    pub(crate) fn record(name: &str) -> Record {
        let mut guest = crate::record::tests::machine();
        guest.name = name.parse().unwrap();
        let spec = format!("{{name: {name}, mode: vm, disk: {{rbd: tank/{name}}}}}");
        Record {
            version: RECORD_VERSION,
            state: RecordState::Creating,
            created: Timestamp::UNIX_EPOCH,
            spec: serde_yaml::from_str(&spec).unwrap(),
            guest,
        }
    }

    fn at(name: &str, ip: u8) -> Record {
        let mut record = record(name);
        record.guest.card().address =
            crate::record::GuestAddress::Static { ip: [10, 0, 0, ip].into(), prefix: 24 };
        record
    }

    #[test]
    fn a_file_with_one_of_each() {
        let mut registry = Registry::default();
        registry.add(&record("team"), "pve1").unwrap();
        registry.place(&"team".parse().unwrap(), "pve1", Some(101)).unwrap();
        registry.put_template("debian-13_0.1.0", "pve1", &[("volume", "local:vztmpl/x.tar.zst".into())]);
        let retired = Retired {
            name: "old".parse().unwrap(),
            node: "pve2".into(),
            id: 102,
            kind: Kind::Container,
            onboot: true,
        };
        registry.retire("old-1", &retired);
        insta::assert_snapshot!(registry.render());
        assert_eq!(Registry::parse(&registry.render()), registry);
        assert_eq!(registry.retired_as("old-1"), Some(retired));
        assert_eq!(registry.ids(), [101, 102]);
        let entry = registry.gateway(&"team".parse().unwrap()).unwrap().unwrap();
        assert_eq!((entry.id, entry.node.as_str(), entry.kind()), (Some(101), "pve1", Kind::Machine));
    }

    #[test]
    fn ids_outlive_their_gateway() {
        let (mut registry, name) = (Registry::default(), "team".parse().unwrap());
        registry.add(&record("team"), "pve1").unwrap();
        let mut book = IdBook::default();
        book.users.insert("alice".parse().unwrap(), 10_000);
        registry.put_ids(&name, Some(&book)).unwrap();
        registry.remove(&name);
        let text = registry.render();
        assert_eq!(text, "ids: team\n\tbook {\"users\":{\"alice\":10000}}\n");
        let mut registry = Registry::parse(&text);
        assert_eq!(registry.ids_of_people().unwrap()[&name], book);
        assert_eq!(Registry::parse("ids: team\n").ids_of_people().unwrap_err().code, "ids-damaged");
        registry.put_ids(&name, None).unwrap();
        assert!(registry.render().is_empty());
    }

    #[test]
    fn what_newer_versions_wrote_stays() {
        let text = "cluster: big\n\tvip 10.0.0.9\n\ngateway: team\n\tnode pve1\n\tcolour red\n\trecord {}\n";
        let mut registry = Registry::parse(text);
        assert_eq!(registry.gateways().unwrap_err().code, "record-damaged");
        registry.put(&record("team"), "pve2").unwrap();
        let text = registry.render();
        assert!(
            text.starts_with("cluster: big\n\tvip 10.0.0.9\n\ngateway: team\n\tnode pve1\n\tcolour red\n"),
            "{text}"
        );
        registry.gateways().unwrap();
    }

    #[test]
    fn names_addresses_and_disks_are_given_once() {
        let mut registry = Registry::default();
        let team = at("team", 1);
        registry.add(&team, "pve1").unwrap();
        registry.add(&team, "pve1").unwrap();
        let later = Record { created: Timestamp::MAX, ..team.clone() };
        assert_eq!(registry.add(&later, "pve2").unwrap_err().code, "name-taken");
        assert_eq!(registry.add(&at("b", 1), "pve2").unwrap_err().code, "address-taken");
        let mut same = at("b", 2);
        same.spec.disk = team.spec.disk;
        assert_eq!(registry.add(&same, "pve2").unwrap_err().code, "disk-in-use");
        registry.add(&at("b", 2), "pve2").unwrap();
        assert_eq!(registry.gateways().unwrap().len(), 2);
    }

    #[test]
    fn a_deletion_that_is_taken_back_finds_its_guest() {
        let mut registry = Registry::default();
        let retired = Retired {
            name: "team".parse().unwrap(),
            node: "pve1".into(),
            id: 105,
            kind: Kind::Machine,
            onboot: true,
        };
        registry.retire("t", &retired);
        registry.put(&record("team"), "pve9").unwrap();
        let entry = registry.gateway(&"team".parse().unwrap()).unwrap().unwrap();
        assert_eq!((entry.node.as_str(), entry.id), ("pve1", Some(105)));
    }

    #[test]
    fn many_writers_lose_nothing() {
        let (_directory, files) = cluster();
        std::thread::scope(|scope| {
            for number in 0..8u8 {
                let files = files.clone();
                scope.spawn(move || {
                    Registry::update(&files, |registry| {
                        registry.add(&at(&format!("g{number}"), number), "pve1")
                    })
                    .unwrap();
                });
            }
        });
        assert_eq!(Registry::read(&files).unwrap().gateways().unwrap().len(), 8);
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,200}") {
            let registry = Registry::parse(&text);
            let _ = (registry.gateways(), registry.retired(), registry.templates(), registry.ids());
        }
    }
}
