//! The stores inside the process, behind the port of that name: opened when the first of their kind is asked for.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::embedded::Embedded;
use mainstay_core::pubsub::PubSub;
use mainstay_core::state::StateStore;
use mainstay_core::{Clock, Error, Result, codes};
use parking_lot::Mutex;

use crate::care::Care;
use crate::medium::{Disk, Medium};
use crate::options::Options;
use crate::pubsub::PubSubOptions;
use crate::pubsub::broker::Broker;
use crate::pubsub::log::BrokerLog;
use crate::state::StateOptions;
use crate::state::log::StateLog;
use crate::state::store::Store;
use crate::stats::Stats;

/// Bytes of a store's name.
const NAME_BYTES_MAX: usize = 255;

/// The bounds of the embedded stores. [`EmbeddedOptions::new`] gives the defaults.
#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    /// The data folder: the state stores are in `state`, the brokers in `pubsub`.
    pub folder: PathBuf,
    /// A segment of a log is closed at this size (16 MiB). A log holds at most twice what lives, and one segment more.
    pub segment_bytes: u64,
    /// A value beyond this many bytes goes to a blob file (64 KiB).
    pub inline_bytes_max: usize,
    /// Memory for pages of the state stores' view (4 MiB).
    pub view_cache_bytes: usize,
    /// The view commits after this long (200 ms).
    pub view_delay: Duration,
    /// Bytes of changes that the view may be behind; then writers wait for it (16 MiB).
    pub recent_bytes_max: usize,
    /// How often what has outlived its time is removed and disk space given back (2 s).
    pub care_interval: Duration,
    /// Bytes of the brokers' log that may hold messages which no group needs any more (16 MiB).
    pub retained_bytes: u64,
    /// How long such messages stay, at most (1 h).
    pub retained_age: Duration,
    /// Bytes of messages that may wait for subscribers, all topics together; beyond it publishing is refused (1 GiB).
    pub backlog_bytes_max: u64,
    /// A group that has had no subscriber for this long is forgotten, with what waits for it (7 days).
    pub group_idle_max: Duration,
    /// The disk of the logs.
    pub medium: Arc<dyn Medium>,
}

impl EmbeddedOptions {
    /// The defaults for `folder`.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            segment_bytes: 16 * 1024 * 1024,
            inline_bytes_max: 64 * 1024,
            view_cache_bytes: 4 * 1024 * 1024,
            view_delay: Duration::from_millis(200),
            recent_bytes_max: 16 * 1024 * 1024,
            care_interval: Duration::from_secs(2),
            retained_bytes: 16 * 1024 * 1024,
            retained_age: Duration::from_secs(3_600),
            backlog_bytes_max: 1024 * 1024 * 1024,
            group_idle_max: Duration::from_secs(7 * 24 * 3_600),
            medium: Arc::new(Disk),
        }
    }

    /// The bounds of the log in `part` of the folder. The reserve of the data folder is the journal's.
    fn log(&self, part: &str) -> Options {
        Options {
            segment_bytes: self.segment_bytes,
            inline_bytes_max: self.inline_bytes_max,
            view_cache_bytes: self.view_cache_bytes,
            view_delay: self.view_delay,
            reserve_bytes: 0,
            medium: self.medium.clone(),
            ..Options::new(self.folder.join(part))
        }
    }
}

/// The stores inside the process. Share it as `Arc<Stores>`: that is the `Embedded` port.
#[derive(Debug)]
pub struct Stores {
    options: EmbeddedOptions,
    clock: Arc<dyn Clock>,
    opened: Mutex<Opened>,
}

#[derive(Debug, Default)]
struct Opened {
    is_closed: bool,
    state: Option<(Arc<StateLog>, Care)>,
    pubsub: Option<(Arc<BrokerLog>, Care)>,
}

impl Stores {
    /// Stores that are opened, and recovered, when the first of their kind is asked for: that call blocks for the time
    /// of reading their log.
    #[must_use]
    pub fn new(options: EmbeddedOptions, clock: Arc<dyn Clock>) -> Self {
        Self { options, clock, opened: Mutex::default() }
    }

    /// What the log of the state stores has done and holds; `None` while no state store was asked for.
    #[must_use]
    pub fn state_stats(&self) -> Option<Stats> {
        self.opened.lock().state.as_ref().map(|(log, _)| log.engine.stats())
    }

    /// What the log of the brokers has done and holds; `None` while no broker was asked for.
    #[must_use]
    pub fn pubsub_stats(&self) -> Option<Stats> {
        self.opened.lock().pubsub.as_ref().map(|(log, _)| log.stats())
    }

    /// Does at once what is done every [`EmbeddedOptions::care_interval`]. Errors: those of the stores.
    pub async fn tend(&self) -> Result<()> {
        let (state, pubsub) = {
            let opened = self.opened.lock();
            let state = opened.state.as_ref().map(|(log, _)| log.clone());
            (state, opened.pubsub.as_ref().map(|(log, _)| log.clone()))
        };
        if let Some(log) = state {
            log.tend().await?;
        }
        if let Some(log) = pubsub {
            log.tend().await?;
        }
        Ok(())
    }

    /// Writes what waits and lets go of the folders; blocks for a few syncs. Every store fails from here on.
    /// Idempotent; dropping it does the same.
    pub fn close(&self) {
        let closed = Opened { is_closed: true, ..Opened::default() };
        let Opened { state, pubsub, .. } = std::mem::replace(&mut *self.opened.lock(), closed);
        if let Some((log, care)) = state {
            drop(care);
            log.engine.close();
        }
        if let Some((log, care)) = pubsub {
            drop(care);
            log.close();
        }
    }

    fn state(&self) -> Result<Arc<StateLog>> {
        let mut opened = self.opened.lock();
        opened.refuse_closed()?;
        if let Some((log, _)) = &opened.state {
            return Ok(log.clone());
        }
        let journal = self.options.log("state");
        let options = StateOptions { journal, recent_bytes_max: self.options.recent_bytes_max };
        let log = Arc::new(StateLog::open(options, self.clock.clone())?);
        let tended = log.clone();
        let care = self.care("state", move || {
            let log = tended.clone();
            async move { log.tend().await }
        })?;
        opened.state = Some((log.clone(), care));
        Ok(log)
    }

    fn broker(&self) -> Result<Arc<BrokerLog>> {
        let mut opened = self.opened.lock();
        opened.refuse_closed()?;
        if let Some((log, _)) = &opened.pubsub {
            return Ok(log.clone());
        }
        let options = PubSubOptions {
            journal: self.options.log("pubsub"),
            retained_bytes: self.options.retained_bytes,
            retained_age: self.options.retained_age,
            backlog_bytes_max: self.options.backlog_bytes_max,
            group_idle_max: self.options.group_idle_max,
        };
        let log = Arc::new(BrokerLog::open(options, self.clock.clone())?);
        let tended = log.clone();
        let care = self.care("pubsub", move || {
            let log = tended.clone();
            async move { log.tend().await }
        })?;
        opened.pubsub = Some((log.clone(), care));
        Ok(log)
    }

    fn care<F: Future<Output = Result<()>>>(
        &self,
        name: &str,
        tend: impl Fn() -> F + Send + 'static,
    ) -> Result<Care> {
        Care::start(name, self.options.care_interval, tend).map_err(|cause| {
            Error::new(&codes::JOURNAL_UNAVAILABLE, "no thread can be started for the embedded stores")
                .with_source(cause)
        })
    }
}

impl Opened {
    fn refuse_closed(&self) -> Result<()> {
        if self.is_closed {
            return Err(Error::new(&codes::JOURNAL_UNAVAILABLE, "the embedded stores are closed"));
        }
        Ok(())
    }
}

impl Drop for Stores {
    fn drop(&mut self) {
        self.close();
    }
}

impl Embedded for Stores {
    fn state_store(&self, name: &str) -> Result<Arc<dyn StateStore>> {
        check_name(name)?;
        Ok(Arc::new(Store::new(self.state()?, name)))
    }

    fn pubsub(&self, name: &str) -> Result<Arc<dyn PubSub>> {
        check_name(name)?;
        Ok(Arc::new(Broker::new(self.broker()?, name)))
    }
}

fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        let message =
            format!("open a store with a name of {} bytes: it has 1 to {NAME_BYTES_MAX}", name.len());
        return Err(Error::new(&codes::INVALID_FIELD, message).with_field("name"));
    }
    Ok(())
}
