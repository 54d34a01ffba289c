//! `net ads`, `kinit` and `wbinfo`, each with a deadline. Passwords go in on stdin.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use smbgw_api::v1::ApiError;
use smbgw_api::v1::domain::Credential;
use smbgw_api::{Domain, DomainFault, DomainUser, Realm};
use smbgw_command::{Command, CommandError};

use super::classify;
use super::preflight::MARK;
use crate::agent::Agent;
use crate::error::{Result, command, domain, internal};

/// For a question to the directory.
const ASKS: Duration = Duration::from_secs(15);
/// For a question to a controller about itself.
const INFORMS: Duration = Duration::from_secs(8);
/// For a join or a leave: all that it needs has answered before.
pub(crate) const JOINS: Duration = Duration::from_secs(60);

/// Who asks the directory.
#[derive(Clone, Copy)]
pub(crate) enum As<'a> {
    /// The machine account.
    Machine,
    /// The ticket in this file.
    Ticket(&'a str),
}

/// An account and its password.
pub(crate) struct Account {
    pub(crate) user: DomainUser,
    pub(crate) password: SecretString,
}

impl TryFrom<Credential> for Account {
    type Error = ApiError;

    fn try_from(credential: Credential) -> Result<Self> {
        Ok(Self { user: credential.user, password: password(credential.password)? })
    }
}

/// A password as tools read one from a line.
pub(crate) fn password(text: String) -> Result<SecretString> {
    let password = SecretString::from(text);
    let text = password.expose_secret();
    if text.is_empty() || text.len() > 512 || text.chars().any(char::is_control) {
        return Err(crate::error::invalid("the password must have 1 to 512 bytes and no control characters"));
    }
    Ok(password)
}

impl Account {
    fn line(&self) -> SecretString {
        line(&self.password)
    }
}

fn line(password: &SecretString) -> SecretString {
    format!("{}\n", password.expose_secret()).into()
}

/// `net`, with a configuration of its own.
fn net(conf: &str) -> Command {
    Command::new("net").args([format!("--configfile={conf}")])
}

/// What a tool said when it failed, and what that means.
fn failed(doing: &str, error: &CommandError, classify: fn(&str) -> DomainFault) -> ApiError {
    match error {
        CommandError::Failed { stdout, stderr, .. } => {
            let text = format!("{stdout}\n{stderr}");
            domain(classify(&text), format!("{doing}: {}", classify::line(&text)))
        }
        CommandError::TimedOut { deadline, .. } => {
            domain(DomainFault::Timeout, format!("{doing} did not end within {} s", deadline.as_secs()))
        }
        _ => internal(command(doing, error)),
    }
}

/// Gets a ticket with a password: the only question whose answer tells a wrong password from a wrong name.
pub(crate) fn kinit(agent: &Agent, account: &Account, realm: &Realm, cache: &str) -> Result<()> {
    let command = Command::new("kinit")
        .arg(format!("{}@{realm}", account.user))
        .env("KRB5CCNAME", format!("FILE:{cache}"))
        .stdin_secret(account.line())
        .deadline(ASKS);
    let doing = format!("logging on as {}", account.user);
    agent.runner.run(&command).map(drop).map_err(|error| failed(&doing, &error, classify::fault))
}

/// Attributes of one object, or of those a filter finds. `None`: there is no such object.
pub(crate) fn search(
    agent: &Agent,
    conf: &str,
    who: As<'_>,
    what: Query<'_>,
    attributes: &[&str],
) -> Result<Option<Vec<(String, String)>>> {
    let mut command = net(conf).args(["ads"]);
    command = match what {
        Query::Object(dn) => command.args(["dn", dn]),
        Query::Filter(filter) => command.args(["search", filter]),
    };
    command = command.args(attributes.iter().copied()).deadline(ASKS);
    command = match who {
        As::Machine => command.arg("-P"),
        As::Ticket(cache) => {
            command.arg("--use-kerberos=required").env("KRB5CCNAME", format!("FILE:{cache}"))
        }
    };
    match agent.runner.run(&command) {
        Ok(output) => Ok(parse_search(&String::from_utf8_lossy(&output.stdout))),
        Err(CommandError::Failed { stdout, stderr, .. })
            if format!("{stdout}{stderr}").contains("No such object") =>
        {
            Ok(None)
        }
        Err(error) => Err(failed("asking the directory", &error, classify::machine_fault)),
    }
}

/// What is looked for.
#[derive(Clone, Copy)]
pub(crate) enum Query<'a> {
    /// The object of this DN.
    Object(&'a str),
    /// Objects of the domain.
    Filter(&'a str),
}

/// `attribute: value` lines after `Got 1 replies`.
fn parse_search(text: &str) -> Option<Vec<(String, String)>> {
    let attributes: Vec<_> = text
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect();
    (!attributes.is_empty()).then_some(attributes)
}

/// The first value of an attribute.
pub(crate) fn value<'a>(attributes: &'a [(String, String)], name: &str) -> Option<&'a str> {
    attributes.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// What a domain controller says of itself and of the domain, without any account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Info {
    /// DNS name of the controller.
    pub(crate) controller: String,
    /// NetBIOS name of the domain.
    pub(crate) workgroup: Option<String>,
    /// Its clock less ours, in seconds.
    pub(crate) offset_s: i64,
}

/// Asks the controller that Samba finds.
pub(crate) fn info(agent: &Agent, conf: &str, controller: Option<&str>) -> Result<Info> {
    let ask = |words: &[&str]| {
        let at = controller.iter().flat_map(|controller| ["-S", controller]);
        let command = net(conf).args(words.iter().copied().chain(at)).deadline(INFORMS);
        let output = agent.runner.run(&command).map_err(|error| {
            let mut error = failed("asking the domain controller about itself", &error, classify::fault);
            if error.fault == Some(DomainFault::Other) {
                error = domain(DomainFault::Unreachable, error.message);
            }
            error
        })?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let incomplete =
        || domain(DomainFault::Unreachable, "the domain controller's answer about itself is not complete");
    let info = parse_info(&ask(&["ads", "info", "--json"])?).ok_or_else(incomplete)?;
    if info.workgroup.is_some() {
        return Ok(info);
    }
    let workgroup = parse_workgroup(&ask(&["ads", "workgroup"])?).ok_or_else(incomplete)?;
    Ok(Info { workgroup: Some(workgroup), ..info })
}

fn parse_info(text: &str) -> Option<Info> {
    let json: serde_json::Value = serde_json::from_str(text.trim()).ok()?;
    // with LDAP out of reach, net succeeds, and the server's time is 1970 (seen with 4.17)
    if json["Server time"].as_i64()? < 1_000_000_000 {
        return None;
    }
    Some(Info {
        controller: json["LDAP server name"].as_str()?.to_owned(),
        // 4.17 does not say it here
        workgroup: json["Workgroup"].as_str().map(str::to_owned),
        offset_s: json["Server time offset"].as_i64()?,
    })
}

/// `Workgroup: LAB`
fn parse_workgroup(text: &str) -> Option<String> {
    text.lines().find_map(|line| line.strip_prefix("Workgroup: ")).map(|name| name.trim().to_owned())
}

/// Joins with a user's password.
pub(crate) fn join(
    agent: &Agent,
    conf: &str,
    account: &Account,
    wanted: &Domain,
    controller: Option<&str>,
) -> Result<()> {
    let mut command = net(conf).args(["ads", "join", "-U", account.user.as_str()]);
    if let Some(controller) = controller {
        command = command.args(["-S", controller]);
    }
    if let Some(ou) = &wanted.ou {
        command = command.arg(format!("createcomputer={}", ou.path()));
    }
    let command = command
        .args([format!("osName={MARK}"), format!("osVer={}", env!("CARGO_PKG_VERSION"))])
        .arg("--no-dns-updates")
        .stdin_secret(account.line())
        .deadline(JOINS);
    agent
        .runner
        .run(&command)
        .map(drop)
        .map_err(|error| failed("joining the domain", &error, classify::fault))
}

/// Takes a blob over that was made elsewhere (net(8), OFFLINEJOIN).
pub(crate) fn request_offline_join(agent: &Agent, conf: &str, file: &str) -> Result<()> {
    let command = net(conf)
        .args(["offlinejoin".to_owned(), "requestodj".to_owned(), format!("loadfile={file}")])
        .deadline(JOINS);
    agent
        .runner
        .run(&command)
        .map(drop)
        .map_err(|error| failed("taking the offline join over", &error, classify::fault))
}

/// Deletes the computer account, and forgets its secret.
pub(crate) fn leave(agent: &Agent, conf: &str, account: &Account) -> Result<()> {
    let command = net(conf)
        .args(["ads", "leave", "-U", account.user.as_str()])
        .stdin_secret(account.line())
        .deadline(JOINS);
    agent
        .runner
        .run(&command)
        .map(drop)
        .map_err(|error| failed("leaving the domain", &error, classify::fault))
}

/// Whether the domain accepts our secret.
pub(crate) fn test_join(agent: &Agent, conf: &str) -> Result<()> {
    let command = net(conf).args(["ads", "testjoin"]).deadline(ASKS);
    agent
        .runner
        .run(&command)
        .map(drop)
        .map_err(|error| failed("the domain's answer to our secret", &error, classify::machine_fault))
}

/// Writes the keytab anew.
pub(crate) fn write_keytab(agent: &Agent, conf: &str) -> Result<()> {
    let command = net(conf).args(["ads", "keytab", "create", "-P"]).deadline(ASKS);
    agent
        .runner
        .run(&command)
        .map(drop)
        .map_err(|error| failed("writing the keytab", &error, classify::machine_fault))
}

/// Registers the gateway's addresses under its name.
pub(crate) fn register_dns(agent: &Agent, conf: &str, name: &str, addresses: &[String]) -> Result<()> {
    let command =
        net(conf).args(["ads", "dns", "register", "-P", name]).args(addresses.iter().cloned()).deadline(ASKS);
    agent.runner.run(&command).map(drop).map_err(|error| {
        let error = failed("registering the gateway's name in DNS", &error, classify::machine_fault);
        domain(DomainFault::DnsUpdate, error.message)
    })
}

/// Takes the gateway's name out of DNS.
pub(crate) fn unregister_dns(agent: &Agent, conf: &str, name: &str) -> Result<()> {
    let command = net(conf).args(["ads", "dns", "unregister", "-P", name]).deadline(ASKS);
    agent
        .runner
        .run(&command)
        .map(drop)
        .map_err(|error| failed("taking the gateway's name out of DNS", &error, classify::machine_fault))
}

/// Whether winbindd has a connection to this domain; it answers at once, also when no controller does.
pub(crate) fn is_online(agent: &Agent, workgroup: &str) -> Result<bool> {
    let command = Command::new("wbinfo").arg("--online-status").deadline(Duration::from_secs(3));
    let output = agent
        .runner
        .run(&command)
        .map_err(|error| domain(DomainFault::Winbind, crate::error::command("asking winbindd", &error)))?;
    Ok(parse_online(&String::from_utf8_lossy(&output.stdout), workgroup))
}

/// `LAB : active connection`
fn parse_online(text: &str, workgroup: &str) -> bool {
    text.lines().any(|line| {
        line.split_once(" : ").is_some_and(|(name, state)| {
            name.trim().eq_ignore_ascii_case(workgroup) && state.trim() == "active connection"
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_net() {
        // 4.22.11
        let text = r#"{"LDAP server": "10.99.0.10", "LDAP server name": "dc1.lab.test", "Workgroup": "LAB", "Realm": "LAB.TEST", "Bind Path": "dc=LAB,dc=TEST", "LDAP port": 389, "Server time": 1795696908, "KDC server": "10.99.0.10", "Server time offset": -7, "Last machine account password change": 0}"#;
        let info = parse_info(text).unwrap();
        assert_eq!(
            (info.controller.as_str(), info.workgroup.as_deref(), info.offset_s),
            ("dc1.lab.test", Some("LAB"), -7)
        );
        // 4.17.12
        let old = text.replace(r#""Workgroup": "LAB", "#, "");
        assert_eq!(parse_info(&old).unwrap().workgroup, None);
        assert_eq!(parse_workgroup("Workgroup: LAB\n").as_deref(), Some("LAB"));
        assert_eq!(parse_info(&text.replace("1795696908", "0")), None);
        let found =
            parse_search("Got 1 replies\n\ndistinguishedName: CN=GW1,OU=Gateways,DC=lab,DC=test\n").unwrap();
        assert_eq!(value(&found, "distinguishedname"), Some("CN=GW1,OU=Gateways,DC=lab,DC=test"));
        assert_eq!(parse_search("Got 0 replies\n"), None);
    }

    #[test]
    fn answers_of_winbindd() {
        let text = "BUILTIN : active connection\nGW1 : active connection\nLAB : no active connection\n";
        assert!(!parse_online(text, "LAB") && parse_online(text, "gw1") && !parse_online(text, "X"));
    }
}
