//! What a record of the store holds: facts for the view (JSON), then the body (JSON of the run or event).
//!
//! ```text
//! │ facts length u32 │ facts {…} │ body {…} │      the body is absent when the facts name a blob
//! ```
//! Both are read with unknown fields ignored and missing ones defaulted, so fields can be added.

use mainstay_core::journal::DEPTH_MAX;
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

/// Arrays and objects that a body may nest: what a free value may ([`DEPTH_MAX`]), and what stands around it.
const BODY_DEPTH_MAX: usize = DEPTH_MAX + 32;

/// What the view needs of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RunFacts {
    pub(crate) id: RunId,
    pub(crate) agent: Name,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<SessionId>,
    /// Whose it is; in records of former versions only the body says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) principal: Option<String>,
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
            principal: Some(run.principal.clone()),
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

/// Reads a body. The reader's own bound on nesting is less than what a record may hold, so a body that it refuses is
/// measured: one within our bound is read without the reader's, which takes a known part of the stack.
pub(crate) fn body<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    match serde_json::from_slice(bytes) {
        Err(_) if depth(bytes) <= BODY_DEPTH_MAX => {
            let mut reader = serde_json::Deserializer::from_slice(bytes);
            reader.disable_recursion_limit();
            let value = T::deserialize(&mut reader)?;
            reader.end()?;
            Ok(value)
        }
        outcome => outcome,
    }
}

/// Whose run a body tells of, without building the rest.
pub(crate) fn principal(bytes: &[u8]) -> serde_json::Result<String> {
    #[derive(Deserialize)]
    struct Owned {
        principal: String,
    }
    // What is not asked for is skipped without recursion, however deep.
    serde_json::from_slice::<Owned>(bytes).map(|run| run.principal)
}

/// The deepest nesting of arrays and objects in JSON.
fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The least stack of a thread that reads: tokio gives two mebibytes.
    const STACK_BYTES: usize = 1024 * 1024;

    fn nested(depth: usize) -> Value {
        (0..depth)
            .fold(Value::Null, |inner, n| if n % 2 == 0 { json!([inner]) } else { json!({ "a": inner }) })
    }

    #[test]
    fn bodies_are_read_to_their_bound_and_refused_beyond_it_within_a_small_stack() {
        let reading = || {
            for depth in [0, 1, 126, 128, BODY_DEPTH_MAX] {
                let value = nested(depth);
                let bytes = serde_json::to_vec(&value).unwrap();
                assert_eq!(body::<Value>(&bytes).unwrap(), value, "depth {depth}");
            }
            for depth in [BODY_DEPTH_MAX + 1, 1_000_000] {
                assert!(body::<Value>("[".repeat(depth).as_bytes()).is_err(), "depth {depth}");
            }
        };
        std::thread::Builder::new().stack_size(STACK_BYTES).spawn(reading).unwrap().join().unwrap();
    }

    #[test]
    fn brackets_in_text_nest_nothing() {
        for (json, expect) in [(r#"{"a[{\\":"\"[[["}"#, 1), (r#"[[1],{"b":[]}]"#, 3), ("7", 0)] {
            assert_eq!(depth(json.as_bytes()), expect, "{json}");
        }
    }

    #[test]
    fn whose_run_it_is_stands_in_the_body_however_deep_that_is() {
        let body = format!(
            r#"{{"input":{{"context":{}}},"principal":"alice"}}"#,
            "[".repeat(500) + &"]".repeat(500)
        );
        assert_eq!(principal(body.as_bytes()).unwrap(), "alice");
    }
}
