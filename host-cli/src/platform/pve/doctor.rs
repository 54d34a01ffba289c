//! What the node has and lacks.

use std::path::Path;

use super::Pve;
use super::storage::choose::choose;
use crate::Result;
use crate::platform::{Finding, Verdict, bridges};

fn finding(subject: &str, verdict: Verdict, detail: impl Into<String>, fix: Option<String>) -> Finding {
    Finding { subject: subject.to_owned(), verdict, detail: detail.into(), fix }
}

impl Pve {
    pub(super) fn examine(&self) -> Result<Vec<Finding>> {
        let mut findings = vec![self.version(), self.quorum()];
        findings.extend(self.storage_findings());
        findings.extend([self.ids()?, network()?, virtio_fs(), self.template_finding()?]);
        Ok(findings)
    }

    fn version(&self) -> Finding {
        match self.capabilities() {
            Ok(known) => {
                let detail = format!(
                    "{}, pve-container {}, qemu-server {}; shares by {}",
                    known.manager,
                    known.container,
                    known.qemu_server,
                    known.id_mechanism()
                );
                finding("Proxmox VE", Verdict::Good, detail, None)
            }
            Err(error) => finding("Proxmox VE", Verdict::Bad, error.chain(), error.hint),
        }
    }

    fn quorum(&self) -> Finding {
        match self.files.node().and_then(|node| self.files.require_quorum().map(|()| node)) {
            Ok(node) => finding("cluster", Verdict::Good, format!("node {node}, quorate"), None),
            Err(error) => finding("cluster", Verdict::Bad, error.chain(), error.hint),
        }
    }

    fn storage_findings(&self) -> Vec<Finding> {
        let contents =
            [("containers", "rootdir"), ("container templates", "vztmpl"), ("virtual machines", "images")];
        contents
            .into_iter()
            .map(|(what, content)| {
                let subject = format!("storage for {what}");
                match self.storages().and_then(|all| choose(all, None, content)) {
                    Ok(storage) => finding(&subject, Verdict::Good, storage.to_string(), None),
                    // a node without one runs the other kind
                    Err(error) if content == "images" => {
                        finding(&subject, Verdict::Limited, error.chain(), error.hint)
                    }
                    Err(error) => finding(&subject, Verdict::Bad, error.chain(), error.hint),
                }
            })
            .collect()
    }

    fn ids(&self) -> Result<Finding> {
        if self.has_ids()? {
            return Ok(finding("container ids", Verdict::Good, "host ids 100000-165535", None));
        }
        let fix = "add the line root:100000:65536 to /etc/subuid and /etc/subgid".to_owned();
        let detail = "root lacks the host ids that Proxmox VE gives to unprivileged containers";
        Ok(finding("container ids", Verdict::Bad, detail, Some(fix)))
    }

    fn template_finding(&self) -> Result<Finding> {
        let templates = self.list_templates()?;
        if templates.is_empty() {
            let fix = "pve-smbgateway template build debian-13".to_owned();
            return Ok(finding("template", Verdict::Bad, "none is installed", Some(fix)));
        }
        let names: Vec<_> = templates.iter().map(|template| template.name.as_str()).collect();
        Ok(finding("template", Verdict::Good, names.join(", "), None))
    }
}

fn network() -> Result<Finding> {
    let bridges = bridges::existing()?;
    if bridges.is_empty() {
        let fix = "make one in the web interface: node, Network, Create, Linux Bridge".to_owned();
        return Ok(finding("network", Verdict::Bad, "there is no bridge", Some(fix)));
    }
    Ok(finding("network", Verdict::Good, format!("bridges: {}", bridges.join(", ")), None))
}

fn virtio_fs() -> Finding {
    if Path::new("/usr/libexec/virtiofsd").exists() {
        return finding("virtio-fs", Verdict::Good, "virtiofsd is installed", None);
    }
    let fix = "for directories in mode vm: apt-get install virtiofsd".to_owned();
    finding("virtio-fs", Verdict::Limited, "virtiofsd is not installed", Some(fix))
}
