//! The journal suite over the fake, and over fakes with planted faults: a suite that lets one pass is no suite.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use async_trait::async_trait;
use libtest_mimic::{Arguments, Trial};
use mainstay_core::journal::{
    After, EventPage, Purged, Retention, RunFilter, RunJournal, RunPage, RunRecord, SessionFilter,
};
use mainstay_core::run::{Run, Session};
use mainstay_core::{Ctx, Result, RunId, SessionId};
use mainstay_testkit::conformance::journal;
use mainstay_testkit::memory_journal::MemoryJournal;

fn main() {
    // Planted faults panic by design; a failed trial still shows its message.
    std::panic::set_hook(Box::new(|_| ()));
    let arguments = Arguments::from_args();
    let mut trials =
        journal::trials("memory", || (Arc::new(MemoryJournal::new()), Box::new(()) as Box<dyn Any + Send>));
    trials.extend(FAULTS.iter().map(|(fault, caught_by)| {
        Trial::test(format!("planted::{fault:?}"), move || caught(*fault, caught_by))
    }));
    libtest_mimic::run(&arguments, trials).exit();
}

/// A way to break the port.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    TornAppend,
    LostTenthAppend,
    StaleEvents,
    EventsFromZero,
    UnboundedEvents,
    ForgetsUnfinished,
    PurgeForgetsNothing,
    OldestFirst,
    FilterIgnoresStatus,
    SessionOutlivesDeletion,
    RunsOutliveDeletion,
    TruncatedText,
    ShuffledPage,
    TooDeepIsDropped,
    PagesNeverEnd,
    PagesIgnoreBytes,
    FilterIgnoresPrincipal,
}

/// Each fault with one check that must catch it.
const FAULTS: &[(Fault, &str)] = &[
    (Fault::TornAppend, "records_of_an_append_take_effect_in_order"),
    (Fault::LostTenthAppend, "concurrent_appends_are_all_kept"),
    (Fault::StaleEvents, "reads_see_every_acknowledged_append"),
    (Fault::EventsFromZero, "events_come_ascending_after_a_number_up_to_a_limit"),
    (Fault::UnboundedEvents, "events_come_ascending_after_a_number_up_to_a_limit"),
    (Fault::ForgetsUnfinished, "unfinished_runs_are_always_kept"),
    (Fault::PurgeForgetsNothing, "finished_runs_older_than_the_bound_are_forgotten_with_their_events"),
    (Fault::OldestFirst, "runs_are_listed_newest_first_by_order_of_creation_whatever_the_clock_said"),
    (Fault::FilterIgnoresStatus, "filters_select_by_agent_status_session_and_unfinished"),
    (Fault::SessionOutlivesDeletion, "a_deleted_session_is_forgotten_with_its_runs_and_events"),
    (Fault::RunsOutliveDeletion, "a_deleted_session_is_forgotten_with_its_runs_and_events"),
    (Fault::TruncatedText, "large_values_read_back_as_appended"),
    (Fault::ShuffledPage, "pages_join_without_gap_or_repeat"),
    (Fault::PagesNeverEnd, "events_come_ascending_after_a_number_up_to_a_limit"),
    (Fault::PagesIgnoreBytes, "a_page_of_events_ends_with_its_bytes"),
    (Fault::PagesIgnoreBytes, "a_page_of_runs_ends_with_its_bytes"),
    (Fault::FilterIgnoresPrincipal, "a_list_of_one_principal_is_all_of_its_own"),
    (Fault::TooDeepIsDropped, "values_nest_up_to_their_bound_and_an_append_beyond_it_keeps_nothing"),
];

fn caught(fault: Fault, caught_by: &str) -> std::result::Result<(), libtest_mimic::Failed> {
    let check = journal::checks().find(|check| check.name == caught_by).ok_or("no such check")?;
    let broken = Broken { inner: MemoryJournal::new(), fault, appends: AtomicU64::new(0) };
    let outcome = std::panic::catch_unwind(move || journal::prove(check, (Arc::new(broken), Box::new(()))));
    match outcome {
        Err(_) => Ok(()),
        Ok(()) => Err(format!("`{caught_by}` let {fault:?} pass").into()),
    }
}

/// The fake with one fault.
struct Broken {
    inner: MemoryJournal,
    fault: Fault,
    appends: AtomicU64,
}

impl Broken {
    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }
}

#[async_trait]
impl RunJournal for Broken {
    async fn append(&self, ctx: &Ctx, mut records: Vec<RunRecord>) -> Result<()> {
        if self.appends.fetch_add(1, SeqCst) % 10 == 9 && self.has(Fault::LostTenthAppend) {
            return Ok(());
        }
        if self.has(Fault::TornAppend) {
            records.truncate(1);
        }
        if self.has(Fault::TooDeepIsDropped) {
            records.retain(|record| record.check().is_ok());
        }
        if self.has(Fault::RunsOutliveDeletion) {
            records.retain(|record| !matches!(record, RunRecord::SessionDeleted { .. }));
        }
        if self.has(Fault::TruncatedText) {
            records.retain(|record| serde_json::to_vec(record).is_ok_and(|json| json.len() < 100_000));
        }
        self.inner.append(ctx, records).await
    }

    async fn run(&self, ctx: &Ctx, id: &RunId) -> Result<Option<Run>> {
        self.inner.run(ctx, id).await
    }

    async fn events(&self, ctx: &Ctx, id: &RunId, after: u64, limit: usize) -> Result<EventPage> {
        let after = if self.has(Fault::EventsFromZero) { 0 } else { after };
        let limit = if self.has(Fault::UnboundedEvents) { usize::MAX } else { limit };
        let mut page = self.inner.events(ctx, id, after, limit).await?;
        if self.has(Fault::StaleEvents) {
            page.events.pop();
        }
        if self.has(Fault::PagesNeverEnd) {
            page.more = true;
        }
        while self.has(Fault::PagesIgnoreBytes) && page.more && page.events.len() < limit {
            let last = page.events.last().map_or(after, |event| event.seq);
            let rest = self.inner.events(ctx, id, last, limit).await?;
            page.events.extend(rest.events);
            page.more = rest.more;
        }
        Ok(page)
    }

    async fn runs(&self, ctx: &Ctx, filter: &RunFilter) -> Result<RunPage> {
        let mut filter = filter.clone();
        if self.has(Fault::FilterIgnoresStatus) {
            filter.status = None;
        }
        if self.has(Fault::FilterIgnoresPrincipal) {
            filter.principal = None;
        }
        if self.has(Fault::ShuffledPage) && filter.after.is_some() {
            let mut page = self.inner.runs(ctx, &filter).await?;
            page.runs.reverse();
            return Ok(page);
        }
        let mut page = self.inner.runs(ctx, &filter).await?;
        while let Some(next) = page.next.filter(|_| self.has(Fault::PagesIgnoreBytes)) {
            filter.after = Some(After::Page(next));
            let rest = self.inner.runs(ctx, &filter).await?;
            page.runs.extend(rest.runs);
            page.next = rest.next;
        }
        if self.has(Fault::OldestFirst) {
            page.runs.reverse();
        }
        Ok(page)
    }

    async fn sessions(&self, ctx: &Ctx, filter: &SessionFilter) -> Result<Vec<Session>> {
        self.inner.sessions(ctx, filter).await
    }

    async fn session(&self, ctx: &Ctx, id: &SessionId) -> Result<Option<Session>> {
        let found = self.inner.session(ctx, id).await?;
        if self.has(Fault::SessionOutlivesDeletion) && self.appends.load(SeqCst) > 0 && found.is_none() {
            let agent = mainstay_core::Name::parse("ghost").expect("a name");
            let (id, principal) = (id.clone(), String::new());
            return Ok(Some(Session { id, agent, principal, created_ms: 0, updated_ms: 0, runs: 0 }));
        }
        Ok(found)
    }

    async fn purge(&self, ctx: &Ctx, keep: Retention) -> Result<Purged> {
        if self.has(Fault::PurgeForgetsNothing) {
            return Ok(Purged::default());
        }
        if self.has(Fault::ForgetsUnfinished) {
            let all = self.inner.runs(ctx, &RunFilter { limit: 1_000, ..RunFilter::default() }).await?;
            let finished = all.runs.into_iter().map(|mut run| {
                run.status = mainstay_core::run::RunStatus::Failed;
                RunRecord::Run(Box::new(run))
            });
            self.inner.append(ctx, finished.collect()).await?;
        }
        self.inner.purge(ctx, keep).await
    }

    async fn probe(&self, ctx: &Ctx) -> Result<()> {
        self.inner.probe(ctx).await
    }
}
