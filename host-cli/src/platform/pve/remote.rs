//! The link to an agent of another node: the question is carried by this program there. Questions only; what changes
//! something is run on that node.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use smbgw_api::GatewayName;
use smbgw_api::v1::MAX_BODY;

use super::Pve;
use super::call::{Call, node};
use super::cluster::members;
use crate::link::{Link, Request, Response};
use crate::{Error, Result};

/// What the program on the other node prints.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Answer {
    /// The agent's answer.
    Answered {
        /// HTTP status.
        status: u16,
        /// Body.
        body: String,
    },
    /// Why there is none.
    Failed {
        /// Code of the error.
        code: String,
        /// What happened.
        message: String,
    },
}

impl Answer {
    /// Of a request.
    pub fn of(result: Result<Response>) -> Self {
        match result {
            Ok(response) => Self::Answered {
                status: response.status,
                body: String::from_utf8_lossy(&response.body).into_owned(),
            },
            Err(error) => Self::Failed { code: error.code.to_owned(), message: error.chain() },
        }
    }
}

/// Codes that are passed on; every other one is `agent-absent`.
const CODES: [&str; 12] = [
    "agent-absent",
    "agent-silent",
    "agent-garbage",
    "agent-too-much",
    "guest-stopped",
    "guest-agent-starting",
    "guest-agent-absent",
    "guest-agent-hung",
    "guest-frozen",
    "guest-exec-failed",
    "machine-paused",
    "machine-out-of-space",
];

/// An agent on another node.
pub(super) struct Relay {
    platform: Pve,
    node: String,
    gateway: GatewayName,
}

impl Relay {
    pub(super) fn new(platform: Pve, node: String, gateway: GatewayName) -> Self {
        Self { platform, node, gateway }
    }

    fn unreachable(&self) -> Error {
        Error::infrastructure("node-unreachable", format!("node {} cannot be asked", self.node)).hint(
            format!(
                "`ssh root@{}` must work from here without a password, and pve-smbgateway be installed there",
                self.node
            ),
        )
    }
}

impl Link for Relay {
    /// Through ssh, and there perhaps into a virtual machine.
    fn slack(&self) -> u32 {
        5
    }

    fn request(&self, request: &Request) -> Result<Response> {
        if request.method != "GET" || request.body.is_some() {
            return Err(Error::infrastructure(
                "gateway-elsewhere",
                format!("gateway {} is on node {}", self.gateway, self.node),
            )
            .hint(format!("run it on {}", self.node)));
        }
        // the other end has a shell
        let plain = |c: char| c.is_ascii_alphanumeric() || "/-_".contains(c);
        if !request.path.chars().all(plain) {
            return Err(Error::internal(format!("{} is no path of an agent", request.path)));
        }
        let nodes = members::nodes(&self.platform.files.read(".members")?.unwrap_or_default());
        let member = nodes.get(&self.node);
        if member.is_some_and(|member| member.online == 0) {
            return Err(self.unreachable().doing("it is off"));
        }
        let address = member.and_then(|member| member.ip.clone()).filter(|ip| ip.parse::<IpAddr>().is_ok());
        let call = node::Relay {
            node: self.node.clone(),
            address: address.unwrap_or_else(|| self.node.clone()),
            gateway: self.gateway.clone(),
            path: request.path.clone(),
            deadline: request.deadline,
        };
        let output =
            Call::run(call, &*self.platform.runner).map_err(|error| self.unreachable().source(error))?;
        if output.stdout.len() > 2 * MAX_BODY {
            return Err(self.unreachable());
        }
        match serde_json::from_slice(&output.stdout).map_err(|source| self.unreachable().source(source))? {
            Answer::Answered { status, body } => Ok(Response { status, body: body.into_bytes() }),
            Answer::Failed { code, message } => {
                let code = CODES.into_iter().find(|known| *known == code).unwrap_or("agent-absent");
                let message: String = message.chars().filter(|c| !c.is_control()).take(500).collect();
                Err(Error::infrastructure(code, message).hint(format!("run it on {}", self.node)))
            }
        }
    }
}
