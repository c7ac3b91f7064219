//! What was changed lately and may not be in the view yet: the newest versions of those keys, in memory. Reads look
//! here first; preconditions are decided here, in the order of the log.
//!
//! A version is shown once the batch that carries it is durable. The view tells when it has one, and then it goes from
//! here. The memory is bounded by the writers, which wait for the view when there is too much.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::record::{Content, FullKey, Kept};

/// Memory of one entry beyond key and value, roughly.
const OVERHEAD_BYTES: usize = 160;
/// Versions dropped before others have a turn at the lock.
const PRUNED_AT_ONCE: usize = 256;

/// Versions that may be newer than the view's.
#[derive(Debug, Default)]
pub(crate) struct Recent(RwLock<Versions>);

/// One version of a key.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) number: u64,
    /// The batch of the log that carries it.
    pub(crate) batch: u64,
    /// What is under the key; `None` when it was deleted.
    pub(crate) kept: Option<Kept>,
}

/// The versions, locked.
#[derive(Debug, Default)]
pub(crate) struct Versions {
    /// The number given last.
    pub(crate) last: u64,
    entries: BTreeMap<FullKey, Vec<Version>>,
    /// In the order in which they were given, for the view to catch up with.
    order: VecDeque<(u64, FullKey)>,
    bytes: usize,
}

impl Recent {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Versions> {
        self.0.read()
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Versions> {
        self.0.write()
    }

    /// Drops versions up to `number`: the view has them.
    pub(crate) fn prune(&self, number: u64) {
        loop {
            let mut versions = self.0.write();
            for _ in 0..PRUNED_AT_ONCE {
                if !versions.prune_one(number) {
                    return;
                }
            }
        }
    }
}

impl Versions {
    /// The newest version of the key, durable or not.
    pub(crate) fn newest(&self, key: &[u8]) -> Option<&Version> {
        self.entries.get(key)?.last()
    }

    /// The newest version of the key in a batch up to `durable`.
    pub(crate) fn shown(&self, key: &[u8], durable: u64) -> Option<&Version> {
        shown(self.entries.get(key)?, durable)
    }

    /// Up to `max` keys that begin with `prefix`, from `from` on, with their newest version in a batch up to `durable`;
    /// and the last key that was looked at, if there are more.
    pub(crate) fn range(
        &self,
        from: Bound<&[u8]>,
        prefix: &[u8],
        durable: u64,
        max: usize,
    ) -> (Vec<(FullKey, Version)>, Option<FullKey>) {
        let entries = self.entries.range::<[u8], _>((from, Bound::Unbounded));
        let mut entries = entries.take_while(|(key, _)| key.starts_with(prefix));
        let (mut found, mut last) = (Vec::new(), None);
        for (key, versions) in entries.by_ref().take(max) {
            last = Some(key.clone());
            found.extend(shown(versions, durable).map(|version| (key.clone(), version.clone())));
        }
        let more = entries.next().is_some();
        (found, last.filter(|_| more))
    }

    /// Adds a version, the newest of all. Those that nobody can see any more go.
    pub(crate) fn push(&mut self, key: FullKey, version: Version, durable: u64) {
        self.bytes += weight(&key, &version);
        self.order.push_back((version.number, key.clone()));
        let versions = self.entries.entry(key.clone()).or_default();
        let shown_at = versions.iter().rposition(|known| known.batch <= durable).unwrap_or(0);
        let mut gone: Vec<Version> = versions.drain(..shown_at).collect();
        // Of one batch all become durable at once.
        gone.extend(versions.pop_if(|known| known.batch == version.batch));
        versions.push(version);
        self.bytes -= gone.iter().map(|version| weight(&key, version)).sum::<usize>();
    }

    /// What the versions weigh.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn prune_one(&mut self, number: u64) -> bool {
        if self.order.front().is_none_or(|(first, _)| *first > number) {
            return false;
        }
        let Some((_, key)) = self.order.pop_front() else { return false };
        let Some(versions) = self.entries.get_mut(&key) else { return true };
        let mut gone = 0;
        versions.retain(|version| {
            let stays = version.number > number;
            gone += if stays { 0 } else { weight(&key, version) };
            stays
        });
        if versions.is_empty() {
            self.entries.remove(&key);
        }
        self.bytes -= gone;
        true
    }
}

fn shown(versions: &[Version], durable: u64) -> Option<&Version> {
    versions.iter().rev().find(|version| version.batch <= durable)
}

fn weight(key: &FullKey, version: &Version) -> usize {
    let value = match version.kept.as_ref().map(|kept| &kept.content) {
        Some(Content::Inline(value)) => value.len(),
        Some(Content::Blob(_)) | None => 0,
    };
    OVERHEAD_BYTES + key.len() + value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: u64, batch: u64) -> Version {
        Version { number, batch, kept: None }
    }

    fn key(text: &str) -> FullKey {
        text.as_bytes().into()
    }

    #[test]
    fn a_version_is_shown_when_its_batch_is_durable_and_gone_when_the_view_has_it() {
        let recent = Recent::default();
        recent.write().push(key("k"), version(1, 1), 0);
        recent.write().push(key("k"), version(2, 2), 1);
        let shown = |durable| recent.read().shown(b"k", durable).map(|version| version.number);
        assert_eq!((shown(0), shown(1), shown(2)), (None, Some(1), Some(2)));
        assert_eq!(recent.read().newest(b"k").unwrap().number, 2);
        recent.prune(1);
        assert_eq!((shown(1), shown(2)), (None, Some(2)));
        recent.prune(2);
        assert!(recent.read().newest(b"k").is_none());
        assert_eq!(recent.read().bytes(), 0);
    }

    #[test]
    fn versions_that_nobody_can_see_are_not_kept() {
        let mut versions = Versions::default();
        for number in 1..=100 {
            versions.push(key("k"), version(number, number / 10), (number / 10).saturating_sub(2));
        }
        assert!(versions.entries[&b"k"[..]].len() <= 4, "{}", versions.entries[&b"k"[..]].len());
        assert_eq!(versions.newest(b"k").unwrap().number, 100);
    }

    #[test]
    fn a_range_says_where_to_go_on() {
        let mut versions = Versions::default();
        for (number, name) in (1..).zip(["a1", "a2", "a3", "b1"]) {
            versions.push(key(name), version(number, 1), 1);
        }
        let (found, more) = versions.range(Bound::Included(b"a"), b"a", 1, 2);
        assert_eq!((found.len(), more.as_deref()), (2, Some(&b"a2"[..])));
        let (found, more) = versions.range(Bound::Excluded(b"a2"), b"a", 1, 2);
        assert_eq!((found.len(), more), (1, None));
    }
}
