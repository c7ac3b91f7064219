//! One named store of the state log, as the `StateStore` port.

use std::sync::Arc;

use async_trait::async_trait;
use mainstay_core::state::{Capabilities, Change, Entry, Page, Query, StateStore};
use mainstay_core::{Ctx, Error, Result, codes};
use serde_json::Value;

use super::log::{Draft, StateLog, full_key};
use super::scan::{self, Scan};
use super::{query, record, unavailable};
use crate::blob::Pins;
use crate::log::queue::Acknowledged;

/// Changes made at once.
pub(crate) const TRANSACTION_CHANGES_MAX: usize = 10_000;
/// Bytes of a key.
const KEY_BYTES_MAX: usize = 4 * 1024;
/// Entries of a page of a scan or a query.
const PAGE_MAX: usize = 1_000;
/// Entries that a query looks at.
const QUERY_ENTRIES_MAX: usize = 100_000;
/// Bytes of values that fit a query, all pages together.
const QUERY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A store.
#[derive(Debug)]
pub(crate) struct Store {
    log: Arc<StateLog>,
    prefix: Vec<u8>,
}

impl Store {
    pub(crate) fn new(log: Arc<StateLog>, name: &str) -> Self {
        Self { log, prefix: record::prefix(name) }
    }

    /// Decides the changes and hands them to the log; the answer comes with [`settle`].
    async fn begin(&self, changes: Vec<Change>) -> Begun {
        let begun = async {
            self.log.admit().await?;
            let (mut drafts, mut pins): (Vec<Draft>, Vec<Pins>) = (Vec::new(), Vec::new());
            for change in changes {
                check_key(change.key())?;
                let (draft, pin) = self.log.draft(&self.prefix, change).await?;
                drafts.push(draft);
                pins.extend(pin);
            }
            Ok((drafts, pins))
        };
        let (drafts, pins) = begun.await.map_err(|error| (error, None))?;
        self.log.submit(drafts, pins)
    }
}

type Begun = Result<Acknowledged, (Error, Option<Acknowledged>)>;

/// Waits until what was decided is durable. A refusal is told only when what it rests on is: no caller may learn of a
/// change that a crash can still undo.
async fn settle(begun: Begun) -> Result<()> {
    match begun {
        Ok(acknowledged) => acknowledged.await.map_err(unavailable),
        Err((error, None)) => Err(error),
        Err((error, Some(rests_on))) => {
            rests_on.await.map_err(unavailable)?;
            Err(error)
        }
    }
}

#[async_trait]
impl StateStore for Store {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            transaction_changes_max: Some(TRANSACTION_CHANGES_MAX),
            scan: true,
            scan_reserved: true,
            query: true,
            durable: true,
        }
    }

    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        within(ctx, self.log.probe()).await
    }

    async fn get(&self, ctx: &Ctx, key: &str) -> Result<Option<Entry>> {
        let key = full_key(&self.prefix, key);
        within(ctx, self.log.entry(&key)).await
    }

    async fn apply(&self, ctx: &Ctx, change: Change) -> Result<()> {
        within(ctx, async { settle(self.begin(vec![change]).await).await }).await
    }

    async fn apply_each(&self, ctx: &Ctx, changes: Vec<Change>) -> Vec<Result<()>> {
        let mut begun = Vec::with_capacity(changes.len());
        // All are on their way before the first is waited for: they share a sync.
        for change in changes {
            begun.push(within(ctx, async { Ok(self.begin(vec![change]).await) }).await);
        }
        let mut done = Vec::with_capacity(begun.len());
        for one in begun {
            done.push(match one {
                Ok(one) => within(ctx, settle(one)).await,
                Err(error) => Err(error),
            });
        }
        done
    }

    async fn transact(&self, ctx: &Ctx, changes: Vec<Change>) -> Result<()> {
        if changes.len() > TRANSACTION_CHANGES_MAX {
            let message =
                format!("make {} changes at once: the store takes {TRANSACTION_CHANGES_MAX}", changes.len());
            return Err(Error::new(&codes::INVALID_FIELD, message));
        }
        if changes.is_empty() {
            return Ok(());
        }
        within(ctx, async { settle(self.begin(changes).await).await }).await
    }

    async fn scan(&self, ctx: &Ctx, prefix: &str, token: Option<&str>, limit: usize) -> Result<Page> {
        let full = full_key(&self.prefix, prefix);
        let after = token.map(|token| full_key(&self.prefix, token).to_vec());
        let scan = Scan::new(&self.log, &full, self.prefix.len(), after);
        within(ctx, scan::page(scan, limit.clamp(1, PAGE_MAX))).await
    }

    async fn query(&self, ctx: &Ctx, query: Query) -> Result<Page> {
        within(ctx, self.search(query)).await
    }
}

impl Store {
    async fn search(&self, query: Query) -> Result<Page> {
        let from: usize = match &query.token {
            None => 0,
            Some(token) => token.parse().map_err(|_| {
                Error::new(&codes::INVALID_FIELD, "search: the token is not one of this store's")
                    .with_field("page.token")
            })?,
        };
        let full = full_key(&self.prefix, &query.prefix);
        let mut scan = Scan::new(&self.log, &full, self.prefix.len(), None);
        let (mut found, mut looked_at, mut bytes) = (Vec::new(), 0, 0);
        while let Some((key, entry)) = scan.next().await? {
            looked_at += 1;
            let value = serde_json::from_slice::<Value>(&entry.value).ok();
            let Some(value) =
                value.filter(|value| query.filter.as_ref().is_none_or(|f| query::fits(f, value)))
            else {
                continue;
            };
            bytes += entry.value.len();
            if looked_at > QUERY_ENTRIES_MAX || bytes > QUERY_BYTES_MAX {
                return Err(too_much());
            }
            found.push((query::sort_key(&query.sort, &value), key, entry));
        }
        found.sort_by(|(one, one_key, _), (other, other_key, _)| {
            query::compare(&query.sort, one, other).then_with(|| one_key.cmp(other_key))
        });
        let limit = query.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
        let more = found.len() > from.saturating_add(limit);
        let page = found.into_iter().skip(from).take(limit);
        let entries = page.map(|(_, key, entry)| (key, entry)).collect();
        Ok(Page { entries, token: more.then(|| from.saturating_add(limit).to_string()) })
    }
}

/// Bounds the work by the context's deadline. What was handed to the log takes its effect all the same.
async fn within<T>(ctx: &Ctx, work: impl Future<Output = Result<T>>) -> Result<T> {
    let Some(deadline) = ctx.deadline() else { return work.await };
    tokio::time::timeout_at(deadline.into(), work).await.unwrap_or_else(|_| {
        Err(Error::new(&codes::DEADLINE_EXCEEDED, "the state store did not answer in time"))
    })
}

fn check_key(key: &str) -> Result<()> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        let message = format!("change a key of {} bytes: it has 1 to {KEY_BYTES_MAX}", key.len());
        return Err(Error::new(&codes::INVALID_FIELD, message).with_field("key"));
    }
    Ok(())
}

fn too_much() -> Error {
    let message = format!(
        "search: more than {QUERY_ENTRIES_MAX} entries are looked at, or more than {QUERY_BYTES_MAX} bytes fit"
    );
    Error::new(&codes::INVALID_FIELD, message).with_help("search fewer keys, or say more of what must hold")
}
