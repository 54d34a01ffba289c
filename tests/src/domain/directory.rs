//! The domain's directory, past any right: its accounts, and what gateways have in it. Source: ldbsearch(1), ldbmodify(1), samba-tool(8).

use anyhow::{Context, Result, ensure};

use super::{ADDRESS, DomainController, GATEWAYS_OU, JOINER, JOINER_PASSWORD, REALM, Ticket, dns};
use crate::Answer;

const SAM: &str = "/var/lib/samba/private/sam.ldb";

/// A computer account of the domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Computer {
    /// Where it is.
    pub dn: String,
    /// Its security identifier.
    pub sid: String,
    /// Whether it is disabled.
    pub disabled: bool,
    /// Its service principal names.
    pub services: Vec<String>,
}

impl DomainController {
    /// Searches the directory: an LDIF record for each object found.
    ///
    /// # Errors
    /// When it cannot be searched.
    pub fn search(&self, filter: &str, attributes: &[&str]) -> Result<Vec<String>> {
        let words = ["ldbsearch", "-H", SAM, "-b", "DC=lab,DC=test", filter];
        let answer = self.run(words.into_iter().chain(attributes.iter().copied()))?;
        // a line that goes on begins with a space (RFC 2849)
        let text = answer.stdout.replace("\n ", "");
        let records = text.split("\n\n").filter(|record| value(record, "dn").is_some());
        Ok(records.map(str::to_owned).collect())
    }

    /// Changes the directory as LDIF says, past any right.
    ///
    /// # Errors
    /// When the directory refuses.
    pub fn modify(&self, ldif: &str) -> Result<()> {
        Answer::of(&self.command(["ldbmodify", "-H", SAM, "--relax"]).stdin(ldif))?.ok().map(drop)
    }

    /// The id that gateways give to a user: the first of a domain's accounts and the RID (crates/gateway-api/src/domain/ids.rs).
    ///
    /// # Errors
    /// When there is no such user.
    pub fn id_of(&self, user: &str) -> Result<u32> {
        let found = self.search(&format!("(sAMAccountName={user})"), &["objectSid"])?;
        let sid = found.first().and_then(|record| value(record, "objectSid"));
        let rid = sid.and_then(|sid| sid.rsplit('-').next()).with_context(|| format!("no SID of {user}"))?;
        Ok(100_000 + rid.parse::<u32>()?)
    }

    /// Makes a computer account for an offline join (net(8), OFFLINEJOIN); gives the blob, which is a secret.
    ///
    /// # Errors
    /// When the domain refuses.
    pub fn offline_join(&self, name: &str) -> Result<String> {
        let realm = format!("domain={REALM}");
        let name = format!("machine_name={}", name.to_uppercase());
        let unit = format!("machine_account_ou={GATEWAYS_OU}");
        let words = ["net", "offlinejoin", "provision", "-U", JOINER, &realm, &name, &unit, "printblob"];
        let answer = Answer::of(&self.command(words).stdin(format!("{JOINER_PASSWORD}\n")))?.ok()?;
        // the prompt for the password has no line of its own
        let blob = answer.stdout.split_whitespace().max_by_key(|word| word.len());
        Ok(blob.context("no blob")?.rsplit(':').next().unwrap_or_default().to_owned())
    }

    /// The computer account of this name, if there is one.
    ///
    /// # Errors
    /// When the directory cannot be searched.
    pub fn computer(&self, name: &str) -> Result<Option<Computer>> {
        let attributes = ["objectSid", "userAccountControl", "servicePrincipalName"];
        let found = self.search(&format!("(sAMAccountName={name}$)"), &attributes)?;
        let Some(record) = found.first() else { return Ok(None) };
        let field = |name: &str| value(record, name).with_context(|| format!("no {name} in {record}"));
        // ADS_UF_ACCOUNTDISABLE, [MS-ADTS] 2.2.16
        let disabled = field("userAccountControl")?.parse::<u32>()? & 2 != 0;
        let services =
            record.lines().filter_map(|line| line.strip_prefix("servicePrincipalName: ")).map(str::to_owned);
        let (dn, sid) = (field("dn")?.to_owned(), field("objectSid")?.to_owned());
        Ok(Some(Computer { dn, sid, disabled, services: services.collect() }))
    }

    /// Names of all computer accounts but its own.
    ///
    /// # Errors
    /// When the directory cannot be searched.
    pub fn computers(&self) -> Result<Vec<String>> {
        let found = self.search("(objectClass=computer)", &["sAMAccountName"])?;
        let names = found.iter().filter_map(|record| value(record, "sAMAccountName"));
        Ok(names.map(|name| name.trim_end_matches('$').to_owned()).filter(|name| name != "DC1").collect())
    }

    /// Addresses that its DNS has for a name of the domain.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn addresses_of(&self, name: &str) -> Result<usize> {
        Ok(dns::ask(ADDRESS, &format!("{name}.{REALM}"), dns::A)?.records)
    }

    /// Gives an account another password.
    ///
    /// # Errors
    /// When the domain refuses.
    pub fn set_password(&self, user: &str, password: &str) -> Result<()> {
        // by stdin, twice: a password is no argument of a process
        let command = self.command(["samba-tool", "user", "setpassword", user]);
        Answer::of(&command.stdin(format!("{password}\n{password}\n")))?.ok().map(drop)
    }

    /// Locks an account as too many wrong passwords do.
    ///
    /// # Errors
    /// When it is not locked.
    pub fn lock(&self, user: &str) -> Result<()> {
        let threshold = |count: &str| {
            self.samba_tool(&["domain", "passwordsettings", "set", "--account-lockout-threshold", count])
        };
        threshold("2")?;
        for _ in 0..3 {
            let _ = Ticket::get(&self.directory, user, "wrong");
        }
        let locked = self.search(&format!("(&(sAMAccountName={user})(lockoutTime>=1))"), &["lockoutTime"])?;
        // a lock holds without it; without, other tests' wrong passwords lock nobody
        threshold("0")?;
        ensure!(!locked.is_empty(), "{user} is not locked");
        Ok(())
    }

    /// Lets accounts that are made from now on have RIDs from this one.
    ///
    /// # Errors
    /// When the directory refuses.
    pub fn next_rid(&self, rid: u64) -> Result<()> {
        let set = self.search("(objectClass=rIDSet)", &["rIDNextRID"])?;
        let dn = set.first().and_then(|record| value(record, "dn")).context("no RID set")?;
        // [MS-ADTS] 6.1.5.3: pools are two 32 bit numbers, the last one above
        let (pool, rest) = (((rid + 499) << 32) + rid, (0x3fff_ffff << 32) + rid + 500);
        self.modify(&format!(
            "dn: {dn}\nchangetype: modify\nreplace: rIDAllocationPool\nrIDAllocationPool: {pool}\n-\nreplace: rIDPreviousAllocationPool\nrIDPreviousAllocationPool: {pool}\n-\nreplace: rIDNextRID\nrIDNextRID: {rid}\n\ndn: CN=RID Manager$,CN=System,DC=lab,DC=test\nchangetype: modify\nreplace: rIDAvailablePool\nrIDAvailablePool: {rest}\n"
        ))
    }
}

/// The first value of an attribute of an LDIF record.
pub fn value<'a>(record: &'a str, attribute: &str) -> Option<&'a str> {
    record.lines().find_map(|line| line.strip_prefix(attribute)?.strip_prefix(": "))
}
