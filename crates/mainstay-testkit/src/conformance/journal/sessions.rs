//! Sessions: derived from their runs, last used first, forgotten as a whole.

use mainstay_core::journal::{Retention, RunFilter, RunRecord, SessionFilter};
use mainstay_core::run::{RunStatus, Session};
use mainstay_core::{Ctx, codes};

use super::{
    Journal, event, in_session, keep, listed, name, promises, record, run, run_id, seqs, session_id, text,
};

promises!(
    a_session_is_what_its_runs_say,
    sessions_are_listed_last_used_first_in_pages,
    a_deleted_session_is_forgotten_with_its_runs_and_events,
    a_session_follows_its_runs_into_oblivion,
    a_page_after_an_unknown_session_is_refused,
);

async fn get(journal: &Journal, id: &str) -> Option<Session> {
    journal.session(&Ctx::system(), &session_id(id)).await.expect("the session is read")
}

async fn order(journal: &Journal) -> Vec<String> {
    page(journal, None, 100).await
}

async fn page(journal: &Journal, after: Option<&str>, limit: usize) -> Vec<String> {
    let filter = SessionFilter { after: after.map(session_id), limit, ..Default::default() };
    let sessions = journal.sessions(&Ctx::system(), &filter).await.expect("the sessions are listed");
    sessions.iter().map(|session| session.id.to_string()).collect()
}

async fn a_session_is_what_its_runs_say(journal: Journal) {
    assert_eq!(get(&journal, "s").await, None);
    let mut second = in_session(run("b", RunStatus::Queued, 20), "s");
    second.agent = name("other");
    keep(&journal, vec![record(in_session(run("a", RunStatus::Running, 10), "s")), record(second)]).await;
    let mut expect = Session {
        id: session_id("s"),
        agent: name("helper"),
        principal: "anonymous".to_owned(),
        created_ms: 10,
        updated_ms: 20,
        runs: 2,
    };
    assert_eq!(get(&journal, "s").await.as_ref(), Some(&expect));
    let mut done = in_session(run("a", RunStatus::Completed, 10), "s");
    done.updated_ms = 30;
    keep(&journal, vec![record(done)]).await;
    expect.updated_ms = 30;
    assert_eq!(
        get(&journal, "s").await,
        Some(expect),
        "a run that changes counts once and moves the session"
    );
}

async fn sessions_are_listed_last_used_first_in_pages(journal: Journal) {
    for (id, session, at_ms) in [("a", "x", 10), ("b", "y", 30), ("c", "z", 20), ("d", "w", 5)] {
        keep(&journal, vec![record(in_session(run(id, RunStatus::Completed, at_ms), session))]).await;
    }
    assert_eq!(order(&journal).await, ["y", "z", "x", "w"]);
    assert_eq!(page(&journal, Some("z"), 1).await, ["x"]);
    assert!(page(&journal, Some("w"), 9).await.is_empty());
    keep(&journal, vec![record(in_session(run("e", RunStatus::Queued, 40), "w"))]).await;
    assert_eq!(order(&journal).await, ["w", "y", "z", "x"], "a session in use moves to the front");
}

async fn a_deleted_session_is_forgotten_with_its_runs_and_events(journal: Journal) {
    for id in ["a", "b"] {
        let of_session = record(in_session(run(id, RunStatus::Completed, 1), "s"));
        keep(&journal, vec![of_session, event(id, text(1, "x"))]).await;
    }
    keep(
        &journal,
        vec![record(in_session(run("c", RunStatus::Completed, 1), "t")), event("c", text(1, "x"))],
    )
    .await;
    for _ in 0..2 {
        keep(&journal, vec![RunRecord::SessionDeleted { session: session_id("s") }]).await;
        assert_eq!(get(&journal, "s").await, None);
        assert_eq!(listed(&journal, RunFilter { limit: 9, ..Default::default() }).await, ["c"]);
        assert_eq!(journal.run(&Ctx::system(), &run_id("a")).await.expect("read"), None);
        assert!(seqs(&journal, "a", 0, 9).await.is_empty());
        assert_eq!(seqs(&journal, "c", 0, 9).await, [1]);
        assert_eq!(order(&journal).await, ["t"]);
    }
    keep(&journal, vec![record(in_session(run("d", RunStatus::Queued, 7), "s"))]).await;
    assert_eq!(
        get(&journal, "s").await.map(|s| (s.created_ms, s.runs)),
        Some((7, 1)),
        "the id is free again"
    );
}

async fn a_session_follows_its_runs_into_oblivion(journal: Journal) {
    for (id, at_ms) in [("a", 10), ("b", 20), ("c", 30)] {
        keep(&journal, vec![record(in_session(run(id, RunStatus::Completed, at_ms), "s"))]).await;
    }
    let purge = |before_ms| {
        let (journal, keep) = (journal.clone(), Retention { before_ms, bytes_max: u64::MAX });
        async move { journal.purge(&Ctx::system(), keep).await.expect("the purge succeeds").runs }
    };
    assert_eq!(purge(15).await, 1);
    let left = get(&journal, "s").await.map(|s| (s.created_ms, s.updated_ms, s.runs));
    assert_eq!(left, Some((20, 30, 2)));
    assert_eq!(purge(100).await, 2);
    assert_eq!(get(&journal, "s").await, None);
    assert!(order(&journal).await.is_empty());
}

async fn a_page_after_an_unknown_session_is_refused(journal: Journal) {
    let filter = SessionFilter { after: Some(session_id("nobody")), limit: 5, ..Default::default() };
    let error = journal.sessions(&Ctx::system(), &filter).await;
    let error = error.expect_err("an unknown place has nothing after it");
    assert_eq!((error.code(), error.field()), (&codes::INVALID_FIELD, Some("after")));
}
