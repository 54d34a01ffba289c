//! The bill of materials, from the lock: CycloneDX 1.6 JSON (<https://cyclonedx.org/docs/1.6/json/>).

use serde_json::{Value, json};

use crate::guid::Guid;
use crate::manifest::Manifest;

/// The document's text. Nothing in it depends on time or place: its serial number is made from the template's hash.
pub fn text(manifest: &Manifest, distribution: &str) -> String {
    let on_disk = manifest.disk.iter().flat_map(|disk| &disk.boot_packages);
    let components: Vec<Value> = manifest
        .packages
        .iter()
        .chain(on_disk)
        .map(|package| {
            let purl = format!(
                "pkg:deb/debian/{}@{}?arch={}&distro={distribution}",
                encode(&package.name),
                encode(&package.version),
                package.architecture
            );
            json!({
                "type": "library",
                "bom-ref": purl,
                "name": package.name,
                "version": package.version,
                "purl": purl,
                "supplier": {"name": "Debian"},
                "hashes": [{"alg": "SHA-256", "content": package.sha256}],
                "properties": [
                    {"name": "debian:source", "value": package.source},
                    {"name": "debian:source-version", "value": package.source_version},
                ],
            })
        })
        .chain([json!({
            "type": "application",
            "bom-ref": "smbgw-agent",
            "name": "smbgw-agent",
            "version": manifest.agent.version.as_deref().unwrap_or("unknown"),
            "hashes": [{"alg": "SHA-256", "content": manifest.agent.sha256}],
        })])
        .collect();
    let document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", Guid::of_hash(&manifest.archive.sha256)),
        "version": 1,
        "metadata": {
            "timestamp": jiff::Timestamp::from_second(manifest.epoch).unwrap_or_default().to_string(),
            "tools": {"components": [{"type": "application", "name": "smbgw-builder", "version": manifest.version}]},
            "component": {
                "type": "operating-system",
                "bom-ref": "template",
                "name": format!("smb-gateway-{}", manifest.template),
                "version": manifest.version,
                "hashes": [{"alg": "SHA-256", "content": manifest.archive.sha256}],
            },
        },
        "components": components,
    });
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

/// Percent-encodes what a package URL does not allow in a name or version.
fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => (byte as char).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{AgentRecord, FORMAT, FileRecord, PackageRecord};

    #[test]
    fn shape() {
        let file =
            |name: &str| FileRecord { name: name.into(), sha256: crate::hash::of_bytes(b"x"), size: 1 };
        let manifest = Manifest {
            format: FORMAT,
            template: "debian-13".into(),
            version: "0.1.0".into(),
            architecture: "amd64".into(),
            form: "lxc".into(),
            suite: "trixie".into(),
            samba: None,
            agent: AgentRecord { version: Some("0.1.0".into()), sha256: crate::hash::of_bytes(b"agent") },
            recipe_hash: String::new(),
            lock_hash: String::new(),
            epoch: 1_760_000_000,
            build: None,
            archive: file("t.tar.zst"),
            tar: Some(file("t.tar")),
            disk: None,
            packages: vec![PackageRecord {
                name: "libstdc++6".into(),
                version: "2:14-1+b1".into(),
                architecture: "amd64".into(),
                source: "gcc-14".into(),
                source_version: "14-1".into(),
                sha256: crate::hash::of_bytes(b"deb"),
            }],
            files: vec![],
        };
        insta::assert_snapshot!("sbom", text(&manifest, "debian-13"));
    }
}
