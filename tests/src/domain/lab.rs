//! Gateways in the lab's domain.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use smbgw_command::{Interrupt, wait_until};

use super::{DomainController, GATEWAYS_OU, GROUP, JOINER, REALM, WORKGROUP};
use crate::lab::PASSWORD;
use crate::{Answer, Client, Gateway, Lab, Snapshot, product};

/// For one verb that asks the domain, whatever is wrong with it: what a verb may take at most, on a busy machine.
const VERB: Duration = Duration::from_secs(120);
/// Until a gateway has noticed that the domain is back.
const NOTICED: Duration = Duration::from_secs(120);
/// What of a gateway a join changes, and a failed one must not.
const MEMBERSHIP: &str = "cd / && cat etc/samba/smb.conf && for file in etc/krb5.conf etc/krb5.keytab etc/nsswitch.conf; \
     do [ -e $file ] && sha256sum $file || echo none $file; done; \
     tdbdump var/lib/samba/private/secrets.tdb | sort; systemctl is-active winbind; true";
/// Where nodes say which host ids root may give to containers (subuid(5)).
const HOST_IDS: [&str; 2] = ["/etc/subuid", "/etc/subgid"];

/// The lab with a domain in it. What is made in it is gone when it is dropped.
pub struct DomainLab {
    // gateways leave the domain before it ends
    /// The lab.
    pub lab: Lab,
    /// The domain controller.
    pub domain: DomainController,
    before: Snapshot,
    host_ids: [String; 2],
}

impl DomainLab {
    /// Enters the lab and starts the domain.
    ///
    /// # Errors
    /// As [`Lab::enter`] and [`DomainController::start`].
    pub fn enter(template: &str) -> Result<Self> {
        Self::of(Lab::enter(template)?)
    }

    /// The same with the domain controller of a Debian 13.
    ///
    /// # Errors
    /// As [`Lab::enter`] and [`DomainController::start_debian_13`].
    pub fn enter_at_debian_13(template: &str) -> Result<Self> {
        let lab = Lab::enter(template)?;
        let domain = DomainController::start_debian_13(lab.directory())?;
        Self::with(lab, domain)
    }

    /// The same for gateways in virtual machines.
    ///
    /// # Errors
    /// As [`Lab::enter_vm`] and [`DomainController::start`].
    pub fn enter_vm(template: &str) -> Result<Self> {
        Self::of(Lab::enter_vm(template)?)
    }

    fn of(lab: Lab) -> Result<Self> {
        let domain = DomainController::start(lab.directory())?;
        Self::with(lab, domain)
    }

    fn with(lab: Lab, domain: DomainController) -> Result<Self> {
        let before = lab.snapshot()?;
        let host_ids = HOST_IDS.map(|file| std::fs::read_to_string(file).unwrap_or_default());
        Ok(Self { lab, domain, before, host_ids })
    }

    /// Which domain, and how it is found: arguments of `create`.
    pub fn of_domain(&self) -> Vec<String> {
        let (address, search) = (self.domain.address(), REALM.to_lowercase());
        words(&["--nameserver", &address, "--searchdomain", &search, "--ad-domain", REALM])
    }

    /// Where its account goes, and who joins: arguments of `create` and `ad join`.
    ///
    /// # Errors
    /// When the password's file cannot be written.
    pub fn joiner(&self) -> Result<Vec<String>> {
        let mut all = words(&["--ad-ou", GATEWAYS_OU]);
        all.extend(self.leaver()?);
        Ok(all)
    }

    /// Who leaves: arguments of `delete` and `ad leave`.
    ///
    /// # Errors
    /// When the password's file cannot be written.
    pub fn leaver(&self) -> Result<Vec<String>> {
        Ok(words(&["--ad-user", JOINER, "--ad-password-file", &self.domain.joiner_file()?]))
    }

    /// Arguments that create a gateway over a new directory, for the group of the domain.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn create_args(&self, name: &str) -> Result<Vec<String>> {
        let path = self.lab.data(name)?.display().to_string();
        let group = format!("{WORKGROUP}\\{GROUP}");
        let mut all = words(&["create", name, "--path", &path, "--grant", "--allow", &group]);
        all.extend(self.of_domain());
        all.extend(self.joiner()?);
        Ok(all)
    }

    /// Creates a gateway in the domain.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(&self, name: &str) -> Result<Gateway> {
        self.host(&self.create_args(name)?)?.ok()?;
        self.gateway(name)
    }

    /// A gateway that is there.
    ///
    /// # Errors
    /// When it is not.
    pub fn gateway(&self, name: &str) -> Result<Gateway> {
        self.lab.gateway(name, self.data(name))
    }

    /// The directory that a gateway shares.
    pub fn data(&self, name: &str) -> PathBuf {
        self.lab.directory().join("data").join(name)
    }

    /// Runs `pve-smbgateway`, for no longer than one verb may take with a domain that does not answer.
    ///
    /// # Errors
    /// When it cannot be started or does not end in time.
    pub fn host(&self, args: &[String]) -> Result<Answer> {
        self.host_within(VERB, args)
    }

    /// The same, within another deadline.
    ///
    /// # Errors
    /// When it cannot be started or does not end in time.
    pub fn host_within(&self, deadline: Duration, args: &[String]) -> Result<Answer> {
        let command = self.lab.product.host().args(["--output", "json"]);
        Answer::of(&command.args(args.iter().map(String::as_str)).deadline(deadline))
    }

    /// Deletes a gateway, which leaves the domain.
    ///
    /// # Errors
    /// When it cannot be deleted.
    pub fn delete(&self, name: &str) -> Result<()> {
        let mut all = words(&["delete", name]);
        all.extend(self.leaver()?);
        self.host(&all)?.ok().map(drop)
    }

    /// What `ad status` says.
    ///
    /// # Errors
    /// When it does not.
    pub fn status(&self, name: &str) -> Result<Value> {
        self.host(&words(&["ad", "status", name]))?.data()
    }

    /// The same, of a gateway whose agent may be on its way.
    ///
    /// # Errors
    /// When it does not come.
    pub fn status_soon(&self, name: &str) -> Result<Value> {
        let mut last = None;
        let answers = || self.status(name).map_err(|error| last = Some(error)).ok();
        let waited = wait_until(&format!("the agent of {name}"), NOTICED, &Interrupt::new(), answers);
        waited.map_err(|error| last.unwrap_or_else(|| error.into()))
    }

    /// Waits until `ad status` finds nothing wrong.
    ///
    /// # Errors
    /// When it still does at the end: with what it says.
    pub fn wait_healthy(&self, name: &str) -> Result<Value> {
        let mut last = Value::Null;
        let healthy = || {
            last = self.status(name).ok()?;
            let well = holds(&last, "membership", &Value::from("joined"))
                && holds(&last, "online", &Value::from(true))
                && holds(&last, "findings", &Value::from(Vec::<Value>::new()));
            well.then(|| last.clone())
        };
        wait_until(&format!("{name} to be well in its domain"), NOTICED, &Interrupt::new(), healthy)
            .with_context(|| last.to_string())
    }

    /// A client with a ticket, of the share that has the gateway's name.
    ///
    /// # Errors
    /// When the domain gives no ticket.
    pub fn by_ticket(&self, gateway: &Gateway, user: &str) -> Result<Client> {
        let name = format!("{}.{}", gateway.name, REALM.to_lowercase());
        Ok(Client::kerberos(&gateway.address, &name, &gateway.name, self.domain.ticket(user)?))
    }

    /// A client with a password and without Kerberos, as one that uses the gateway's address.
    ///
    /// # Errors
    /// When its password file cannot be written.
    pub fn by_password(&self, gateway: &Gateway, user: &str) -> Result<Client> {
        let user = format!("{WORKGROUP}\\{user}");
        let client = Client::new(self.lab.directory(), &gateway.address, &gateway.name, &user, PASSWORD)?;
        Ok(client.option("--use-kerberos=off"))
    }

    /// Forgets what the node keeps of accounts that a test has deleted by itself.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn forget_secrets(&self) -> Result<()> {
        let directory = std::path::Path::new("/var/lib/pve-smbgateway/secrets");
        if directory.exists() {
            std::fs::remove_dir_all(directory).context("removing kept secrets")
        } else {
            Ok(())
        }
    }

    /// What of a gateway is its membership.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn membership(&self, name: &str) -> Result<String> {
        let command = product::attach(name).args(["/bin/sh", "-c", MEMBERSHIP]);
        Ok(Answer::of(&command)?.ok()?.stdout)
    }

    /// Expects that neither the machine nor the domain has anything that was not there when the domain began.
    ///
    /// # Errors
    /// With what there is.
    pub fn expect_nothing(&self) -> Result<()> {
        self.before.expect_same(self.lab.directory())?;
        self.expect_no_accounts()
    }

    /// Expects that no gateway has an account in the domain, nor a name in its DNS.
    ///
    /// # Errors
    /// With those that there are.
    pub fn expect_no_accounts(&self) -> Result<()> {
        let left = self.domain.computers()?;
        ensure!(left.is_empty(), "left in the domain: {}", left.join(", "));
        Ok(())
    }

    /// Ends the test.
    ///
    /// # Errors
    /// With what is left.
    pub fn leave(self) -> Result<()> {
        for name in self.lab.gateways()? {
            self.delete(&name)?;
        }
        // host ids for a domain stay for the next gateway in it
        for (file, text) in HOST_IDS.iter().zip(&self.host_ids) {
            std::fs::write(file, text)?;
        }
        self.expect_nothing()?;
        self.domain.stop()?;
        self.lab.leave()
    }
}

/// Whether a field has this value, wherever in `data` it is.
pub fn holds(data: &Value, field: &str, value: &Value) -> bool {
    match data {
        Value::Object(fields) => {
            fields.get(field) == Some(value) || fields.values().any(|inner| holds(inner, field, value))
        }
        Value::Array(items) => items.iter().any(|inner| holds(inner, field, value)),
        _ => false,
    }
}

/// Arguments.
pub fn words(all: &[&str]) -> Vec<String> {
    all.iter().map(|word| (*word).to_owned()).collect()
}
