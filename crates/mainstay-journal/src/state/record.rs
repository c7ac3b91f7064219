//! What a record of the state log holds: one change. A transaction is a group of them, which the log keeps whole or not
//! at all. It does no I/O.
//!
//! ```text
//! │flags u8│ version u64 │ key bytes u32 │ key … │ [expires u64] │ value …, or blob: hash [32], bytes u64 │
//! ```
//! The key begins with the store's name, so that the stores of one log never meet: `│name bytes u8│ name │ key │`.

use std::sync::Arc;

use bytes::Bytes;

use crate::blob::BlobRef;
use crate::log::record::{Group, HEADER_BYTES, padded, u32_at, u64_at};

/// Kinds of the state log's records.
pub(crate) mod kind {
    /// A change.
    pub(crate) const CHANGE: u8 = 16;
    /// Versions up to the number in the payload (u64) have been given.
    pub(crate) const FLOOR: u8 = 17;
}

/// Something is under the key from now on; without it the key is deleted.
const SET: u8 = 1;
/// It is in a blob.
const BLOB: u8 = 2;
/// It has a time to live.
const EXPIRES: u8 = 4;
/// The record is a copy of one whose segment is to be dropped.
const COPY: u8 = 8;

/// A key with the name of its store in front.
pub(crate) type FullKey = Arc<[u8]>;

/// What is under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) content: Content,
    pub(crate) expires_at_ms: Option<u64>,
}

impl Kept {
    pub(crate) fn is_alive(&self, now_ms: u64) -> bool {
        self.expires_at_ms.is_none_or(|end| end > now_ms)
    }
}

/// A value, or where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Inline(Bytes),
    Blob(BlobRef),
}

/// A decoded record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change<'a> {
    pub(crate) version: u64,
    pub(crate) key: &'a [u8],
    /// What is under the key from now on: when it expires, and the blob or the place of the value in the payload.
    pub(crate) set: Option<Set>,
    pub(crate) is_copy: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) expires_at_ms: Option<u64>,
    pub(crate) blob: Option<BlobRef>,
    /// Where an inline value begins; it is the rest of the payload.
    pub(crate) value_at: usize,
}

/// The prefix of the keys of the store `name`, which has at most 255 bytes.
pub(crate) fn prefix(name: &str) -> Vec<u8> {
    let length = u8::try_from(name.len()).expect("the store's name was checked when it was opened");
    let mut prefix = vec![length];
    prefix.extend_from_slice(name.as_bytes());
    prefix
}

/// Adds a change to the group, its version to be stamped.
pub(crate) fn push(group: &mut Group, key: &[u8], kept: Option<&Kept>) {
    write(group, 0, 0, key, kept);
}

/// Adds a copy of what has been under the key since `version`.
pub(crate) fn push_copy(group: &mut Group, version: u64, key: &[u8], kept: &Kept) {
    write(group, COPY, version, key, Some(kept));
}

fn write(group: &mut Group, flags: u8, version: u64, key: &[u8], kept: Option<&Kept>) {
    group.push(kind::CHANGE, |bytes| {
        let flag = |is: bool, flag: u8| if is { flag } else { 0 };
        let is_blob = kept.is_some_and(|kept| matches!(kept.content, Content::Blob(_)));
        let expires = kept.and_then(|kept| kept.expires_at_ms);
        let flags =
            flags | flag(kept.is_some(), SET) | flag(is_blob, BLOB) | flag(expires.is_some(), EXPIRES);
        bytes.push(flags);
        bytes.extend_from_slice(&version.to_le_bytes());
        let length = u32::try_from(key.len()).expect("keys are bounded far below this");
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(key);
        expires.iter().for_each(|end| bytes.extend_from_slice(&end.to_le_bytes()));
        match kept.map(|kept| &kept.content) {
            Some(Content::Inline(value)) => bytes.extend_from_slice(value),
            Some(Content::Blob(blob)) => {
                bytes.extend_from_slice(&blob.hash);
                bytes.extend_from_slice(&blob.bytes.to_le_bytes());
            }
            None => {}
        }
    });
}

/// Numbers the changes of the group, from `first` on.
pub(crate) fn stamp(group: &mut Group, first: u64) {
    let bytes = group.bytes_mut();
    let (mut at, mut version) = (0, first);
    while at < bytes.len() {
        let end = at + HEADER_BYTES + u32_at(bytes, at) as usize;
        let stamped = at + HEADER_BYTES + 1;
        bytes[stamped..stamped + 8].copy_from_slice(&version.to_le_bytes());
        version += 1;
        at = padded(end);
    }
}

/// Reads a change; `None` where it is none.
pub(crate) fn decode(payload: &[u8]) -> Option<Change<'_>> {
    let flags = *payload.first()?;
    let key_bytes = payload.get(9..13)?;
    let key_end = 13_usize.checked_add(u32_at(key_bytes, 0) as usize)?;
    let key = payload.get(13..key_end)?;
    let version = u64_at(payload, 1);
    let is_copy = flags & COPY != 0;
    if flags & SET == 0 {
        return Some(Change { version, key, set: None, is_copy });
    }
    let mut at = key_end;
    let mut expires_at_ms = None;
    if flags & EXPIRES != 0 {
        expires_at_ms = Some(u64_at(payload.get(at..at + 8)?, 0));
        at += 8;
    }
    let mut blob = None;
    if flags & BLOB != 0 {
        let reference = payload.get(at..at + 40)?;
        blob = Some(BlobRef { hash: reference[..32].try_into().ok()?, bytes: u64_at(reference, 32) });
    }
    Some(Change { version, key, set: Some(Set { expires_at_ms, blob, value_at: at }), is_copy })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(group: &Group) -> Vec<u8> {
        let length = u32_at(group.bytes(), 0) as usize;
        group.bytes()[HEADER_BYTES..HEADER_BYTES + length].to_vec()
    }

    #[test]
    fn changes_read_back() {
        let inline = Content::Inline(Bytes::from_static(b"value"));
        let blob = BlobRef { hash: [7; 32], bytes: 99 };
        for (content, expires_at_ms) in [(inline, None), (Content::Blob(blob), Some(5))] {
            let kept = Kept { content: content.clone(), expires_at_ms };
            let mut group = Group::default();
            push(&mut group, b"\x01skey", Some(&kept));
            stamp(&mut group, 77);
            let bytes = payload(&group);
            let change = decode(&bytes).unwrap();
            assert_eq!((change.version, change.key, change.is_copy), (77, &b"\x01skey"[..], false));
            let set = change.set.unwrap();
            assert_eq!(set.expires_at_ms, expires_at_ms);
            match content {
                Content::Inline(value) => assert_eq!(&bytes[set.value_at..], &value[..]),
                Content::Blob(blob) => assert_eq!(set.blob, Some(blob)),
            }
        }
        let mut group = Group::default();
        push(&mut group, b"k", None);
        assert_eq!(decode(&payload(&group)).unwrap().set, None);
    }

    #[test]
    fn every_change_of_a_group_has_a_number_of_its_own() {
        let mut group = Group::default();
        (0..3).for_each(|_| push(&mut group, b"key", None));
        stamp(&mut group, 10);
        let mut at = 0;
        for version in 10..13 {
            let end = at + HEADER_BYTES + u32_at(group.bytes(), at) as usize;
            assert_eq!(decode(&group.bytes()[at + HEADER_BYTES..end]).unwrap().version, version);
            at = padded(end);
        }
    }

    #[test]
    fn a_cut_payload_is_no_change() {
        let mut group = Group::default();
        push(
            &mut group,
            b"key",
            Some(&Kept {
                content: Content::Blob(BlobRef { hash: [1; 32], bytes: 3 }),
                expires_at_ms: Some(1),
            }),
        );
        let whole = payload(&group);
        for cut in 0..whole.len() {
            assert!(decode(&whole[..cut]).is_none(), "cut at {cut}");
        }
    }
}
