//! The durable state stores: all of them in one log, which is the truth, with a view that can be rebuilt. Linearizable;
//! an acknowledged change survives `kill -9`.
//!
//! - `store` is one store as the port;      - `log` decides changes and finds values;
//! - `record` is what is on the disk;       - `recent` is what the view may not have yet;
//! - `tables` is the view;                  - `scan` and `query` list and search;
//! - `care` removes what is over and gives space back.
//!
//! Reads never wait for a sync: they see the last durable version. Values stay in the log and are read from there;
//! memory holds the view's pages (bounded), what was changed since its last commit (bounded), and open files (bounded).

pub(crate) mod care;
pub(crate) mod log;
pub(crate) mod query;
pub(crate) mod recent;
pub(crate) mod record;
pub(crate) mod scan;
pub(crate) mod store;
pub(crate) mod tables;

use mainstay_core::{Error, codes};

use crate::options::Options;

/// The bounds of the state log.
#[derive(Clone, Debug)]
pub(crate) struct StateOptions {
    /// Of the log and its view.
    pub(crate) journal: Options,
    /// Bytes of changes that the view may be behind; then writers wait for it.
    pub(crate) recent_bytes_max: usize,
}

/// The error for callers of the port: to them it is a store that fails.
pub(crate) fn unavailable(error: Error) -> Error {
    if error.code() != &codes::JOURNAL_UNAVAILABLE {
        return error;
    }
    let retry = error.retry();
    Error::new(&codes::STORE_UNAVAILABLE, "the embedded state store cannot be used until the disk is well")
        .with_help("see `/ready` and the log for the cause; everything acknowledged before is kept")
        .with_retry(retry)
        .with_internal(error.internal().unwrap_or_else(|| error.message()).to_owned())
}

#[cfg(test)]
mod tests;
