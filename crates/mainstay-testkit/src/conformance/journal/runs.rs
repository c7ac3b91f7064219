//! Runs: the newest record of each, filtered, ordered by creation, in pages.

use mainstay_core::journal::RunFilter;
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
    full.error = Some(RunError { code: "INTERNAL".to_owned(), message: "an internal fault".to_owned() });
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
    assert_eq!(listed(&journal, of_session).await, ["b", "a", "d", "c"], "a session is listed oldest first");
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
    for session in [None, Some(super::session_id("s"))] {
        let whole = RunFilter { session: session.clone(), limit: 100, ..Default::default() };
        let expect = listed(&journal, whole).await;
        let mut joined: Vec<String> = Vec::new();
        loop {
            let after = joined.last().map(|id| run_id(id));
            let filter = RunFilter { session: session.clone(), after, limit: 4, ..Default::default() };
            let page = listed(&journal, filter).await;
            if page.is_empty() {
                break;
            }
            assert!(page.len() <= 4, "the page is larger than its limit");
            joined.extend(page);
        }
        assert_eq!(joined, expect);
    }
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
    let filter = RunFilter { after: Some(run_id("nobody")), limit: 5, ..Default::default() };
    let error =
        journal.runs(&Ctx::system(), &filter).await.expect_err("an unknown place has nothing after it");
    assert_eq!((error.code(), error.field()), (&codes::INVALID_FIELD, Some("after")));
}
