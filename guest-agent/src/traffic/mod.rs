//! What clients read and wrote, by share and by client.
//!
//! smbd counts by process, and each client has a process of its own (smb.conf(5), `smbd profiling level`). Which shares a process
//! has open it says itself: Samba runs [`tally`] at each tree connect and disconnect (`root preexec`, `root postexec`).
//!
//! * [`tdb`]: Samba's database files, read only; [`profile`]: the one in which smbd counts
//! * [`event`]: lines that [`tally`] leaves for the agent; [`spool`]: the file that they are in
//! * [`ledger`]: what follows from them for each share (pure); [`books`]: the ledger of this gateway

pub(crate) mod books;
pub(crate) mod event;
mod ledger;
mod profile;
mod spool;
pub(crate) mod tally;
mod tdb;
