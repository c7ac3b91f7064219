//! The durable brokers: all of them in one log, which is the truth; where messages are and how far groups are is in
//! memory, built anew from the log at a start. An acknowledged message survives `kill -9`, and so does what a group is
//! done with.
//!
//! - `broker` is one broker as the port;     - `subscriber` is a stream of deliveries and their receipts;
//! - `log` writes and reads messages;        - `opening` builds the index from the log;
//! - `index` is the view in memory;          - `group` says what a group's members get, and when again;
//! - `record` is what is on the disk;        - `care` forgets groups that never come back and gives space back.
//!
//! Why the view is in memory and not in redb: a broker's view changes with every message twice, and is bounded by what
//! may wait; 32 bytes a message are cheaper than two rows.
//!
//! Bounds: what waits for a group is kept, up to [`PubSubOptions::backlog_bytes_max`] and [`MESSAGES_MAX`]; then
//! publishing is refused, since to drop the oldest would lose what was acknowledged. A group that has had no member for
//! [`PubSubOptions::group_idle_max`] is forgotten, and holds nothing from then on.

pub(crate) mod broker;
pub(crate) mod care;
pub(crate) mod group;
pub(crate) mod index;
pub(crate) mod log;
pub(crate) mod opening;
pub(crate) mod record;
pub(crate) mod subscriber;

use std::time::Duration;

use mainstay_core::{Error, codes};

use crate::options::Options;

/// Messages that may wait for groups, all topics together.
pub(crate) const MESSAGES_MAX: u64 = 1_000_000;
/// Groups, all topics together.
pub(crate) const GROUPS_MAX: usize = 10_000;
/// Memory for messages that were just published, so that those who follow read no disk.
pub(crate) const CACHE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The bounds of the broker log.
#[derive(Clone, Debug)]
pub(crate) struct PubSubOptions {
    /// Of the log.
    pub(crate) journal: Options,
    /// Bytes of the log that may hold messages which no group needs any more.
    pub(crate) retained_bytes: u64,
    /// How long such messages stay, at most.
    pub(crate) retained_age: Duration,
    /// Bytes that may wait for groups.
    pub(crate) backlog_bytes_max: u64,
    /// A group without a member is forgotten after this long.
    pub(crate) group_idle_max: Duration,
}

/// The error for callers of the port: to them it is a broker that fails.
pub(crate) fn unavailable(error: Error) -> Error {
    if error.code() != &codes::JOURNAL_UNAVAILABLE {
        return error;
    }
    let retry = error.retry();
    Error::new(&codes::BROKER_UNAVAILABLE, "the embedded broker cannot be used until the disk is well")
        .with_help("see `/ready` and the log for the cause; everything acknowledged before is kept")
        .with_retry(retry)
        .with_internal(error.internal().unwrap_or_else(|| error.message()).to_owned())
}

pub(crate) fn closed() -> Error {
    unavailable(crate::damage::unavailable("the embedded stores are closed"))
}

#[cfg(test)]
mod tests;
