//! The document that describes the answers (OpenAPI 3.1, whose schemas are JSON Schema 2020-12).

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};
use smbgw_api::v1::{Session, ShareSize};

use super::answers::{AlertList, EventList, Figures, GatewayOverview, Overviews, Problem};
use crate::monitor::history::History;

/// A path: what it is for, whether it is of one gateway, its query parameters with defaults, and what it answers.
type Path = (
    &'static str,
    &'static str,
    &'static [(&'static str, i64, &'static str)],
    fn(&mut SchemaGenerator) -> Value,
);

const LIMIT: &[(&str, i64, &str)] = &[("limit", 100, "Most events, 1 to 1000.")];
const SPAN: &[(&str, i64, &str)] =
    &[("span_s", 86_400, "Seconds back from now."), ("step_s", 300, "Seconds of a point.")];

/// All paths with JSON answers but this document itself.
const PATHS: &[Path] = &[
    ("/api/v1/gateways", "Gateways of the node at a glance.", &[], of::<Overviews>),
    ("/api/v1/gateways/{name}", "A gateway at a glance.", &[], of::<GatewayOverview>),
    ("/api/v1/gateways/{name}/status", "The same.", &[], of::<GatewayOverview>),
    ("/api/v1/gateways/{name}/metrics", "All figures of a gateway.", &[], of::<Figures>),
    ("/api/v1/gateways/{name}/history", "What a gateway and its shares did.", SPAN, of::<History>),
    ("/api/v1/gateways/{name}/sessions", "SMB sessions, asked for now.", &[], of::<Vec<Session>>),
    ("/api/v1/gateways/{name}/quota", "Shares with a quota, as clients see them.", &[], of::<Vec<ShareSize>>),
    ("/api/v1/gateways/{name}/events", "What happened to a gateway.", LIMIT, of::<EventList>),
    ("/api/v1/events", "What happened.", LIMIT, of::<EventList>),
    ("/api/v1/alerts", "Alerts that stand.", &[], of::<AlertList>),
];

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

/// The document.
pub fn document() -> Value {
    let mut generator = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into())
        .into_generator();
    let problem = of::<Problem>(&mut generator);
    let mut paths = serde_json::Map::new();
    for (path, summary, query, answer) in PATHS {
        let mut parameters = Vec::new();
        if path.contains("{name}") {
            parameters.push(json!({
                "name": "name", "in": "path", "required": true, "description": "Name of the gateway.", "schema": {"type": "string"}
            }));
        }
        for (name, default, description) in *query {
            parameters.push(json!({
                "name": name, "in": "query", "description": description,
                "schema": {"type": "integer", "minimum": 1, "default": default}
            }));
        }
        let content = |schema: Value| json!({"application/json": {"schema": schema}});
        let answer = json!({"description": summary, "content": content(answer(&mut generator))});
        let problem = json!({"description": "Why there is no answer.", "content": content(problem.clone())});
        let get = json!({"summary": summary, "parameters": parameters, "responses": {"200": answer, "default": problem}});
        paths.insert((*path).to_owned(), json!({ "get": get }));
    }
    let text = json!({"description": "The text form of Prometheus, or OpenMetrics.", "content": {"text/plain": {"schema": {"type": "string"}}}});
    paths.insert(
        "/metrics".to_owned(),
        json!({"get": {"summary": "For Prometheus.", "responses": {"200": text}}}),
    );
    json!({
        "openapi": "3.1.0",
        "info": {"title": "pve-smbgateway", "version": env!("CARGO_PKG_VERSION"),
            "description": "Figures of the SMB gateways of a node. Over TCP, a bearer token is asked for."},
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}
        },
        "security": [{"token": []}, {}],
    })
}

#[cfg(test)]
pub(super) fn paths() -> impl Iterator<Item = &'static str> {
    PATHS.iter().map(|(path, ..)| *path).chain(["/metrics", "/api/v1/openapi.json"])
}
