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
}

impl Item {
    /// What changes the key. `metadata` is the request's, which holds over the item's.
    pub(super) fn into_item(self, metadata: &BTreeMap<String, String>) -> Result<state::Item> {
        Ok(self.into_save(metadata)?.0)
    }

    /// The same with the value.
    pub(super) fn into_save(
        self,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(state::Item, Bytes, Format)> {
        if self.key.is_empty() {
            return Err(Fault::malformed("\"key\" is a required field"));
        }
        let concurrency = concurrency(self.options.concurrency.as_deref())?;
        let mut own = self.metadata;
        own.extend(metadata.clone());
        let (value, format) = super::raw(self.value);
        Ok((state::Item { key: self.key, etag: self.etag, concurrency, metadata: own }, value, format))
    }
}

/// Who wins. Errors: `ERR_MALFORMED_REQUEST` for another word.
pub(super) fn concurrency(text: Option<&str>) -> Result<Concurrency> {
    match text {
        None | Some("") => Ok(Concurrency::Unspecified),
        Some("first-write") => Ok(Concurrency::FirstWrite),
        Some("last-write") => Ok(Concurrency::LastWrite),
        Some(other) => {
            let message =
                format!("unrecognized concurrency model '{other}': it is `first-write` or `last-write`");
            Err(Fault::malformed(&message))
        }
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
    #[serde(default, deserialize_with = "or_default")]
    pub(super) metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
pub(super) struct Operation {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) operation: String,
    pub(super) request: Item,
}
