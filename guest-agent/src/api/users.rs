//! `GET /v1/users` and `PUT /v1/users/{name}/password`.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use secrecy::{ExposeSecret, SecretString};
use smbgw_api::UserName;
use smbgw_api::v1::{ApiError, Applied, DesiredUser, NewPassword, UserState};

use super::{Answer, body};
use crate::accounts::Accounts;
use crate::agent::Agent;
use crate::error::{Result, invalid, not_found};
use crate::samba::accounts;

/// Longest password, in characters (SMB clients and smbpasswd(8) take no more).
const LONGEST: usize = 127;

/// Users that the agent made.
pub(super) async fn list(State(agent): State<Arc<Agent>>) -> Answer<Vec<UserState>> {
    let users = agent.read(|agent| {
        let all = Accounts::read(&agent.paths)?;
        let with_password = accounts::list(agent.runner.as_ref())?;
        let state = |account: &crate::accounts::Account| {
            Some(UserState {
                name: UserName::parse(&account.name).ok()?,
                uid: account.uid,
                has_password: with_password.contains(&account.name),
            })
        };
        Ok(all.ours().filter_map(state).collect())
    });
    Ok(Json(users.await?))
}

/// Sets a password.
pub(super) async fn set_password(
    State(agent): State<Arc<Agent>>,
    name: std::result::Result<Path<String>, PathRejection>,
    request: Body,
) -> Answer<Applied> {
    let Path(name) = name.map_err(|error| invalid(format!("the path: {error}")))?;
    let name = UserName::parse(&name).map_err(|error| invalid(error.to_string()))?;
    let password = parse(&body::read(request).await?)?;
    let applied = agent.change(move |agent| {
        let all = Accounts::read(&agent.paths)?;
        let Some(account) = all.user(name.as_str()).filter(|account| account.is_ours()) else {
            return Err(not_found(format!("the gateway has no user {name}")));
        };
        let actions = vec![format!("set the password of {name}")];
        let user = DesiredUser { name, uid: account.uid };
        accounts::set_password(agent.runner.as_ref(), &user, &password)?;
        Ok(Applied { changed: true, actions })
    });
    Ok(Json(applied.await?))
}

/// The password of a body. No error quotes any of it: what the parser complains about may be the password.
fn parse(bytes: &[u8]) -> Result<SecretString> {
    let body: NewPassword =
        serde_json::from_slice(bytes).map_err(|_| refusal(r#"must be {"password": "..."}"#))?;
    let password = SecretString::from(body.password);
    let text = password.expose_secret();
    if text.is_empty() || text.chars().count() > LONGEST {
        return Err(refusal("must have a password of 1 to 127 characters"));
    }
    if text.chars().any(char::is_control) {
        return Err(refusal("must have a password without control characters"));
    }
    Ok(password)
}

fn refusal(rule: &str) -> ApiError {
    invalid(format!("the body {rule}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_quotes_a_password() {
        for body in [
            "\"canary\"",
            r#"{"canary": 1}"#,
            r#"{"password": "canary", "canary": 2}"#,
            r#"{"password": "canary\n"}"#,
            r#"{"password": "canary""#,
            r#"{"password": ["canary"]}"#,
        ] {
            let error = parse(body.as_bytes()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{body}");
        }
        assert!(parse(format!(r#"{{"password":"{}"}}"#, "x".repeat(128)).as_bytes()).is_err());
        assert!(parse(br#"{"password":""}"#).is_err());
        assert_eq!(parse(r#"{"password":"pä ss"}"#.as_bytes()).unwrap().expose_secret(), "pä ss");
    }
}
