//! The suite over a store with a planted fault: a check that lets one pass is no check.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use libtest_mimic::Trial;
use mainstay_components::state;
use mainstay_core::state::{Capabilities, Change, Entry, Page, Precondition, Query, StateStore};
use mainstay_core::{Ctx, Error, Result, codes};
use mainstay_testkit::conformance::state::{self as suite, Need, Open, Rig};

use crate::memory;

/// A way to break the port.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    CutsLargeValues,
    DropsEmptyValues,
    TrimsText,
    FoldsCase,
    ReadsLate,
    KeepsItsEtag,
    IgnoresEtags,
    IgnoresAbsent,
    TakesAnyEtag,
    ChecksThenWrites,
    NeverEnds,
    KeepsTheFirstTime,
    ShufflesBatches,
    StopsAtAFailure,
    MakesHalf,
    TakesTooMany,
    ListsTooMuch,
    ScansWithoutOrder,
    ForgetsThePage,
    ScansUndeclared,
    QueriesUndeclared,
}

/// Each fault with one check that must catch it.
const FAULTS: &[(Fault, &str)] = &[
    (Fault::CutsLargeValues, "bytes_read_back_as_they_were_set"),
    (Fault::DropsEmptyValues, "an_empty_value_is_there"),
    (Fault::TrimsText, "json_reads_back_as_it_was_set"),
    (Fault::FoldsCase, "keys_of_odd_characters_are_keys_of_their_own"),
    (Fault::ReadsLate, "a_read_sees_every_acknowledged_change"),
    (Fault::KeepsItsEtag, "every_change_gives_another_etag"),
    (Fault::IgnoresEtags, "an_etag_holds_for_its_version_alone"),
    (Fault::IgnoresEtags, "an_etag_for_a_key_that_is_not_there_does_not_hold"),
    (Fault::IgnoresEtags, "concurrent_changes_by_etag_lose_nothing"),
    (Fault::IgnoresAbsent, "absent_holds_only_without_the_key"),
    (Fault::TakesAnyEtag, "an_etag_that_was_never_given_is_invalid"),
    (Fault::ChecksThenWrites, "of_concurrent_first_writes_exactly_one_is_made"),
    (Fault::NeverEnds, "an_entry_says_when_it_ends"),
    (Fault::KeepsTheFirstTime, "a_plain_set_makes_it_stay"),
    (Fault::ShufflesBatches, "several_keys_are_read_in_the_order_asked"),
    (Fault::StopsAtAFailure, "each_change_is_made_or_not_by_itself"),
    (Fault::MakesHalf, "a_change_that_cannot_be_made_undoes_those_around_it"),
    (Fault::TakesTooMany, "too_many_changes_are_refused_and_none_is_made"),
    (Fault::ListsTooMuch, "a_prefix_means_its_characters"),
    (Fault::ScansWithoutOrder, "keys_are_listed_in_the_order_of_their_bytes"),
    (Fault::ForgetsThePage, "pages_join_without_gap_or_repeat"),
    (Fault::ScansUndeclared, "scans_work_where_declared_and_nowhere_else"),
    (Fault::QueriesUndeclared, "queries_work_where_declared_and_nowhere_else"),
];

/// One test a fault.
pub(crate) fn trials() -> Vec<Trial> {
    let trial = |&(fault, caught_by): &(Fault, &'static str)| {
        Trial::test(format!("planted::{fault:?}::{caught_by}"), move || caught(fault, caught_by))
    };
    FAULTS.iter().map(trial).collect()
}

fn caught(fault: Fault, caught_by: &str) -> std::result::Result<(), libtest_mimic::Failed> {
    let check = suite::checks().find(|check| check.name == caught_by).ok_or("no such check")?;
    let def = state::find("state.in-memory").ok_or("no store to plant a fault in")?;
    let sound = memory::open(def);
    let broken: Open = Arc::new(move |need: Need| {
        let sound = Arc::clone(&sound);
        Box::pin(async move { Arc::new(BrokenRig { sound: sound(need).await, fault }) as Arc<dyn Rig> })
    });
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || suite::prove(check, broken))) {
        Err(_) => Ok(()),
        Ok(()) => Err(format!("`{caught_by}` let {fault:?} pass").into()),
    }
}

struct BrokenRig {
    sound: Arc<dyn Rig>,
    fault: Fault,
}

#[async_trait]
impl Rig for BrokenRig {
    fn store(&self) -> Arc<dyn StateStore> {
        Arc::new(Broken { inner: self.sound.store(), fault: self.fault, calls: AtomicU64::new(0) })
    }

    async fn again(&self) -> Option<Arc<dyn StateStore>> {
        None
    }

    async fn tick(&self) {
        self.sound.tick().await;
    }
}

/// The store in memory, with one fault.
struct Broken {
    inner: Arc<dyn StateStore>,
    fault: Fault,
    calls: AtomicU64,
}

impl Broken {
    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn entry(&self, mut entry: Entry) -> Option<Entry> {
        if self.has(Fault::CutsLargeValues) {
            entry.value = entry.value.slice(..entry.value.len().min(65_536));
        }
        if self.has(Fault::TrimsText)
            && let Ok(text) = std::str::from_utf8(&entry.value)
        {
            entry.value = Bytes::from(text.replace(' ', ""));
        }
        if self.has(Fault::KeepsItsEtag) {
            entry.etag = "1".to_owned();
        }
        if self.has(Fault::NeverEnds) {
            entry.expires_at_ms = None;
        }
        Some(entry).filter(|entry| !(self.has(Fault::DropsEmptyValues) && entry.value.is_empty()))
    }

    /// The change as the fault lets it through.
    async fn bent(&self, ctx: &Ctx, change: Change) -> Result<Change> {
        let is_etag = matches!(change.precondition(), Precondition::Etag(_));
        let is_absent = matches!(change.precondition(), Precondition::Absent);
        if self.has(Fault::TakesAnyEtag)
            && let Precondition::Etag(etag) = change.precondition()
            && etag.parse::<u64>().is_err()
        {
            return Err(Error::new(&codes::ETAG_MISMATCH, "another etag"));
        }
        if self.has(Fault::ChecksThenWrites) && is_absent {
            let present = self.inner.get(ctx, change.key()).await?.is_some();
            tokio::task::yield_now().await;
            if present {
                return Err(Error::new(&codes::ETAG_MISMATCH, "it is there"));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let unchecked = self.has(Fault::IgnoresEtags) && is_etag
            || (self.has(Fault::IgnoresAbsent) || self.has(Fault::ChecksThenWrites)) && is_absent;
        Ok(match change {
            Change::Set { key, value, format, precondition, ttl } => {
                let key = if self.has(Fault::FoldsCase) { key.to_lowercase() } else { key };
                let kept = self.inner.get(ctx, &key).await?.and_then(|entry| entry.expires_at_ms);
                let first =
                    kept.filter(|_| self.has(Fault::KeepsTheFirstTime)).map(|_| Duration::from_secs(1));
                let precondition = if unchecked { Precondition::None } else { precondition };
                Change::Set { key, value, format, precondition, ttl: first.or(ttl) }
            }
            Change::Delete { key, precondition } => {
                let precondition = if unchecked { Precondition::None } else { precondition };
                Change::Delete { key, precondition }
            }
        })
    }
}

#[async_trait]
impl StateStore for Broken {
    fn capabilities(&self) -> Capabilities {
        let sound = self.inner.capabilities();
        let scan = !self.has(Fault::ScansUndeclared);
        Capabilities { scan, scan_reserved: scan, query: false, ..sound }
    }

    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        self.inner.ready(ctx).await
    }

    async fn get(&self, ctx: &Ctx, key: &str) -> Result<Option<Entry>> {
        if self.has(Fault::ReadsLate) && self.calls.fetch_add(1, SeqCst) % 5 == 4 {
            return Ok(None);
        }
        let key = if self.has(Fault::FoldsCase) { key.to_lowercase() } else { key.to_owned() };
        Ok(self.inner.get(ctx, &key).await?.and_then(|entry| self.entry(entry)))
    }

    async fn apply(&self, ctx: &Ctx, change: Change) -> Result<()> {
        let change = self.bent(ctx, change).await?;
        self.inner.apply(ctx, change).await
    }

    async fn get_many(&self, ctx: &Ctx, keys: &[String]) -> Vec<Result<Option<Entry>>> {
        let mut found = self.inner.get_many(ctx, keys).await;
        if self.has(Fault::ShufflesBatches) {
            found.reverse();
        }
        found
    }

    async fn apply_each(&self, ctx: &Ctx, changes: Vec<Change>) -> Vec<Result<()>> {
        let mut done: Vec<Result<()>> = Vec::new();
        for change in changes {
            if self.has(Fault::StopsAtAFailure) && done.iter().any(Result::is_err) {
                done.push(Err(Error::new(&codes::ETAG_MISMATCH, "the one before failed")));
                continue;
            }
            done.push(self.apply(ctx, change).await);
        }
        done
    }

    async fn transact(&self, ctx: &Ctx, changes: Vec<Change>) -> Result<()> {
        if self.has(Fault::MakesHalf) {
            for change in changes {
                self.inner.apply(ctx, change).await?;
            }
            return Ok(());
        }
        let most = self.inner.capabilities().transaction_changes_max.unwrap_or_default();
        if self.has(Fault::TakesTooMany) && changes.len() > most {
            return Ok(());
        }
        self.inner.transact(ctx, changes).await
    }

    async fn scan(&self, ctx: &Ctx, prefix: &str, token: Option<&str>, limit: usize) -> Result<Page> {
        let prefix = if self.has(Fault::ListsTooMuch) { prefix.trim_end_matches(['%', '_']) } else { prefix };
        let token = token.filter(|_| !self.has(Fault::ForgetsThePage));
        let mut page = self.inner.scan(ctx, prefix, token, limit).await?;
        if self.has(Fault::ScansWithoutOrder) {
            page.entries.reverse();
        }
        if self.has(Fault::ForgetsThePage) {
            page.token = None;
        }
        Ok(page)
    }

    async fn query(&self, ctx: &Ctx, query: Query) -> Result<Page> {
        if self.has(Fault::QueriesUndeclared) {
            return Ok(Page::default());
        }
        self.inner.query(ctx, query).await
    }
}
