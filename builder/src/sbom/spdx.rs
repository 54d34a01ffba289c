//! SPDX 2.3 in JSON. Source: <https://spdx.github.io/spdx-spec/v2.3/>.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Bill, Binary, Control, OWN_LICENCE, SUPPLIER, Source};
use crate::guid::Guid;
use crate::sbom::licence::Expression;

/// What is not known, or not said.
const NO_ASSERTION: &str = "NOASSERTION";
const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const TEMPLATE: &str = "SPDXRef-Template";
const AGENT: &str = "SPDXRef-Agent";

/// The document's text: template and agent first, then binary packages, then sources.
pub fn text(bill: &Bill) -> String {
    let mut ids = Ids::default();
    let binaries: Vec<String> = bill
        .binaries
        .iter()
        .map(|Binary { package, .. }| ids.of(&format!("Package-{}-{}", package.name, package.architecture)))
        .collect();
    let sources: Vec<String> = bill
        .sources
        .iter()
        .map(|source| ids.of(&format!("Source-{}-{}", source.name, source.version)))
        .collect();
    let mut packages = vec![template(bill), agent(bill)];
    packages.extend(bill.binaries.iter().zip(&binaries).map(|(package, id)| binary(bill, package, id)));
    packages.extend(bill.sources.iter().zip(&sources).map(|(package, id)| source(bill, package, id)));

    let extracted: Vec<Value> = bill
        .references
        .texts()
        .map(|(id, name, text)| {
            // SPDX wants a text
            let unsaid = || format!("Copyright files name the licence \"{name}\" and give no text.");
            let text = if text.trim().is_empty() { unsaid() } else { printable(text) };
            json!({"licenseId": id, "name": printable(name), "extractedText": text})
        })
        .collect();
    let uuid = Guid::of_hash(&bill.sha256);
    let document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": bill.file,
        "documentNamespace": format!("https://spdx.org/spdxdocs/{}-{}-{uuid}", bill.name, bill.version),
        "creationInfo": {
            "created": bill.time(),
            "creators": [format!("Tool: smbgw-builder-{}", bill.version)],
            "licenseListVersion": list_version(),
        },
        "packages": packages,
        "relationships": relationships(bill, &binaries, &sources),
        "hasExtractedLicensingInfos": extracted,
    });
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

/// Of the list that ids were looked up in: `3.29`.
fn list_version() -> String {
    ::spdx::license_version().split('.').take(2).collect::<Vec<_>>().join(".")
}

/// Ids of packages, all different. SPDX allows letters, digits, `-` and `.`.
#[derive(Default)]
struct Ids(BTreeSet<String>);

impl Ids {
    fn of(&mut self, name: &str) -> String {
        let plain: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
        let numbered = (2_usize..).map(|number| format!("SPDXRef-{plain}-{number}"));
        let free =
            std::iter::once(format!("SPDXRef-{plain}")).chain(numbered).find(|id| !self.0.contains(id));
        let id = free.unwrap_or(plain);
        self.0.insert(id.clone());
        id
    }
}

fn template(bill: &Bill) -> Value {
    json!({
        "SPDXID": TEMPLATE,
        "name": bill.name,
        "versionInfo": bill.version,
        "packageFileName": bill.file,
        "primaryPackagePurpose": "OPERATING-SYSTEM",
        "downloadLocation": NO_ASSERTION,
        "filesAnalyzed": false,
        "licenseConcluded": NO_ASSERTION,
        "licenseDeclared": NO_ASSERTION,
        "copyrightText": NO_ASSERTION,
        "checksums": checksums(&bill.sha256),
    })
}

fn agent(bill: &Bill) -> Value {
    json!({
        "SPDXID": AGENT,
        "name": "smbgw-agent",
        "versionInfo": bill.agent.version.as_deref().unwrap_or("unknown"),
        "primaryPackagePurpose": "APPLICATION",
        "downloadLocation": NO_ASSERTION,
        "filesAnalyzed": false,
        "licenseConcluded": OWN_LICENCE,
        "licenseDeclared": OWN_LICENCE,
        "copyrightText": NO_ASSERTION,
        "checksums": checksums(&bill.agent.sha256),
    })
}

fn binary(bill: &Bill, binary: &Binary, id: &str) -> Value {
    let mut package = common(bill, id, &binary.purl, &binary.control, binary.licence.as_ref());
    package["name"] = json!(binary.package.name);
    package["versionInfo"] = json!(binary.package.version);
    package["primaryPackagePurpose"] = json!("LIBRARY");
    package["checksums"] = checksums(&binary.package.sha256);
    if let Some(location) = &binary.location {
        package["downloadLocation"] = json!(location);
    }
    package
}

fn source(bill: &Bill, source: &Source, id: &str) -> Value {
    let mut package = common(bill, id, &source.purl, &source.control, source.licence.as_ref());
    package["name"] = json!(source.name);
    package["versionInfo"] = json!(source.version);
    package["primaryPackagePurpose"] = json!("SOURCE");
    package
}

fn common(bill: &Bill, id: &str, purl: &str, control: &Control, licence: Option<&Expression>) -> Value {
    let licence = licence.map_or_else(|| NO_ASSERTION.to_owned(), |licence| licence.spdx(&bill.references));
    let supplier = match &control.maintainer {
        Some(maintainer) => {
            let kind = if maintainer.is_group() { "Organization" } else { "Person" };
            format!("{kind}: {} ({})", maintainer.name, maintainer.address)
        }
        None => format!("Organization: {SUPPLIER}"),
    };
    let mut package = json!({
        "SPDXID": id,
        "supplier": supplier,
        "downloadLocation": NO_ASSERTION,
        "filesAnalyzed": false,
        "licenseConcluded": NO_ASSERTION,
        "licenseDeclared": licence,
        "copyrightText": NO_ASSERTION,
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": purl,
        }],
    });
    if let Some(homepage) = &control.homepage {
        package["homepage"] = json!(homepage);
    }
    if let Some(summary) = &control.summary {
        package["summary"] = json!(summary);
    }
    package
}

fn checksums(sha256: &str) -> Value {
    json!([{"algorithm": "SHA256", "checksumValue": sha256}])
}

/// Without control characters, which XML readers of SPDX refuse.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { ' ' } else { c }).collect()
}

fn relationships(bill: &Bill, binaries: &[String], sources: &[String]) -> Value {
    let mut list = Vec::new();
    let mut add = |from: &str, kind: &str, to: Option<&String>, comment: Option<&str>| {
        let Some(to) = to else {
            return;
        };
        let mut relation = json!({"spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to});
        if let Some(comment) = comment {
            relation["comment"] = json!(comment);
        }
        list.push(relation);
    };
    add(DOCUMENT, "DESCRIBES", Some(&TEMPLATE.to_owned()), None);
    add(TEMPLATE, "CONTAINS", Some(&AGENT.to_owned()), None);
    for id in binaries {
        add(TEMPLATE, "CONTAINS", Some(id), None);
    }
    for (package, id) in bill.binaries.iter().zip(binaries) {
        for on in &package.depends {
            add(id, "DEPENDS_ON", binaries.get(*on), None);
        }
        add(id, "GENERATED_FROM", sources.get(package.source), None);
        for from in package.built_using.iter().filter(|from| **from != package.source) {
            add(id, "GENERATED_FROM", sources.get(*from), Some("its code is built in"));
        }
    }
    Value::Array(list)
}
