//! A folder as a former version wrote it (its log and its blobs, in `former/`): all of it reads, is taken up, and is
//! whole again when the view is built from the log alone.
//!
//! Its records' facts do not say whose a run is; one blob that a superseded record names is gone by right; and one run,
//! still at work, was asked with a context of 126 nested arrays, which that version could write but not read.

use std::path::Path;

use libtest_mimic::Trial;
use mainstay_core::journal::{RunFilter, RunJournal};
use mainstay_core::run::{Run, RunStatus};
use mainstay_core::{Ctx, Name};
use mainstay_journal::Journal;
use serde_json::{Value, json};

use super::fixture::{
    append, copy, event, events_of, files, folder, in_session, open, record, run, run_id, trial, wait,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_former_versions_folder_reads_as_it_was_written", reads),
        trial("a_former_versions_runs_are_taken_up_and_cleaned_like_ours", taken_up),
        trial("a_run_that_cannot_be_read_is_listed_as_what_is_known_and_hides_no_other", marked),
    ]
}

fn former() -> tempfile::TempDir {
    let folder = folder();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/survival/former"), folder.path());
    folder
}

/// What the former version was told.
fn written() -> [Run; 4] {
    let of = |whose: &str, id, status, at_ms| Run { principal: whose.to_owned(), ..run(id, status, at_ms) };
    let mut inline = in_session(of("alice", "inline", RunStatus::Completed, 10), "talk");
    inline.answer = Some("yes".to_owned());
    let mut large = in_session(of("alice", "large", RunStatus::Completed, 20), "talk");
    large.input.query = "large question ".repeat(200);
    let mut deep = of("alice", "deep", RunStatus::Running, 30);
    deep.input.context = (0..126).fold(Value::Null, |inner, _| json!([inner]));
    let mut changed = of("bob", "blob-gone", RunStatus::Completed, 40);
    changed.input.query = "short".to_owned();
    [changed, deep, large, inline]
}

fn listed(journal: &Journal) -> mainstay_core::journal::RunPage {
    wait(journal.runs(&Ctx::system(), &RunFilter { limit: 9, ..RunFilter::default() })).unwrap()
}

fn reads() {
    let folder = former();
    let journal = open(folder.path());
    let page = listed(&journal);
    assert_eq!((page.runs.as_slice(), page.unreadable.len()), (written().as_slice(), 0));
    let delta = |run, n: usize| {
        let events = wait(events_of(&journal, &run_id(run))).unwrap();
        assert_eq!(events.len(), n, "{run}");
        events.into_iter().map(|event| format!("{:?}", event.kind)).collect::<String>()
    };
    assert!(delta("inline", 1).contains("yes") && delta("deep", 1).contains("piece"));
    assert!(delta("large", 1).contains(&"large piece ".repeat(250)));
    delta("blob-gone", 0);
}

fn taken_up() {
    let folder = former();
    let journal = open(folder.path());
    let mut expect = written();
    (expect[1].status, expect[1].updated_ms) = (RunStatus::Interrupted, 50);
    // As a recovery does; then enough to have the former version's segment dropped.
    wait(append(&journal, vec![record(expect[1].clone()), event("deep", 2, "end".to_owned())])).unwrap();
    for n in 0..200 {
        let id = format!("dead-{n}");
        let pieces = (1..=4).map(|seq| event(&id, seq, "x".repeat(500)));
        let dead = std::iter::once(record(run(&id, RunStatus::Completed, 5))).chain(pieces);
        wait(append(&journal, dead.collect())).unwrap();
    }
    let keep = mainstay_core::journal::Retention { before_ms: 6, bytes_max: u64::MAX };
    assert_eq!(wait(journal.purge(&Ctx::system(), keep)).unwrap().runs, 200);
    assert!(!folder.path().join("log/0000000001.seg").exists(), "the former version's segment is gone");
    assert_eq!(listed(&journal).runs, expect);
    journal.close();
    std::fs::remove_file(folder.path().join("view.redb")).unwrap();
    let rebuilt = open(folder.path());
    assert!(rebuilt.stats().view_rebuilt);
    assert_eq!(listed(&rebuilt).runs, expect);
}

fn marked() {
    let folder = former();
    let journal = open(folder.path());
    let blobs = files(&folder.path().join("blobs"));
    let (of_run, _) =
        blobs.iter().find(|(path, _)| std::fs::read(path).unwrap().starts_with(b"{\"id\"")).unwrap();
    std::fs::write(of_run, "damaged").unwrap();
    let check = |page: mainstay_core::journal::RunPage| {
        assert_eq!(page.unreadable, [run_id("large")]);
        let [changed, deep, large, inline] = written();
        let [.., marked, _] = page.runs.as_slice() else { panic!("{page:?}") };
        let known = (&marked.agent, &marked.session, &marked.principal, marked.status, marked.updated_ms);
        let helper = Name::parse("helper").unwrap();
        assert_eq!(known, (&helper, &large.session, &"alice".to_owned(), RunStatus::Completed, 20));
        assert_eq!(marked.error.as_ref().map(|error| error.code.as_str()), Some("JOURNAL_CORRUPT"));
        assert_eq!(marked.input.query, "");
        assert_eq!(page.readable().collect::<Vec<_>>(), [changed, deep, inline]);
    };
    check(listed(&journal));
    let refused = wait(journal.run(&Ctx::system(), &run_id("large"))).unwrap_err();
    assert_eq!(refused.code().id, "JOURNAL_CORRUPT");
    let of_bob = RunFilter { principal: Some("bob".to_owned()), limit: 9, ..RunFilter::default() };
    let page = wait(journal.runs(&Ctx::system(), &of_bob)).unwrap();
    assert_eq!((page.runs.as_slice(), page.unreadable.len()), (&written()[..1], 0), "nothing else is read");
    std::fs::remove_file(of_run).unwrap();
    check(listed(&journal));
}
