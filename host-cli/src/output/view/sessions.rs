//! Who is connected.

use schemars::JsonSchema;
use serde::Serialize;

use crate::output::envelope::ErrorView;
use crate::output::{View, table};

/// `sessions list`
#[derive(Debug, Serialize, JsonSchema)]
pub struct SessionList {
    /// By gateway.
    pub sessions: Vec<SessionRow>,
    /// Gateways whose agent did not say.
    pub silent: Vec<SilentGateway>,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SessionRow {
    /// Gateway.
    pub gateway: String,
    /// Its id in Samba's words.
    pub id: String,
    /// User.
    pub user: String,
    /// The client's address.
    pub client: String,
    /// Dialect, as `SMB3_11`.
    pub dialect: Option<String>,
    /// Signing cipher; none when it is not signed.
    pub signing: Option<String>,
    /// Encryption cipher; none when it is not encrypted.
    pub encryption: Option<String>,
    /// Shares that it has open.
    pub shares: Vec<String>,
}

/// A gateway that runs, and does not say.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SilentGateway {
    /// Gateway.
    pub gateway: String,
    /// Why.
    pub error: ErrorView,
}

impl View for SessionList {
    fn failure(&self) -> Option<&ErrorView> {
        self.silent.first().map(|silent| &silent.error)
    }

    fn human(&self) -> String {
        let mut text = match (self.sessions.is_empty(), self.silent.is_empty()) {
            (true, true) => return "nobody is connected".to_owned(),
            (true, false) => String::new(),
            (false, _) => self.table() + "\n",
        };
        for silent in &self.silent {
            text.push_str(&format!("{} is silent: {}\n", silent.gateway, silent.error.message));
        }
        text
    }

    fn table(&self) -> String {
        let word = |cipher: &Option<String>| cipher.clone().unwrap_or_else(|| "no".to_owned());
        table::render(
            &["GATEWAY", "ID", "USER", "CLIENT", "DIALECT", "SIGNED", "ENCRYPTED", "SHARES"],
            self.sessions.iter().map(|session| {
                vec![
                    session.gateway.clone(),
                    session.id.clone(),
                    session.user.clone(),
                    session.client.clone(),
                    session.dialect.clone().unwrap_or_else(|| "-".to_owned()),
                    word(&session.signing),
                    word(&session.encryption),
                    session.shares.join(", "),
                ]
            }),
        )
    }
}

/// `sessions close`
#[derive(Debug, Serialize, JsonSchema)]
pub struct SessionsClosed {
    /// Gateway.
    pub gateway: String,
    /// Those that were closed.
    pub closed: Vec<SessionRow>,
    /// Those that had ended by then: sessions in one connection end together.
    pub gone: Vec<SessionRow>,
}

impl View for SessionsClosed {
    fn human(&self) -> String {
        let number =
            |count: usize| if count == 1 { "1 session".to_owned() } else { format!("{count} sessions") };
        let mut text = format!("{}: {} closed\n", self.gateway, number(self.closed.len()));
        for session in &self.closed {
            text.push_str(&format!("  {} of {} from {}\n", session.id, session.user, session.client));
        }
        if !self.gone.is_empty() {
            text.push_str(&format!("  {} had ended by then\n", number(self.gone.len())));
        }
        text
    }
}
