//! `/v1/domain`. No error quotes a body: what a parser complains about may be the password.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use serde::de::DeserializeOwned;
use smbgw_api::v1::domain::{
    DiagnoseRequest, Diagnosis, DomainState, JoinRequest, Joined, KeptSecrets, LeaveRequest, Left,
    ShareAccess,
};

use super::{Answer, body};
use crate::agent::Agent;
use crate::domain::tools::Account;
use crate::domain::{access, files, join, leave, preflight, record, secrets, status};
use crate::error::{Result, invalid};
use crate::state;
use smbgw_api::v1::DesiredState;

/// How the gateway stands with its domain.
pub(super) async fn show(State(agent): State<Arc<Agent>>) -> Answer<DomainState> {
    Ok(Json(agent.read(status::state).await?))
}

/// Asks the domain, and mends what can be mended.
pub(super) async fn test(State(agent): State<Arc<Agent>>) -> Answer<DomainState> {
    Ok(Json(agent.change(status::test).await?))
}

/// Who of the domain may open which share.
pub(super) async fn access(State(agent): State<Arc<Agent>>) -> Answer<Vec<ShareAccess>> {
    Ok(Json(agent.read(access::of_shares).await?))
}

/// Joins.
pub(super) async fn join(State(agent): State<Arc<Agent>>, request: Body) -> Answer<Joined> {
    let request: JoinRequest = secret(request).await?;
    Ok(Json(agent.change(move |agent| join::join(agent, request)).await?))
}

/// Leaves.
pub(super) async fn leave(State(agent): State<Arc<Agent>>, request: Body) -> Answer<Left> {
    let request: LeaveRequest = secret(request).await?;
    Ok(Json(agent.change(move |agent| leave::leave(agent, request)).await?))
}

/// Looks at all that a join needs.
pub(super) async fn diagnose(State(agent): State<Arc<Agent>>, request: Body) -> Answer<Diagnosis> {
    let request: DiagnoseRequest = secret(request).await?;
    let diagnosis = agent.change(move |agent| {
        let start = Instant::now();
        let desired =
            state::load(&agent.paths)?.ok_or_else(|| invalid("no configuration was applied yet"))?;
        let wanted = request
            .domain
            .or(desired.domain.clone())
            .ok_or_else(|| invalid("the gateway is to be in no domain, and none is named"))?;
        wanted.check().map_err(|error| invalid(error.to_string()))?;
        let known = record::load(&agent.paths)?;
        let account = request.credential.map(Account::try_from).transpose()?;
        let desired = DesiredState { domain: Some(wanted.clone()), ..desired };
        let flight = preflight::run(agent, &desired, &wanted, known.as_ref(), account.as_ref());
        files::clear_scratch(agent);
        if known.is_none() {
            files::remove_keys(agent)?;
        }
        Ok(Diagnosis { checks: flight?.checks, took_ms: start.elapsed().as_millis() as u64 })
    });
    Ok(Json(diagnosis.await?))
}

/// What the host keeps.
pub(super) async fn secrets(State(agent): State<Arc<Agent>>) -> Answer<KeptSecrets> {
    Ok(Json(agent.read(secrets::keep).await?))
}

async fn secret<T: DeserializeOwned>(request: Body) -> Result<T> {
    parse(&body::read(request).await?)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|_| invalid("the body is not what a request about a domain must be"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_quotes_a_password() {
        for text in
            ["\"canary\"", r#"{"with":{"credential":{"user":"a","password":["canary"]}}}"#, r#"{"canary":1}"#]
        {
            let error = parse::<JoinRequest>(text.as_bytes()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{text}");
        }
    }
}
