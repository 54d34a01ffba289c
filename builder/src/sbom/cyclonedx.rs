//! CycloneDX 1.6 in JSON. Source: <https://cyclonedx.org/docs/1.6/json/>.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Bill, Binary, Control, OWN_LICENCE, SUPPLIER, Source};
use crate::guid::Guid;
use crate::sbom::licence::Expression;

/// References of the two components that are no packages.
const TEMPLATE: &str = "template";
const AGENT: &str = "smbgw-agent";

/// The document's text: components and dependencies, each sorted by reference. A package depends on its source, too, so that what is
/// known of a source leads to what was made from it.
pub fn text(bill: &Bill) -> String {
    let mut components: BTreeMap<&str, Value> = BTreeMap::from([(AGENT, agent(bill))]);
    components.extend(bill.binaries.iter().map(|package| (package.purl.as_str(), binary(bill, package))));
    components.extend(bill.sources.iter().map(|package| (package.purl.as_str(), source(bill, package))));
    let document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", Guid::of_hash(&bill.sha256)),
        "version": 1,
        "metadata": {
            "timestamp": bill.time(),
            "lifecycles": [{"phase": "build"}],
            "tools": {"components": [{"type": "application", "name": "smbgw-builder", "version": bill.version}]},
            "component": {
                "type": "operating-system",
                "bom-ref": TEMPLATE,
                "name": bill.name,
                "version": bill.version,
                "hashes": hashes(&bill.sha256),
            },
        },
        "components": components.into_values().collect::<Vec<_>>(),
        "dependencies": dependencies(bill),
    });
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

fn binary(bill: &Bill, binary: &Binary) -> Value {
    let package = &binary.package;
    let mut component = json!({
        "type": "library",
        "bom-ref": binary.purl,
        "name": package.name,
        "version": package.version,
        "purl": binary.purl,
        "hashes": hashes(&package.sha256),
        "properties": [
            {"name": "debian:source", "value": package.source},
            {"name": "debian:source-version", "value": package.source_version},
        ],
    });
    add_common(&mut component, bill, &binary.control, binary.licence.as_ref());
    if let Some(location) = &binary.location {
        let place = json!({"type": "distribution", "url": location, "hashes": hashes(&package.sha256)});
        push(&mut component, "externalReferences", place);
    }
    component
}

fn source(bill: &Bill, source: &Source) -> Value {
    let mut component = json!({
        "type": "library",
        "bom-ref": source.purl,
        "name": source.name,
        "version": source.version,
        "purl": source.purl,
        "description": format!("Source package {}", source.name),
    });
    add_common(&mut component, bill, &source.control, source.licence.as_ref());
    component
}

fn agent(bill: &Bill) -> Value {
    json!({
        "type": "application",
        "bom-ref": AGENT,
        "name": "smbgw-agent",
        "version": bill.agent.version.as_deref().unwrap_or("unknown"),
        "hashes": hashes(&bill.agent.sha256),
        "licenses": [declared(OWN_LICENCE)],
    })
}

/// What binary and source packages have alike.
fn add_common(component: &mut Value, bill: &Bill, control: &Control, licence: Option<&Expression>) {
    component["supplier"] = json!({"name": SUPPLIER});
    if let Some(maintainer) = &control.maintainer {
        component["supplier"]["contact"] = json!([{"name": maintainer.name, "email": maintainer.address}]);
    }
    if let Some(summary) = &control.summary {
        component["description"] = json!(summary);
    }
    if let Some(licence) = licence {
        component["licenses"] = json!([declared(&licence.spdx(&bill.references))]);
    }
    if let Some(homepage) = &control.homepage {
        push(component, "externalReferences", json!({"type": "website", "url": homepage}));
    }
}

fn declared(expression: &str) -> Value {
    json!({"expression": expression, "acknowledgement": "declared"})
}

fn hashes(sha256: &str) -> Value {
    json!([{"alg": "SHA-256", "content": sha256}])
}

fn push(component: &mut Value, list: &str, item: Value) {
    match component[list].as_array_mut() {
        Some(items) => items.push(item),
        None => component[list] = json!([item]),
    }
}

fn dependencies(bill: &Bill) -> Value {
    let binaries = bill.binaries.iter().map(|package| package.purl.as_str());
    let everything = sorted(binaries.chain([AGENT]));
    let mut dependencies = BTreeMap::from([(TEMPLATE, everything), (AGENT, Vec::new())]);
    for package in &bill.binaries {
        let packages = package.depends.iter().filter_map(|place| bill.binaries.get(*place));
        let sources = [package.source].into_iter().chain(package.built_using.iter().copied());
        let sources = sources.filter_map(|place| bill.sources.get(place));
        let all = packages.map(|other| other.purl.as_str()).chain(sources.map(|source| source.purl.as_str()));
        dependencies.insert(&package.purl, sorted(all));
    }
    for source in &bill.sources {
        dependencies.insert(&source.purl, Vec::new());
    }
    let list = dependencies.into_iter().map(|(reference, on)| match on.as_slice() {
        [] => json!({"ref": reference}),
        on => json!({"ref": reference, "dependsOn": on}),
    });
    list.collect()
}

fn sorted<'a>(references: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut references: Vec<&str> = references.collect();
    references.sort_unstable();
    references.dedup();
    references
}
