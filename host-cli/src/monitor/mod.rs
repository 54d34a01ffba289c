//! The service that watches the gateways of a node: it asks all of them again and again, keeps what they say, tells it to
//! Prometheus and to programs, and says when something is wrong. It changes nothing, and no gateway needs it.
//!
//! * [`settings`]: what an administrator decides
//! * [`collect`]: asking all gateways, none of which can hold up another
//! * [`fit`]: what of an answer is taken; pure
//! * [`sample`]: what happened between two answers; pure
//! * [`live`]: what is known now
//! * [`store`]: the history, in SQLite
//! * [`history`]: the history of a gateway, as it is asked for
//! * [`alert`]: what is wrong, raised once and cleared
//! * [`api`]: what is served
//! * [`run`]: all of it together

pub mod alert;
pub mod api;
pub mod collect;
pub mod fit;
pub mod history;
pub mod live;
pub mod run;
pub mod sample;
pub mod settings;
pub mod store;
