//! How the host reaches an agent. The gateway is less trusted than the node: every answer is bounded in size and
//! time and parsed strictly, and no path inside a gateway's directory is followed blindly.
//!
//! * [`Link`]: carries one request
//! * [`UnixLink`]: over the socket in a container's link directory
//! * [`guest_agent`]: through the QEMU guest agent of a virtual machine
//! * [`lines`]: lines over a socket, bounded in length and time
//! * [`Agent`]: the typed requests of `smbgw_api::v1`

mod agent;
pub mod guest_agent;
pub(crate) mod lines;
mod unix;

pub use agent::Agent;
pub use unix::UnixLink;

use std::time::Duration;

use crate::Result;

/// One HTTP request.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `PUT`, `POST` or `DELETE`.
    pub method: &'static str,
    /// Path, as `/v1/health`.
    pub path: String,
    /// JSON body.
    pub body: Option<Vec<u8>>,
    /// Time for the whole exchange.
    pub deadline: Duration,
}

/// Its answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Body, at most `v1::MAX_BODY` bytes.
    pub body: Vec<u8>,
}

/// Carries requests to an agent.
pub trait Link: Send + Sync {
    /// Sends one request and waits for its answer.
    ///
    /// # Errors
    /// Codes `agent-absent`, `agent-silent`, `agent-garbage`, `agent-too-much`; from a virtual machine also those of
    /// [`guest_agent::GuestExec::exec`].
    fn request(&self, request: &Request) -> Result<Response>;

    /// Whether the way to the agent is open, as far as that can be found out without a request: one to a virtual machine
    /// runs a program in it.
    ///
    /// # Errors
    /// As [`Link::request`].
    fn reach(&self) -> Result<()> {
        Ok(())
    }

    /// How many times longer than in a container things may take at the other end.
    fn slack(&self) -> u32 {
        1
    }
}
