//! Request bodies: bounded, strict, and with errors that name the field.

use axum::body::{Body, Bytes};
use http_body_util::{BodyExt, Limited};
use serde::de::DeserializeOwned;
use smbgw_api::v1::MAX_BODY;

use crate::error::{Result, invalid};

/// Reads a body.
pub(super) async fn read(body: Body) -> Result<Bytes> {
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => {
            Err(invalid(format!("the body cannot be read (at most {MAX_BODY} bytes are): {error}")))
        }
    }
}

/// Reads and parses a body.
pub(super) async fn json<T: DeserializeOwned>(body: Body) -> Result<T> {
    parse(&read(body).await?)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let at = if path == "." { String::new() } else { format!(" at {path}") };
        invalid(format!("the body is not what is expected{at}: {}", error.inner()))
    })?;
    deserializer
        .end()
        .map_err(|error| invalid(format!("there is more than one value in the body: {error}")))?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use smbgw_api::v1::DesiredState;

    #[test]
    fn errors_name_the_field() {
        let parse = |text: &str| parse::<DesiredState>(text.as_bytes()).unwrap_err().message;
        let state =
            r#"{"name":"a","security":"high","users":[{"name":"alice","uid":1,"shell":"x"}],"shares":[]}"#;
        let message = parse(state);
        assert!(message.contains("users[0]") && message.contains("shell"), "{message}");
        assert!(
            parse(&state.replace(r#","shell":"x""#, "").replace("alice", "root")).contains("users[0].name")
        );
        assert!(parse("{").contains("EOF"));
        assert!(parse("").contains("EOF"));
        assert!(
            parse(r#"{"name":"a","security":"high","users":[],"shares":[]} {}"#).contains("more than one")
        );
    }
}
