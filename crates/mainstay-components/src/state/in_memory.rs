//! A state store in memory: gone when the process ends, which is what its name promises. For tests and for first steps.
//! Linearizable.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mainstay_core::state::{Capabilities, Change, Entry, Page, Precondition, StateStore};
use mainstay_core::{Clock, Ctx, Error, Result, codes};
use parking_lot::Mutex;

use crate::def::Def;

/// The type.
pub const DEF: Def<dyn StateStore> = Def {
    kind: "state.in-memory",
    aliases: &["state.inmemory"],
    versions: &["v1"],
    about: "A store in memory; it ends with the process.",
    settings: &[],
    check: |_| Vec::new(),
    open: |opening| {
        let store = InMemory { clock: Arc::clone(opening.clock), state: Mutex::default() };
        Box::pin(async move { Ok(Arc::new(store) as Arc<dyn StateStore>) })
    },
};

/// Changes made at once.
const TRANSACTION_CHANGES_MAX: usize = 10_000;
/// Changes between two looks for what has outlived its time.
const SWEEP_INTERVAL: u64 = 4_096;

struct InMemory {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<String, Kept>,
    /// Counts changes; the etags are its values.
    version: u64,
}

#[derive(Clone)]
struct Kept {
    value: Bytes,
    version: u64,
    expires_at_ms: Option<u64>,
}

impl Kept {
    fn entry(&self) -> Entry {
        Entry { value: self.value.clone(), etag: self.version.to_string(), expires_at_ms: self.expires_at_ms }
    }

    fn is_alive(&self, now_ms: u64) -> bool {
        self.expires_at_ms.is_none_or(|end| end > now_ms)
    }
}

impl State {
    fn alive(&self, key: &str, now_ms: u64) -> Option<&Kept> {
        self.entries.get(key).filter(|kept| kept.is_alive(now_ms))
    }

    fn check(&self, change: &Change, now_ms: u64) -> Result<()> {
        let present = self.alive(change.key(), now_ms);
        let holds = match change.precondition() {
            Precondition::None => true,
            Precondition::Absent => present.is_none(),
            Precondition::Etag(etag) => {
                let version: u64 = etag.parse().map_err(|_| {
                    Error::new(
                        &codes::ETAG_INVALID,
                        format!("change `{}`: its etag is no number", change.key()),
                    )
                })?;
                present.is_some_and(|kept| kept.version == version)
            }
        };
        if holds {
            return Ok(());
        }
        Err(Error::new(&codes::ETAG_MISMATCH, format!("change `{}`: it was changed meanwhile", change.key())))
    }

    fn make(&mut self, change: Change, now_ms: u64) {
        self.version += 1;
        match change {
            Change::Set { key, value, ttl, .. } => {
                let expires_at_ms = ttl.map(|ttl| now_ms.saturating_add(millis(ttl)));
                self.entries.insert(key, Kept { value, version: self.version, expires_at_ms });
            }
            Change::Delete { key, .. } => {
                self.entries.remove(&key);
            }
        }
        if self.version.is_multiple_of(SWEEP_INTERVAL) {
            self.entries.retain(|_, kept| kept.is_alive(now_ms));
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[async_trait]
impl StateStore for InMemory {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            transaction_changes_max: Some(TRANSACTION_CHANGES_MAX),
            scan: true,
            scan_reserved: true,
            query: false,
            durable: false,
        }
    }

    async fn ready(&self, _ctx: &Ctx) -> Result<()> {
        Ok(())
    }

    async fn get(&self, _ctx: &Ctx, key: &str) -> Result<Option<Entry>> {
        let now_ms = self.clock.now_ms();
        Ok(self.state.lock().alive(key, now_ms).map(Kept::entry))
    }

    async fn apply(&self, ctx: &Ctx, change: Change) -> Result<()> {
        self.transact(ctx, vec![change]).await
    }

    async fn transact(&self, _ctx: &Ctx, changes: Vec<Change>) -> Result<()> {
        if changes.len() > TRANSACTION_CHANGES_MAX {
            let message =
                format!("make {} changes at once: the store takes {TRANSACTION_CHANGES_MAX}", changes.len());
            return Err(Error::new(&codes::INVALID_FIELD, message));
        }
        let now_ms = self.clock.now_ms();
        let mut state = self.state.lock();
        let mut undo = Vec::with_capacity(changes.len());
        for change in changes {
            // A later change of the transaction sees the earlier ones, so each is checked in its turn.
            if let Err(error) = state.check(&change, now_ms) {
                while let Some((key, before)) = undo.pop() {
                    match before {
                        Some(kept) => state.entries.insert(key, kept),
                        None => state.entries.remove(&key),
                    };
                }
                return Err(error);
            }
            undo.push((change.key().to_owned(), state.entries.get(change.key()).cloned()));
            state.make(change, now_ms);
        }
        Ok(())
    }

    async fn scan(&self, _ctx: &Ctx, prefix: &str, token: Option<&str>, limit: usize) -> Result<Page> {
        let now_ms = self.clock.now_ms();
        let state = self.state.lock();
        let from = match token {
            Some(token) if token >= prefix => Bound::Excluded(token),
            _ => Bound::Included(prefix),
        };
        let found = state.entries.range::<str, _>((from, Bound::Unbounded));
        let mut alive =
            found.take_while(|(key, _)| key.starts_with(prefix)).filter(|(_, kept)| kept.is_alive(now_ms));
        let entries: Vec<_> =
            alive.by_ref().take(limit).map(|(key, kept)| (key.clone(), kept.entry())).collect();
        let more = alive.next().is_some();
        let token = more.then(|| entries.last().map(|(key, _)| key.clone())).flatten();
        Ok(Page { entries, token })
    }
}
