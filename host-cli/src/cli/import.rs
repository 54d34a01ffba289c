//! `user import`

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use secrecy::SecretString;
use smbgw_api::{GatewayName, GatewaySpec, Group, User, UserName};

use super::args::DryRun;
use super::edit::{Asked, Edit};
use super::{group, user};
use crate::csv::{self, Person};
use crate::operation::{Context, Secrets};
use crate::output::view::{NewUser, NewUsers};
use crate::{Error, Result, password, record, world};

/// Largest file that is read.
const MAX_FILE: u64 = 4 << 20;

pub(super) fn run(
    context: &Context,
    gateway: &GatewayName,
    file: &Path,
    create_groups: bool,
    dry: DryRun,
) -> Result<ExitCode> {
    let people = csv::parse(&read(file)?)?;
    let mut actions = BTreeMap::new();
    let mut made: BTreeMap<UserName, SecretString> = BTreeMap::new();
    let edit = Edit { force: false, ..Edit::of("user import", gateway, dry.dry_run) };
    let done = edit.perform(
        context,
        |spec| {
            actions = merge(spec, &people, create_groups)?;
            Ok(asked(&actions))
        },
        |asked| {
            for name in &asked.with_password {
                made.insert(name.clone(), password::generate(world::random()?));
            }
            let key = |(name, secret): (&UserName, &SecretString)| {
                ((gateway.clone(), name.clone()), secret.clone())
            };
            Ok(made.iter().map(key).collect::<Secrets>())
        },
    )?;
    if let Some(done) = done {
        let record = context.platform.record(gateway)?.ok_or_else(|| record::missing(gateway))?;
        let row = |person: &Person| {
            let action = actions.get(&person.name).map_or("unchanged", |action| action.word());
            NewUser::of(&record, &person.name, action, made.remove(&person.name))
        };
        let rows = people.iter().map(row).collect();
        context.output.data(&NewUsers::of(gateway, done.operation, done.took_ms, rows, done.notes));
    }
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> Result<String> {
    let unreadable = |source| {
        Error::usage("csv-unreadable", format!("{} cannot be read", path.display()))
            .hint("it must be a text file in UTF-8")
            .source(source)
    };
    let mut text = String::new();
    let mut source: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).map_err(unreadable)?)
    };
    source.by_ref().take(MAX_FILE + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_FILE {
        return Err(Error::usage("csv-unreadable", format!("{} is larger than 4 MiB", path.display()))
            .hint("import it in parts"));
    }
    Ok(text)
}

/// What becomes of a user of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Added,
    Changed,
    Unchanged,
}

impl Action {
    fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
        }
    }
}

/// Puts the people into the spec. Who is there stays, and is taken into groups that the file names; nobody leaves one.
fn merge(
    spec: &mut GatewaySpec,
    people: &[Person],
    create_groups: bool,
) -> Result<BTreeMap<UserName, Action>> {
    let mut actions = BTreeMap::new();
    for person in people {
        let at = |error: Error| error.doing(format!("line {}", person.line));
        let mut action = match spec.users.iter().find(|user| user.name == person.name) {
            None => {
                spec.users.push(User { name: person.name.clone(), uid: person.uid });
                Action::Added
            }
            Some(user) if person.uid.is_some() && user.uid != person.uid => {
                let uid = user.uid.map_or_else(String::new, |uid| format!(" with uid {uid}"));
                return Err(at(Error::resource(
                    "uid-differs",
                    format!("{} is there already{uid}, and not the file's", person.name),
                )
                .hint("an import changes no uid: files would no longer be the user's; leave the uid out")));
            }
            Some(_) => Action::Unchanged,
        };
        for name in &person.groups {
            if create_groups && !spec.groups.iter().any(|group| group.name == *name) {
                spec.groups.push(Group { name: name.clone(), gid: None, members: Vec::new() });
            }
            let found = spec.groups.iter().find(|group| group.name == *name);
            let found = found.ok_or_else(|| {
                at(group::missing(spec, name)).hint("make it first (`group add`), or say --create-groups")
            })?;
            if !found.members.contains(&person.name) {
                user::join(spec, name, &person.name)?;
                action = if action == Action::Unchanged { Action::Changed } else { action };
            }
        }
        actions.insert(person.name.clone(), action);
    }
    Ok(actions)
}

fn asked(actions: &BTreeMap<UserName, Action>) -> Asked {
    let of = |wanted: Action| {
        actions.iter().filter(move |(_, action)| **action == wanted).map(|(name, _)| name.clone())
    };
    let unchanged: Vec<String> = of(Action::Unchanged).map(|name| name.to_string()).collect();
    let changed: Vec<String> = of(Action::Changed).map(|name| name.to_string()).collect();
    let mut notes = Vec::new();
    if !unchanged.is_empty() {
        notes.push(format!("left as they are, with their passwords: {}", unchanged.join(", ")));
    }
    if !changed.is_empty() {
        notes.push(format!("taken into groups, with their passwords: {}", changed.join(", ")));
    }
    Asked { with_password: of(Action::Added).collect::<BTreeSet<_>>(), notes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(text: &str, create_groups: bool) -> Result<(GatewaySpec, Asked)> {
        let mut spec: GatewaySpec = serde_yaml::from_str(
            "name: team\nusers: [{name: alice, uid: 10000}, {name: bob, uid: 10001}]\n\
             groups: [{name: staff, gid: 20000, members: [alice]}]",
        )
        .unwrap();
        let actions = merge(&mut spec, &csv::parse(text).unwrap(), create_groups)?;
        spec.check().unwrap();
        Ok((spec, asked(&actions)))
    }

    #[test]
    fn new_ones_are_made_and_others_left() {
        let text = "name,uid,groups\nalice,10000,staff\nbob,,staff\ncarol,1005,staff\ndave,,";
        let (spec, asked) = merged(text, false).unwrap();
        assert_eq!(asked.with_password.iter().map(UserName::as_str).collect::<Vec<_>>(), ["carol", "dave"]);
        assert_eq!(spec.groups[0].members.len(), 3);
        assert_eq!(
            asked.notes,
            ["left as they are, with their passwords: alice", "taken into groups, with their passwords: bob"]
        );
    }

    #[test]
    fn what_cannot_be() {
        assert_eq!(merged("name,uid\nalice,1234", false).unwrap_err().code, "uid-differs");
        let error = merged("name,groups\ncarol,crew", false).unwrap_err();
        assert_eq!(error.code, "no-such-group");
        assert!(error.message.contains("line 2") && error.hint.unwrap().contains("--create-groups"));
        let (spec, _) = merged("name,groups\ncarol,crew\ndave,crew", true).unwrap();
        assert_eq!((spec.groups[1].name.as_str(), spec.groups[1].members.len()), ("crew", 2));
    }
}
