//! What a record of the store holds: facts for the view (JSON), then the body (JSON of the run or event).
//!
//! ```text
//! │ facts length u32 │ facts {…} │ body {…} │      the body is absent when the facts name a blob
//! ```
//! Both are read with unknown fields ignored and missing ones defaulted, so fields can be added.

use mainstay_core::run::{Run, RunEvent, RunStatus};
use mainstay_core::{Name, RunId, SessionId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::blob::{BlobRef, Large};
use crate::log::Lsn;
use crate::log::record::{Group, u32_at};

/// Kinds of the store's records.
pub(crate) mod kind {
    pub(crate) const RUN: u8 = 16;
    pub(crate) const EVENT: u8 = 17;
    pub(crate) const SESSION_DELETED: u8 = 18;
    pub(crate) const FORGOTTEN: u8 = 19;
}

/// What the view needs of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RunFacts {
    pub(crate) id: RunId,
    pub(crate) agent: Name,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<SessionId>,
    pub(crate) status: RunStatus,
    pub(crate) created_ms: u64,
    pub(crate) updated_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) blob: Option<BlobRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) moved: Option<Moved>,
}

/// What the view needs of an event.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct EventFacts {
    pub(crate) run: RunId,
    pub(crate) seq: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) blob: Option<BlobRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) moved: Option<Moved>,
}

/// Says that a record is a copy, made so that the segment of the first one could be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Moved {
    /// The LSN of the first one: a record written between the two is newer than the copy.
    pub(crate) origin: Lsn,
    /// Of a run: the LSN of the first record of that run ever, which is its place in the order of creation.
    #[serde(default)]
    pub(crate) birth: Lsn,
}

/// A session was deleted.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SessionDeleted {
    pub(crate) session: SessionId,
}

/// Runs were forgotten.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Forgotten {
    pub(crate) runs: Vec<RunId>,
}

impl RunFacts {
    pub(crate) fn of(run: &Run) -> Self {
        Self {
            id: run.id.clone(),
            agent: run.agent.clone(),
            session: run.session.clone(),
            status: run.status,
            created_ms: run.created_ms,
            updated_ms: run.updated_ms,
            blob: None,
            moved: None,
        }
    }
}

impl EventFacts {
    pub(crate) fn of(run: RunId, event: &RunEvent) -> Self {
        Self { run, seq: event.seq, blob: None, moved: None }
    }
}

/// Adds a record with `facts` and `body` to the group.
pub(crate) fn push(group: &mut Group, kind: u8, facts: &impl Serialize, body: &[u8]) {
    group.push(kind, |bytes| {
        let start = bytes.len();
        bytes.extend_from_slice(&[0; 4]);
        serde_json::to_writer(&mut *bytes, facts).expect("facts are plain data and a vector takes any write");
        let length = u32::try_from(bytes.len() - start - 4).expect("facts are small: names, ids and numbers");
        bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(body);
    });
}

/// Splits a payload into facts and body.
pub(crate) fn split<F: DeserializeOwned>(payload: &[u8]) -> serde_json::Result<(F, &[u8])> {
    use serde::de::Error;
    let broken = || serde_json::Error::custom("the record is too short for its facts");
    if payload.len() < 4 {
        return Err(broken());
    }
    let body = 4 + u32_at(payload, 0) as usize;
    let facts = payload.get(4..body).ok_or_else(broken)?;
    Ok((serde_json::from_slice(facts)?, &payload[body..]))
}

/// Bodies on their way into a group; large ones on their way into blobs.
pub(crate) struct Bodies<'a> {
    inline_bytes_max: usize,
    large: &'a mut Vec<Large>,
    scratch: Vec<u8>,
}

impl<'a> Bodies<'a> {
    pub(crate) fn new(inline_bytes_max: usize, large: &'a mut Vec<Large>) -> Self {
        Self { inline_bytes_max, large, scratch: Vec::new() }
    }

    /// The body's bytes and no blob, or none and the blob that will hold them.
    pub(crate) fn encode(&mut self, body: &impl Serialize) -> serde_json::Result<(&[u8], Option<BlobRef>)> {
        self.scratch.clear();
        serde_json::to_writer(&mut self.scratch, body)?;
        if self.scratch.len() <= self.inline_bytes_max {
            return Ok((&self.scratch, None));
        }
        let large = Large::new(std::mem::take(&mut self.scratch));
        let blob = large.blob();
        self.large.push(large);
        Ok((&[], Some(blob)))
    }
}
