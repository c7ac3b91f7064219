//! What the records of the broker log hold. It does no I/O.
//!
//! ```text
//! MESSAGE  │flags u8│ seq u64 │published u64│ lane u32 │[expires u64]│ broker │ topic │[type]│ n u32 │(name, value)…│ data or blob │
//! GROUP    │ id u32 │ floor u64 │ seen u64 │ broker │ topic │ group │ n u32 │ seq u64 …│
//! DONE     │ id u32 │ seq u64 │         FORGOTTEN  │ id u32 │
//! ```
//! Texts are `│bytes u32│…│`. A group's record says all about it; `DONE` adds to that until the next.

use std::collections::BTreeMap;

use bytes::Bytes;
use mainstay_core::pubsub::Message;

use crate::blob::BlobRef;
use crate::log::record::{Group as Records, HEADER_BYTES, u32_at, u64_at};

/// Kinds of the broker log's records.
pub(crate) mod kind {
    /// A message.
    pub(crate) const MESSAGE: u8 = 16;
    /// Where a group is.
    pub(crate) const GROUP: u8 = 17;
    /// A group is done with a message.
    pub(crate) const DONE: u8 = 18;
    /// A group is no more.
    pub(crate) const FORGOTTEN: u8 = 19;
}

const EXPIRES: u8 = 1;
const BLOB: u8 = 2;
const TYPED: u8 = 4;

/// A message as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) seq: u64,
    pub(crate) published_ms: u64,
    pub(crate) expires_at_ms: Option<u64>,
    /// Messages of one lane are in order; 0 for none.
    pub(crate) lane: u32,
    pub(crate) broker: String,
    /// Without its data where that is in a blob.
    pub(crate) message: Message,
    pub(crate) blob: Option<BlobRef>,
}

/// A group as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredGroup {
    pub(crate) id: u32,
    pub(crate) broker: String,
    pub(crate) topic: String,
    pub(crate) name: String,
    /// Every message below is done.
    pub(crate) floor: u64,
    /// When its last member left; all ones while it has members.
    pub(crate) seen_ms: u64,
    /// What is done above the floor.
    pub(crate) done: Vec<u64>,
}

/// Adds a message, its sequence number to be stamped.
pub(crate) fn push_message(records: &mut Records, stored: &Stored) {
    let Stored { message, blob, .. } = stored;
    records.push(kind::MESSAGE, |bytes| {
        let flag = |is: bool, flag: u8| if is { flag } else { 0 };
        bytes.push(
            flag(stored.expires_at_ms.is_some(), EXPIRES)
                | flag(blob.is_some(), BLOB)
                | flag(message.content_type.is_some(), TYPED),
        );
        bytes.extend_from_slice(&stored.seq.to_le_bytes());
        bytes.extend_from_slice(&stored.published_ms.to_le_bytes());
        bytes.extend_from_slice(&stored.lane.to_le_bytes());
        stored.expires_at_ms.iter().for_each(|end| bytes.extend_from_slice(&end.to_le_bytes()));
        text(bytes, &stored.broker);
        text(bytes, &message.topic);
        message.content_type.iter().for_each(|content_type| text(bytes, content_type));
        count(bytes, message.metadata.len());
        for (name, value) in &message.metadata {
            text(bytes, name);
            text(bytes, value);
        }
        match blob {
            Some(blob) => {
                bytes.extend_from_slice(&blob.hash);
                bytes.extend_from_slice(&blob.bytes.to_le_bytes());
            }
            None => bytes.extend_from_slice(&message.data),
        }
    });
}

/// Numbers the only message of `records`.
pub(crate) fn stamp(records: &mut Records, seq: u64) {
    records.bytes_mut()[HEADER_BYTES + 1..HEADER_BYTES + 9].copy_from_slice(&seq.to_le_bytes());
}

pub(crate) fn push_group(records: &mut Records, group: &StoredGroup) {
    records.push(kind::GROUP, |bytes| {
        bytes.extend_from_slice(&group.id.to_le_bytes());
        bytes.extend_from_slice(&group.floor.to_le_bytes());
        bytes.extend_from_slice(&group.seen_ms.to_le_bytes());
        [&group.broker, &group.topic, &group.name].into_iter().for_each(|name| text(bytes, name));
        count(bytes, group.done.len());
        group.done.iter().for_each(|seq| bytes.extend_from_slice(&seq.to_le_bytes()));
    });
}

pub(crate) fn done(group: u32, seq: u64) -> Records {
    let mut payload = group.to_le_bytes().to_vec();
    payload.extend_from_slice(&seq.to_le_bytes());
    Records::of(kind::DONE, &payload)
}

pub(crate) fn forgotten(group: u32) -> Records {
    Records::of(kind::FORGOTTEN, &group.to_le_bytes())
}

/// Reads a message; `None` where it is none.
pub(crate) fn message(payload: &[u8]) -> Option<Stored> {
    let mut rest = Rest(payload);
    let flags = rest.take(1)?[0];
    let (seq, published_ms, lane) = (rest.u64()?, rest.u64()?, rest.u32()?);
    let expires_at_ms = if flags & EXPIRES != 0 { Some(rest.u64()?) } else { None };
    let (broker, topic) = (rest.text()?, rest.text()?);
    let content_type = if flags & TYPED != 0 { Some(rest.text()?) } else { None };
    let mut metadata = BTreeMap::new();
    for _ in 0..rest.u32()? {
        metadata.insert(rest.text()?, rest.text()?);
    }
    let (mut blob, mut data) = (None, Bytes::new());
    if flags & BLOB != 0 {
        blob = Some(BlobRef { hash: rest.take(32)?.try_into().ok()?, bytes: rest.u64()? });
    } else {
        data = Bytes::copy_from_slice(rest.0);
    }
    let message = Message { topic, data, content_type, metadata };
    Some(Stored { seq, published_ms, expires_at_ms, lane, broker, message, blob })
}

/// Reads a group; `None` where it is none.
pub(crate) fn group(payload: &[u8]) -> Option<StoredGroup> {
    let mut rest = Rest(payload);
    let (id, floor, seen_ms) = (rest.u32()?, rest.u64()?, rest.u64()?);
    let (broker, topic, name) = (rest.text()?, rest.text()?, rest.text()?);
    let done = (0..rest.u32()?).map(|_| rest.u64()).collect::<Option<_>>()?;
    Some(StoredGroup { id, broker, topic, name, floor, seen_ms, done })
}

/// Reads which group is done with what.
pub(crate) fn is_done(payload: &[u8]) -> Option<(u32, u64)> {
    let mut rest = Rest(payload);
    Some((rest.u32()?, rest.u64()?))
}

/// Reads which group is no more.
pub(crate) fn is_forgotten(payload: &[u8]) -> Option<u32> {
    Rest(payload).u32()
}

fn count(bytes: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("what is counted is bounded far below this");
    bytes.extend_from_slice(&count.to_le_bytes());
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    count(bytes, text.len());
    bytes.extend_from_slice(text.as_bytes());
}

/// What is left to read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32_at(self.take(4)?, 0))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64_at(self.take(8)?, 0))
    }

    fn text(&mut self) -> Option<String> {
        let count = self.u32()? as usize;
        String::from_utf8(self.take(count)?.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(records: &Records) -> Vec<u8> {
        let length = u32_at(records.bytes(), 0) as usize;
        records.bytes()[HEADER_BYTES..HEADER_BYTES + length].to_vec()
    }

    #[test]
    fn messages_and_groups_read_back_and_cut_ones_do_not() {
        let mut stored = Stored {
            seq: 0,
            published_ms: 5,
            expires_at_ms: Some(9),
            lane: 7,
            broker: "b".to_owned(),
            message: Message {
                topic: "t".to_owned(),
                data: Bytes::from_static(b"data"),
                content_type: Some("text/plain".to_owned()),
                metadata: [("a".to_owned(), "1".to_owned())].into(),
            },
            blob: None,
        };
        let mut records = Records::default();
        push_message(&mut records, &stored);
        stamp(&mut records, 77);
        stored.seq = 77;
        assert_eq!(message(&payload(&records)), Some(stored.clone()));
        (stored.blob, stored.message.data) = (Some(BlobRef { hash: [3; 32], bytes: 9 }), Bytes::new());
        let mut records = Records::default();
        push_message(&mut records, &stored);
        let whole = payload(&records);
        assert_eq!(message(&whole), Some(stored));
        assert!((0..whole.len()).all(|cut| message(&whole[..cut]).is_none()));

        let names = ["b", "t", "g"].map(str::to_owned);
        let [broker, topic, name] = names;
        let kept = StoredGroup { id: 3, broker, topic, name, floor: 8, seen_ms: 1, done: vec![10, 12] };
        let mut records = Records::default();
        push_group(&mut records, &kept);
        let whole = payload(&records);
        assert_eq!(group(&whole), Some(kept));
        assert!((0..whole.len()).all(|cut| group(&whole[..cut]).is_none()));
        assert_eq!(is_done(&payload(&done(3, 9))), Some((3, 9)));
        assert_eq!(is_forgotten(&payload(&forgotten(3))), Some(3));
    }
}
