//! Requests of the state API as JSON.

use std::collections::BTreeMap;

use bytes::Bytes;
use mainstay_blocks::state::{self, Concurrency};
use mainstay_core::state::Format;
use mainstay_dapr::Fault;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::call::{Result, or_default};

#[derive(Deserialize)]
pub(super) struct Item {
    #[serde(default, deserialize_with = "or_default")]
    key: String,
    value: Option<Box<RawValue>>,
    etag: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    metadata: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_default")]
    options: Options,
}

#[derive(Default, Deserialize)]
struct Options {
    concurrency: Option<String>,
    consistency: Option<String>,
}

impl Item {
    /// Whether it has a key. Errors: `ERR_MALFORMED_REQUEST`.
    pub(super) fn check(&self) -> Result<()> {
        if self.key.is_empty() { Err(Fault::malformed("\"key\" is a required field")) } else { Ok(()) }
    }

    /// Whether its options are ones that there are. Errors: what it is that is not.
    pub(super) fn check_options(&self) -> std::result::Result<(), String> {
        concurrency(self.options.concurrency.as_deref())?;
        check_consistency(self.options.consistency.as_deref())
    }

    /// What changes the key, and its value. `metadata` is the request's, which holds over the item's. An option that
    /// there is not counts as none.
    pub(super) fn into_save(self, metadata: &BTreeMap<String, String>) -> (state::Item, Bytes, Format) {
        let concurrency = concurrency(self.options.concurrency.as_deref()).unwrap_or_default();
        let mut own = self.metadata;
        own.extend(metadata.clone());
        let (value, format) = super::raw(self.value);
        (state::Item { key: self.key, etag: self.etag, concurrency, metadata: own }, value, format)
    }
}

/// Who wins. Errors: another word.
pub(super) fn concurrency(text: Option<&str>) -> std::result::Result<Concurrency, String> {
    match text {
        None | Some("") => Ok(Concurrency::Unspecified),
        Some("first-write") => Ok(Concurrency::FirstWrite),
        Some("last-write") => Ok(Concurrency::LastWrite),
        Some(other) => Err(format!("unrecognized concurrency model '{other}'")),
    }
}

/// What is read and written is always the newest; a word that there is not is refused all the same. Errors: the word.
pub(super) fn check_consistency(text: Option<&str>) -> std::result::Result<(), String> {
    match text {
        None | Some("" | "eventual" | "strong") => Ok(()),
        Some(other) => Err(format!("unrecognized consistency model '{other}'")),
    }
}

#[derive(Deserialize)]
pub(super) struct Bulk {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) keys: Vec<String>,
    pub(super) parallelism: Option<i64>,
}

#[derive(Deserialize)]
pub(super) struct Transaction {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) operations: Vec<Operation>,
}

#[derive(Deserialize)]
pub(super) struct Operation {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) operation: String,
    pub(super) request: Item,
}
