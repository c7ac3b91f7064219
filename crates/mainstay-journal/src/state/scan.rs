//! Listing keys: what was changed lately and what the view shows, merged in the order of the keys' bytes.

use std::collections::VecDeque;
use std::ops::Bound;

use mainstay_core::Result;
use mainstay_core::state::{Entry, Page};

use super::log::{Found, Read, StateLog};
use super::record::FullKey;
use super::unavailable;

/// Keys looked at in one go.
const CHUNK: usize = 256;
/// Bytes of values in one page; a page that would have more ends earlier.
const PAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A walk over the keys that begin with a prefix. It sees every change that was acknowledged before it began; of later
/// ones it sees some.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    log: &'a StateLog,
    prefix: &'a [u8],
    /// Bytes of the prefix that are the store's and not the key's.
    store_bytes: usize,
    after: Option<Vec<u8>>,
    found: VecDeque<(FullKey, Found)>,
    is_over: bool,
}

impl<'a> Scan<'a> {
    /// A walk from after the key `after` (with its store in front).
    pub(crate) fn new(
        log: &'a StateLog,
        prefix: &'a [u8],
        store_bytes: usize,
        after: Option<Vec<u8>>,
    ) -> Self {
        Self { log, prefix, store_bytes, after, found: VecDeque::new(), is_over: false }
    }

    /// The next entry that lives; keys without their store.
    pub(crate) async fn next(&mut self) -> Result<Option<(String, Entry)>> {
        loop {
            let Some((key, found)) = self.found.pop_front() else {
                if self.is_over {
                    return Ok(None);
                }
                self.look()?;
                continue;
            };
            let entry = match self.log.read(found, false).await? {
                Read::Entry(entry) => entry,
                Read::Moved => self.log.entry(&key).await?,
            };
            if let Some(entry) = entry {
                let name = String::from_utf8_lossy(&key[self.store_bytes..]).into_owned();
                return Ok(Some((name, entry)));
            }
        }
    }

    /// Looks at the next keys.
    fn look(&mut self) -> Result<()> {
        let from = match self.after.as_deref() {
            Some(after) if after >= self.prefix => Bound::Excluded(after),
            _ => Bound::Included(self.prefix),
        };
        let (recent, recent_until) = {
            let versions = self.log.recent.read();
            versions.range(from, self.prefix, self.log.engine.log.durable_batch(), CHUNK)
        };
        // After that: what is not there any more is in this snapshot.
        let shown = self.log.shown.snapshot();
        let rows = shown.and_then(|shown| shown.rows(from, self.prefix, recent_until.as_deref(), CHUNK));
        let rows = rows.map_err(|cause| unavailable(cause.refuse_read()))?;
        let rows_until = (rows.len() == CHUNK).then(|| rows.last().map(|(key, _)| key.clone())).flatten();
        let until = rows_until.or_else(|| recent_until.map(|key| key.to_vec()));
        let mut recent = recent.into_iter().peekable();
        for (key, row) in rows {
            while let Some((key, version)) = recent.next_if(|(other, _)| **other < *key) {
                self.found.push_back((key, Found::Recent(version)));
            }
            let newer = recent.next_if(|(other, _)| **other == *key);
            let found = match newer {
                Some((_, version)) if version.number > row.version => Found::Recent(version),
                _ => Found::Shown(row),
            };
            self.found.push_back((key.into(), found));
        }
        for (key, version) in recent {
            if until.as_ref().is_none_or(|until| *key <= **until) {
                self.found.push_back((key, Found::Recent(version)));
            }
        }
        self.is_over = until.is_none();
        self.after = until;
        Ok(())
    }
}

/// A page of a scan.
pub(crate) async fn page(mut scan: Scan<'_>, limit: usize) -> Result<Page> {
    let mut page = Page::default();
    let mut bytes = 0;
    while let Some((key, entry)) = scan.next().await? {
        bytes += entry.value.len();
        let is_full = page.entries.len() >= limit || (bytes > PAGE_BYTES_MAX && !page.entries.is_empty());
        if is_full {
            page.token = page.entries.last().map(|(key, _)| key.clone());
            break;
        }
        page.entries.push((key, entry));
    }
    Ok(page)
}
