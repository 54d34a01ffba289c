//! Groups; and users who were made, with the passwords that were made for them.

use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, Serializer};
use smbgw_api::{GatewayName, UserName};

use crate::output::{View, table};
use crate::record::Record;

/// A group of a gateway.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct GroupRow {
    /// Name.
    pub name: String,
    /// Its id on the node, too.
    pub gid: Option<u32>,
    /// Users in it.
    pub members: Vec<String>,
    /// Shares that name it, as `share team`.
    pub shares: Vec<String>,
}

/// `group list`
#[derive(Debug, Serialize, JsonSchema)]
pub struct GroupList {
    /// Groups.
    pub groups: Vec<GroupRow>,
}

impl View for GroupList {
    fn human(&self) -> String {
        table::render(
            &["GROUP", "GID", "MEMBERS", "NAMED BY"],
            self.groups.iter().map(|g| {
                let gid = g.gid.map(|gid| gid.to_string()).unwrap_or_default();
                vec![g.name.clone(), gid, g.members.join(", "), g.shares.join(", ")]
            }),
        )
    }
}

/// A user with a new password.
#[derive(Debug, Serialize, JsonSchema)]
pub struct NewUser {
    /// Name.
    pub name: String,
    /// Owner of the files this user writes.
    pub uid: Option<u32>,
    /// Groups.
    pub groups: Vec<String>,
    /// `added`, `changed` or `unchanged`.
    pub action: String,
    /// The password that was made; it is shown here and nowhere else.
    #[serde(serialize_with = "shown")]
    #[schemars(with = "Option<String>")]
    pub password: Option<SecretString>,
}

/// `user import`, and `user add` and `user passwd` with a password that was made
#[derive(Debug, Serialize, JsonSchema)]
pub struct NewUsers {
    /// Gateway.
    pub name: String,
    /// `changed` or `unchanged`.
    pub action: String,
    /// Operation; none when there was nothing to do.
    pub operation: Option<String>,
    /// Time it took, in milliseconds.
    pub took_ms: u64,
    /// Users.
    pub users: Vec<NewUser>,
    /// What a person should know.
    pub notes: Vec<String>,
}

fn shown<S: Serializer>(password: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    password.as_ref().map(ExposeSecret::expose_secret).serialize(serializer)
}

impl NewUser {
    /// A user as the record has it now.
    pub fn of(record: &Record, name: &UserName, action: &str, password: Option<SecretString>) -> Self {
        let groups = record.spec.groups.iter().filter(|group| group.members.contains(name));
        Self {
            name: name.to_string(),
            uid: record.spec.users.iter().find(|user| user.name == *name).and_then(|user| user.uid),
            groups: groups.map(|group| group.name.to_string()).collect(),
            action: action.to_owned(),
            password,
        }
    }
}

impl NewUsers {
    /// Those of a gateway.
    pub fn of(
        gateway: &GatewayName,
        operation: Option<String>,
        took_ms: u64,
        users: Vec<NewUser>,
        notes: Vec<String>,
    ) -> Self {
        let action = if operation.is_some() { "changed" } else { "unchanged" }.to_owned();
        Self { name: gateway.to_string(), action, operation, took_ms, users, notes }
    }
}

impl View for NewUsers {
    fn human(&self) -> String {
        let mut text = format!("{} {}\n{}", self.name, self.action, self.table().trim_end());
        if self.users.iter().any(|user| user.password.is_some()) {
            text.push_str("\nthe passwords are shown this once: they are stored nowhere in this form");
        }
        for note in &self.notes {
            text.push_str(&format!("\n  {note}"));
        }
        text
    }

    fn table(&self) -> String {
        table::render(
            &["USER", "UID", "GROUPS", "RESULT", "PASSWORD"],
            self.users.iter().map(|u| {
                let password = u.password.as_ref().map(|p| p.expose_secret().to_owned());
                let uid = u.uid.map(|uid| uid.to_string()).unwrap_or_default();
                vec![u.name.clone(), uid, u.groups.join(", "), u.action.clone(), password.unwrap_or_default()]
            }),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_printed_and_not_debugged() {
        let user = NewUser {
            name: "alice".into(),
            uid: Some(10_000),
            groups: vec!["staff".into()],
            action: "added".into(),
            password: Some("canary-7".into()),
        };
        assert!(!format!("{user:?}").contains("canary-7"));
        let users = NewUsers::of(&"team".parse().unwrap(), Some("1".into()), 1, vec![user], vec![]);
        assert!(serde_json::to_string(&users).unwrap().contains(r#""password":"canary-7""#));
        assert!(users.human().contains("canary-7") && users.human().contains("this once"));
    }
}
