//! A virtual machine's plan as options of `qm` (pure). Keys: qm.conf(5), PVE 8.4 and 9.2.

use smbgw_api::v1::{DISK_SERIAL, Storage};
use smbgw_api::{StorageId, VolumeId};

use super::container::mebibytes;
use super::guest::GuestConfig;
use super::marker::TAG;
use crate::Result;
use crate::platform::pve::call::property::Property;
use crate::platform::pve::call::qm::{Firmware, Hardware, Set};
use crate::record::{GuestAddress, GuestForm, GuestPlan, MACHINE_CORES};

/// Most directories that a virtual machine can have (PVE 8.4 and 9.2, `virtiofs0` to `virtiofs9`).
pub const MOST_MOUNTS: usize = 10;

/// Ids of the directory mappings of a plan, in the order of its mounts. Each is the mount's tag in the guest.
pub fn mappings(plan: &GuestPlan) -> Vec<String> {
    plan.mounts.iter().map(|mount| Storage::tag(&plan.name, &mount.share)).collect()
}

/// Whether a mapping's id is one of ours, of whatever gateway.
pub fn is_our_mapping(id: &str) -> bool {
    id.strip_prefix("smbgw-")
        .is_some_and(|hash| hash.len() == 12 && hash.chars().all(|c| c.is_ascii_hexdigit()))
}

/// Where a data disk is, as `qm` is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// A volume of a storage.
    Volume(VolumeId),
    /// An image file or a block device.
    Path(String),
}

/// `qm set` for a plan. `there` is what the machine has now; `variables` is where a new disk for the firmware's goes.
///
/// # Errors
/// For what is no virtual machine.
pub fn set(
    id: u32,
    plan: &GuestPlan,
    data: Option<&Data>,
    there: &GuestConfig,
    variables: &StorageId,
) -> Result<Set> {
    let uefi = matches!(plan.form, GuestForm::Machine { firmware: smbgw_api::Firmware::Uefi, .. });
    let firmware = match (uefi, there.get("efidisk0")) {
        (false, _) => Firmware::Bios,
        (true, Some(_)) => Firmware::Uefi,
        (true, None) => Firmware::NewUefi(variables.clone()),
    };
    let network = plan.network()?;
    let ip = match network.address {
        GuestAddress::Dhcp => "dhcp".to_owned(),
        address @ GuestAddress::Static { .. } => address.to_string(),
    };
    let foreign: Vec<u32> =
        there.family("virtiofs").filter(|(_, mount)| !ours(mount)).map(|(number, _)| number).collect();
    let numbers = (0..MOST_MOUNTS as u32).filter(|number| !foreign.contains(number));
    let hardware = Hardware {
        memory_mib: mebibytes(plan.memory()?.bytes()),
        cores: plan.cores.unwrap_or(MACHINE_CORES),
        net0: Property::new()
            .with("virtio", network.mac.to_uppercase())
            .with("bridge", &network.bridge)
            .with_some("tag", network.vlan),
        ipconfig0: Property::new().with("ip", ip).with_some("gw", network.gateway),
        nameservers: network.nameservers.clone(),
        searchdomain: network.searchdomain.clone(),
        firmware,
        data: data.map(|data| {
            let disk = match data {
                Data::Volume(volume) => Property::of(volume),
                Data::Path(path) => Property::of(path),
            };
            // the agent knows the disk by its serial number
            disk.with("serial", DISK_SERIAL).with("discard", "on").with("iothread", 1)
        }),
        mounts: numbers.zip(mappings(plan)).collect(),
        tags: tags(there),
    };
    let mut delete = Vec::new();
    let mut gone = |key: &str, wanted: bool| {
        if !wanted && there.get(key).is_some() {
            delete.push(key.to_owned());
        }
    };
    gone("startup", plan.startup.is_some());
    gone("nameserver", !hardware.nameservers.is_empty());
    gone("searchdomain", hardware.searchdomain.is_some());
    gone("scsi1", hardware.data.is_some());
    let kept = |number| hardware.mounts.iter().any(|(kept, _)| *kept == number);
    let surplus = there.family("virtiofs").filter(|(number, mount)| ours(mount) && !kept(*number));
    delete.extend(surplus.map(|(number, _)| format!("virtiofs{number}")));
    Ok(Set { id, onboot: plan.onboot, startup: plan.startup, hardware: Some(hardware), delete })
}

/// Whether a `virtiofsN` is one that we made.
fn ours(mount: &str) -> bool {
    is_our_mapping(super::super::call::property::value(mount, "dirid", "dirid").unwrap_or_default())
}

/// Our tag among those that a person has given.
fn tags(there: &GuestConfig) -> String {
    let mut tags: Vec<_> =
        there.get("tags").unwrap_or_default().split([';', ',', ' ']).filter(|tag| !tag.is_empty()).collect();
    if !tags.contains(&TAG) {
        tags.push(TAG);
    }
    tags.join(";")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::pve::call::External;
    use crate::record::tests::machine;

    fn shown(plan: &GuestPlan, data: Option<&Data>, there: &str) -> String {
        set(102, plan, data, &GuestConfig::parse(there), &StorageId::parse("local-lvm").unwrap())
            .unwrap()
            .command()
            .display()
    }

    #[test]
    fn options_of_a_machine() {
        let mut plan = machine();
        let data = Data::Volume(VolumeId::parse("ceph:vm-900-disk-0").unwrap());
        let mut text = shown(&plan, Some(&data), "tags: smbgateway\n");
        plan.form = GuestForm::Machine { firmware: smbgw_api::Firmware::Uefi, disk: None };
        plan.card().address = GuestAddress::Dhcp;
        plan.card().gateway = None;
        plan.card().nameservers = vec![[10, 0, 0, 10].into()];
        text += &format!(
            "\n{}",
            shown(
                &plan,
                None,
                "tags: mine\nscsi1: ceph:vm-900-disk-0,serial=x\nstartup: order=1\nvirtiofs0: theirs\nvirtiofs3: smbgw-0123456789ab,cache=auto\n"
            )
        );
        text += &format!(
            "\n{}",
            shown(&plan, Some(&Data::Path("/dev/zvol/tank/team".into())), "efidisk0: local:x\n")
        );
        insta::assert_snapshot!(text);
    }
}
