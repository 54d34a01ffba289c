//! What all requests share.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use smbgw_command::Runner;

use crate::domain::figures::Looks;
use crate::error::{Result, internal};
use crate::events::Events;
use crate::instance::Instance;
use crate::logons::Logons;
use crate::metrics::Last;
use crate::paths::Paths;
use crate::processes::Sizes;
use crate::services::Services;
use crate::storage::answers::Answers;
use crate::traffic::books::Books;

/// The agent: where things are, who runs commands, who controls services.
pub(crate) struct Agent {
    /// Paths.
    pub(crate) paths: Paths,
    /// Starts processes.
    pub(crate) runner: Box<dyn Runner>,
    /// Controls smbd and mounts.
    pub(crate) services: Box<dyn Services>,
    /// Which Samba is ours.
    pub(crate) instance: Instance,
    /// File systems of shares, asked with a deadline.
    pub(crate) answers: Answers,
    /// What clients read and wrote.
    pub(crate) books: Books,
    /// Memory of processes.
    pub(crate) sizes: Sizes,
    /// Logons that failed.
    pub(crate) logons: Logons,
    /// How it last stood with the domain.
    pub(crate) domain: Looks,
    /// Figures that were told last.
    pub(crate) figures: Last,
    /// Who is told what happens.
    pub(crate) events: Events,
    /// Held while something is changed: one change at a time.
    changes: Arc<tokio::sync::Mutex<()>>,
    /// Samba's version, once it was asked for.
    pub(crate) samba_version: OnceLock<String>,
    /// Why the state of the last run could not be put in force when the agent started.
    trouble: Mutex<Option<String>>,
}

impl Agent {
    /// An agent that has done nothing yet.
    pub(crate) fn new(
        paths: Paths,
        runner: Box<dyn Runner>,
        services: Box<dyn Services>,
        instance: Instance,
    ) -> Self {
        Self {
            paths,
            runner,
            services,
            instance,
            answers: Answers::default(),
            books: Books::default(),
            sizes: Sizes::default(),
            logons: Logons::default(),
            domain: Looks::default(),
            figures: Last::default(),
            events: Events::default(),
            changes: Arc::default(),
            samba_version: OnceLock::new(),
            trouble: Mutex::default(),
        }
    }

    /// Runs blocking work beside the runtime.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let agent = Arc::clone(self);
        join(tokio::task::spawn_blocking(move || work(&agent)).await)
    }

    /// As [`Self::read`], for work that changes something: one after the other. When the caller goes away or its
    /// deadline passes, the work still goes on to its end, and the next one waits for it.
    pub(crate) async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let agent = Arc::clone(self);
        let turn = Arc::clone(&self.changes).lock_owned().await;
        let work = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work(&agent)
        });
        join(work.await)
    }

    /// What went wrong at the start, if it still stands.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes what went wrong, or that all is well.
    pub(crate) fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

fn join<T>(joined: std::result::Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    joined.unwrap_or_else(|error| Err(internal(format!("the work did not end: {error}"))))
}
