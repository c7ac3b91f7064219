//! Runs: the newest record of each, filtered, ordered by creation, in pages.

use mainstay_core::journal::{After, RUN_PAGE_BYTES_MAX, Retention, RunFilter, SessionFilter};
use mainstay_core::message::{Message, Role};
use mainstay_core::run::{RunError, RunStatus};
use mainstay_core::{Ctx, codes};
use serde_json::json;

use super::{Journal, event, in_session, keep, listed, name, promises, record, run, run_id, seqs, text};

promises!(
    a_run_reads_back_as_appended,
    a_later_record_replaces_the_earlier_and_keeps_the_order,
    an_unknown_run_has_neither_record_nor_events,
    events_written_before_their_run_are_shown_with_it,
    runs_are_listed_newest_first_by_order_of_creation_whatever_the_clock_said,
    filters_select_by_agent_status_session_and_unfinished,
    pages_join_without_gap_or_repeat,
    pages_go_on_where_they_ended_whatever_is_forgotten,
    a_page_of_runs_ends_with_its_bytes,
    a_list_of_one_principal_is_all_of_its_own,
    a_limit_out_of_bounds_is_brought_within,
    a_page_after_an_unknown_run_is_refused,
);

async fn a_run_reads_back_as_appended(journal: Journal) {
    let mut full = in_session(run("r", RunStatus::Failed, 5), "s");
    full.background = true;
    full.input.context = json!({"z": [1, 2.5, null], "a": "ü"});
    full.input.max_tokens = Some(9);
    full.input.temperature = Some(0.1);
    full.input.metadata = json!({"k": "v"});
    full.messages = vec![Message::text(Role::Assistant, "yes"), Message::text(Role::Tool, "\0")];
    full.answer = Some("yes".to_owned());
    full.model = Some("m".to_owned());
    full.finish_reason = Some("stop".to_owned());
    full.error = Some(RunError::new(&codes::INTERNAL, "an internal fault"));
    full.usage.output = 3;
    full.steps = 2;
    keep(&journal, vec![record(full.clone())]).await;
    assert_eq!(journal.run(&Ctx::system(), &run_id("r")).await.expect("the run is read"), Some(full));
}

async fn a_later_record_replaces_the_earlier_and_keeps_the_order(journal: Journal) {
    for id in ["a", "b", "c"] {
        keep(&journal, vec![record(run(id, RunStatus::Queued, 1))]).await;
    }
    let mut later = in_session(run("a", RunStatus::Completed, 9), "s");
    later.agent = name("other");
    keep(&journal, vec![record(later.clone())]).await;
    assert_eq!(journal.run(&Ctx::system(), &run_id("a")).await.expect("the run is read"), Some(later));
    assert_eq!(listed(&journal, RunFilter { limit: 9, ..Default::default() }).await, ["c", "b", "a"]);
}

async fn an_unknown_run_has_neither_record_nor_events(journal: Journal) {
    assert_eq!(journal.run(&Ctx::system(), &run_id("nobody")).await.expect("the read succeeds"), None);
    assert!(seqs(&journal, "nobody", 0, 10).await.is_empty());
    keep(&journal, vec![event("nobody", text(1, "x"))]).await;
    assert!(seqs(&journal, "nobody", 0, 10).await.is_empty(), "events without a run were shown");
}

async fn events_written_before_their_run_are_shown_with_it(journal: Journal) {
    keep(&journal, vec![event("r", text(1, "x"))]).await;
    keep(&journal, vec![record(run("r", RunStatus::Running, 1)), event("r", text(2, "y"))]).await;
    assert_eq!(seqs(&journal, "r", 0, 10).await, [1, 2]);
}

async fn runs_are_listed_newest_first_by_order_of_creation_whatever_the_clock_said(journal: Journal) {
    for (id, at_ms) in [("b", 50), ("a", 40), ("d", 60), ("c", 10)] {
        keep(&journal, vec![record(in_session(run(id, RunStatus::Completed, at_ms), "s"))]).await;
    }
    assert_eq!(listed(&journal, RunFilter { limit: 9, ..Default::default() }).await, ["c", "d", "a", "b"]);
    let of_session = RunFilter { session: Some(super::session_id("s")), limit: 9, ..Default::default() };
    let newest = RunFilter { newest_first: true, ..of_session.clone() };
    assert_eq!(listed(&journal, of_session).await, ["b", "a", "d", "c"], "a session is listed oldest first");
    assert_eq!(listed(&journal, newest).await, ["c", "d", "a", "b"], "unless asked for newest first");
}

async fn filters_select_by_agent_status_session_and_unfinished(journal: Journal) {
    let mut other = run("other", RunStatus::Running, 1);
    other.agent = name("second");
    let runs = [
        run("queued", RunStatus::Queued, 1),
        in_session(run("running", RunStatus::Running, 1), "s"),
        in_session(run("done", RunStatus::Completed, 1), "s"),
        in_session(run("elsewhere", RunStatus::Failed, 1), "t"),
        other,
    ];
    keep(&journal, runs.into_iter().map(record).collect()).await;
    let any = || RunFilter { limit: 100, ..Default::default() };
    let in_s = || RunFilter { session: Some(super::session_id("s")), ..any() };
    let by_agent = RunFilter { agent: Some(name("second")), ..any() };
    let by_status = RunFilter { status: Some(RunStatus::Failed), ..any() };
    let unfinished = RunFilter { unfinished: true, ..any() };
    let both = RunFilter { unfinished: true, agent: Some(name("helper")), ..any() };
    let done_in_s = RunFilter { status: Some(RunStatus::Completed), ..in_s() };
    let waiting_in_s = RunFilter { unfinished: true, ..in_s() };
    let nobody = RunFilter { session: Some(super::session_id("u")), ..any() };
    for (filter, expect) in [
        (any(), vec!["other", "elsewhere", "done", "running", "queued"]),
        (by_agent, vec!["other"]),
        (by_status, vec!["elsewhere"]),
        (unfinished, vec!["other", "running", "queued"]),
        (both, vec!["running", "queued"]),
        (in_s(), vec!["running", "done"]),
        (done_in_s, vec!["done"]),
        (waiting_in_s, vec!["running"]),
        (nobody, vec![]),
    ] {
        assert_eq!(listed(&journal, filter.clone()).await, expect, "{filter:?}");
    }
    keep(&journal, vec![record(run("queued", RunStatus::Cancelled, 2))]).await;
    let unfinished = RunFilter { unfinished: true, ..any() };
    assert_eq!(
        listed(&journal, unfinished).await,
        ["other", "running"],
        "a finished run was listed as unfinished"
    );
}

async fn pages_join_without_gap_or_repeat(journal: Journal) {
    for n in 0..25 {
        let run = run(&format!("run-{n}"), RunStatus::Completed, 1);
        keep(&journal, vec![record(if n % 2 == 0 { in_session(run, "s") } else { run })]).await;
    }
    let of_session = || RunFilter { session: Some(super::session_id("s")), ..Default::default() };
    for list in [RunFilter::default(), of_session(), RunFilter { newest_first: true, ..of_session() }] {
        let whole = listed(&journal, RunFilter { limit: 100, ..list.clone() }).await;
        let mut by_run: Vec<String> = Vec::new();
        loop {
            let after = by_run.last().map(|id| After::Run(run_id(id)));
            let page = listed(&journal, RunFilter { after, limit: 4, ..list.clone() }).await;
            assert!(page.len() <= 4, "the page is larger than its limit");
            if page.is_empty() {
                break;
            }
            by_run.extend(page);
        }
        assert_eq!(by_run, whole);
        assert_eq!(joined(&journal, RunFilter { limit: 4, ..list }).await, whole);
    }
}

/// The ids of all runs that match, each page begun where the one before ended.
async fn joined(journal: &Journal, mut filter: RunFilter) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let page = journal.runs(&Ctx::system(), &filter).await.expect("the runs are listed");
        all.extend(page.runs.iter().map(|run| run.id.to_string()));
        let Some(next) = page.next else { return all };
        assert!(!page.runs.is_empty(), "a page before the last holds something");
        filter.after = Some(After::Page(next));
    }
}

async fn a_page_of_runs_ends_with_its_bytes(journal: Journal) {
    let bytes = usize::try_from(RUN_PAGE_BYTES_MAX).expect("a page fits into memory");
    // Two fit into a page; the third alone is more than one.
    for (n, share) in (1_u64..).zip([3, 3, 1, 3]) {
        let mut run = run(&format!("run-{n}"), RunStatus::Completed, 1);
        run.input.query = "q".repeat(bytes / share);
        keep(&journal, vec![record(in_session(run, "s"))]).await;
    }
    let list = RunFilter { session: Some(super::session_id("s")), limit: 9, ..Default::default() };
    let first = journal.runs(&Ctx::system(), &list).await.expect("the runs are listed");
    assert_eq!(first.runs.len(), 2);
    let content = 2 * (bytes / 3) as u64;
    assert!((content..content + 10_000).contains(&first.bytes), "{} bytes", first.bytes);
    assert_eq!(joined(&journal, list).await, ["run-1", "run-2", "run-3", "run-4"]);
}

async fn a_list_of_one_principal_is_all_of_its_own(journal: Journal) {
    for n in 0..9 {
        let mut run = in_session(run(&format!("run-{n}"), RunStatus::Completed, n), &format!("s-{n}"));
        run.principal = ["alice", "bob", "carol"][usize::try_from(n).expect("few") % 3].to_owned();
        keep(&journal, vec![record(run)]).await;
    }
    let bob = || Some("bob".to_owned());
    let list = RunFilter { principal: bob(), limit: 2, ..Default::default() };
    assert_eq!(listed(&journal, list.clone()).await, ["run-7", "run-4"], "a page is filled");
    assert_eq!(joined(&journal, list).await, ["run-7", "run-4", "run-1"]);
    let sessions = SessionFilter { principal: bob(), limit: 2, ..Default::default() };
    let page = journal.sessions(&Ctx::system(), &sessions).await.expect("the sessions are listed");
    let found: Vec<_> = page.iter().map(|s| (s.id.as_str(), s.principal.as_str())).collect();
    assert_eq!(found, [("s-7", "bob"), ("s-4", "bob")]);
    let nobody = RunFilter { principal: Some("dave".to_owned()), limit: 9, ..Default::default() };
    assert!(listed(&journal, nobody).await.is_empty());
}

async fn pages_go_on_where_they_ended_whatever_is_forgotten(journal: Journal) {
    for n in 0..6 {
        keep(&journal, vec![record(in_session(run(&format!("run-{n}"), RunStatus::Completed, n), "s"))])
            .await;
    }
    let of_session = RunFilter { session: Some(super::session_id("s")), limit: 2, ..Default::default() };
    let first = journal.runs(&Ctx::system(), &of_session).await.expect("the runs are listed");
    let keep = Retention { before_ms: 3, bytes_max: u64::MAX };
    assert_eq!(journal.purge(&Ctx::system(), keep).await.expect("the purge succeeds").runs, 3);
    let after = first.next.map(After::Page);
    assert!(after.is_some(), "the page was full");
    assert_eq!(joined(&journal, RunFilter { after, ..of_session }).await, ["run-3", "run-4", "run-5"]);
}

async fn a_limit_out_of_bounds_is_brought_within(journal: Journal) {
    let runs = (0..1_010).map(|n| record(run(&format!("run-{n}"), RunStatus::Completed, 1)));
    keep(&journal, runs.collect()).await;
    for (limit, expect) in [(0, 1), (1, 1), (1_000, 1_000), (usize::MAX, 1_000)] {
        let page = listed(&journal, RunFilter { limit, ..Default::default() }).await;
        assert_eq!(page.len(), expect, "limit {limit}");
    }
}

async fn a_page_after_an_unknown_run_is_refused(journal: Journal) {
    keep(&journal, vec![record(run("r", RunStatus::Completed, 1))]).await;
    let filter = RunFilter { after: Some(After::Run(run_id("nobody"))), limit: 5, ..Default::default() };
    let error =
        journal.runs(&Ctx::system(), &filter).await.expect_err("an unknown place has nothing after it");
    assert_eq!((error.code(), error.field()), (&codes::INVALID_FIELD, Some("after")));
}
