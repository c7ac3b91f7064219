//! The port of a state store: values under keys, each with a version (its etag).
//!
//! Keys and values are opaque here: prefixes, encryption and what a value means are the building block's.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;

use crate::{Ctx, Error, Result, codes};

/// What a store can do. The conformance suite holds both ways: what is declared works, what is not declared answers
/// `UNSUPPORTED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether [`StateStore::transact`] works, and for how many changes at once.
    pub transaction_changes_max: Option<usize>,
    /// Whether [`StateStore::scan`] works.
    pub scan: bool,
    /// Whether it works for prefixes that begin with [`RESERVED`], whatever `scan` says.
    pub scan_reserved: bool,
    /// Whether [`StateStore::query`] works.
    pub query: bool,
    /// Whether an acknowledged change survives the end of the process.
    pub durable: bool,
}

/// Keys that begin so are the runtime's own. No app reaches them, and none of them gets a time to live that a
/// component's settings give to every value.
pub const RESERVED: &str = "mainstay||runtime||";

/// What is stored under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value, byte for byte as it was set. A store that keeps JSON as JSON gives an equal value for what was set as
    /// [`Format::Json`]; its text may differ.
    pub value: Bytes,
    /// The version: another one after each change, never empty. Only good for comparing.
    pub etag: String,
    /// When it ceases to exist, in milliseconds since the Unix epoch.
    pub expires_at_ms: Option<u64>,
}

/// What must be so for a change to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing: the last write wins.
    #[default]
    None,
    /// The key does not exist.
    Absent,
    /// The key exists with this etag.
    Etag(String),
}

/// What the bytes of a value are: how a store that knows JSON keeps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The text of a JSON value.
    Json,
    /// Any bytes.
    Bytes,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Replaces what is under the key, its time to live included.
    Set {
        /// The key, not empty.
        key: String,
        /// The value.
        value: Bytes,
        /// What the value is.
        format: Format,
        /// What must be so.
        precondition: Precondition,
        /// After this the key ceases to exist; never without. Not zero. A store may round it up to whole seconds.
        ttl: Option<Duration>,
    },
    /// Removes what is under the key, if there is something.
    Delete {
        /// The key, not empty.
        key: String,
        /// What must be so; never `Absent`.
        precondition: Precondition,
    },
}

impl Change {
    /// The key that it changes.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Set { key, .. } | Self::Delete { key, .. } => key,
        }
    }

    /// What must be so.
    #[must_use]
    pub fn precondition(&self) -> &Precondition {
        match self {
            Self::Set { precondition, .. } | Self::Delete { precondition, .. } => precondition,
        }
    }
}

/// A filter over JSON values. Paths are dotted (`person.org`).
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// The member is equal to the value.
    Equal(String, Value),
    /// The member is there and differs from the value.
    NotEqual(String, Value),
    /// The member is greater.
    Greater(String, Value),
    /// The member is greater or equal.
    GreaterOrEqual(String, Value),
    /// The member is less.
    Less(String, Value),
    /// The member is less or equal.
    LessOrEqual(String, Value),
    /// The member is one of the values.
    In(String, Vec<Value>),
    /// All hold.
    And(Vec<Filter>),
    /// One holds.
    Or(Vec<Filter>),
}

/// A query.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// Only keys that begin so.
    pub prefix: String,
    /// What must hold; everything without.
    pub filter: Option<Filter>,
    /// Members to sort by, and whether descending. By key after these.
    pub sort: Vec<(String, bool)>,
    /// Most entries of the page; the store's bound when absent.
    pub limit: Option<usize>,
    /// Where the page begins: the token of the one before.
    pub token: Option<String>,
}

/// A page of a query or a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Keys with what is under them.
    pub entries: Vec<(String, Entry)>,
    /// Asks for the next page; `None` at the last.
    pub token: Option<String>,
}

/// The port of a state store. Members do not retry, time out beyond the context's deadline, log, meter or cache.
///
/// A read sees every change that was acknowledged before it began. A method whose future is dropped may or may not have
/// had its effect. Errors of every method: `STORE_UNAVAILABLE` when the backend cannot be reached, or
/// `DEADLINE_EXCEEDED`; a call fails within its context's deadline.
#[async_trait]
pub trait StateStore: Send + Sync {
    /// What this store can do. Constant for its lifetime.
    fn capabilities(&self) -> Capabilities;

    /// Whether the backend answers.
    async fn ready(&self, ctx: &Ctx) -> Result<()>;

    /// What is under a key; `None` for what never was, was deleted, or has outlived its time.
    async fn get(&self, ctx: &Ctx, key: &str) -> Result<Option<Entry>>;

    /// Makes one change. Acknowledged means durable, where the store is. Errors: `ETAG_MISMATCH` when the precondition
    /// does not hold (an etag for a key that does not exist does not hold); `ETAG_INVALID` for an etag that this store
    /// can never have given; `INVALID_FIELD` for a key that it cannot keep (one with a NUL).
    async fn apply(&self, ctx: &Ctx, change: Change) -> Result<()>;

    /// What is under several keys, in their order. A key's failure is its own.
    async fn get_many(&self, ctx: &Ctx, keys: &[String]) -> Vec<Result<Option<Entry>>> {
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            found.push(self.get(ctx, key).await);
        }
        found
    }

    /// Makes several changes that do not depend on each other: each is made or not by itself, in their order where they
    /// are of one key.
    async fn apply_each(&self, ctx: &Ctx, changes: Vec<Change>) -> Vec<Result<()>> {
        let mut done = Vec::with_capacity(changes.len());
        for change in changes {
            done.push(self.apply(ctx, change).await);
        }
        done
    }

    /// Makes all changes, in their order, or none. Errors: as [`StateStore::apply`], for the first change that cannot
    /// be made; `UNSUPPORTED`; `INVALID_FIELD` for more changes than the store takes at once.
    async fn transact(&self, _ctx: &Ctx, _changes: Vec<Change>) -> Result<()> {
        Err(unsupported("make several changes at once"))
    }

    /// Keys that begin with `prefix`, in the order of their bytes, from after the one that `token` names. Errors:
    /// `UNSUPPORTED`, where neither `scan` nor, for such a prefix, `scan_reserved` is declared.
    async fn scan(&self, _ctx: &Ctx, _prefix: &str, _token: Option<&str>, _limit: usize) -> Result<Page> {
        Err(unsupported("list its keys"))
    }

    /// Entries whose JSON value fits. Errors: `UNSUPPORTED`; `INVALID_FIELD` for a query or a token it cannot read.
    async fn query(&self, _ctx: &Ctx, _query: Query) -> Result<Page> {
        Err(unsupported("search by value"))
    }
}

fn unsupported(what: &str) -> Error {
    Error::new(&codes::UNSUPPORTED, format!("this state store cannot {what}"))
}
