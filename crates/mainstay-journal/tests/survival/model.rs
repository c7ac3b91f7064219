//! Random histories, compared with the journal in memory after every few steps; with restarts, and with restarts from
//! the log alone, in between.

use std::path::Path;
use std::sync::Arc;

use libtest_mimic::Trial;
use mainstay_core::journal::{After, Retention, RunFilter, RunJournal, RunRecord, SessionFilter};
use mainstay_core::run::{Run, RunStatus};
use mainstay_core::{Ctx, Name, SessionId};
use mainstay_journal::Journal;
use mainstay_testkit::memory_journal::MemoryJournal;

use super::fixture::{Dice, event, folder, in_session, open, record, run, run_id, trial, wait};

const HISTORIES: u64 = 12;
const STEPS: u64 = 120;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("any_history_reads_like_the_model_also_after_restarts_and_from_the_log_alone", histories)]
}

fn histories() {
    let (mut rebuilt, mut cleaned) = (0, 0);
    for seed in 0..HISTORIES {
        let outcome = history(seed);
        (rebuilt, cleaned) = (rebuilt + outcome.0, cleaned + outcome.1);
    }
    assert!(rebuilt > 5 && cleaned > 5, "the histories rebuilt {rebuilt} times and cleaned {cleaned} times");
}

fn history(seed: u64) -> (u64, u64) {
    let folder = folder();
    let mut dice = Dice::new(seed);
    let model = MemoryJournal::new();
    let mut journal = open(folder.path());
    let (mut rebuilt, mut cleaned) = (0, 0);
    for step in 0..STEPS {
        match dice.below(12) {
            0 => {
                journal.close();
                drop(journal);
                if dice.below(2) == 0 {
                    std::fs::remove_file(folder.path().join("view.redb")).unwrap();
                    rebuilt += 1;
                }
                journal = reopen(folder.path(), seed, step);
            }
            1 => {
                let keep = Retention { before_ms: step.saturating_sub(dice.below(30)), bytes_max: u64::MAX };
                let segments = journal.stats().segments;
                let ours = wait(journal.purge(&Ctx::system(), keep)).unwrap();
                let theirs = wait(model.purge(&Ctx::system(), keep)).unwrap();
                assert_eq!(ours.runs, theirs.runs, "history {seed}, step {step}");
                cleaned += u64::from(journal.stats().segments < segments);
            }
            _ => {
                let group = group(&mut dice, step);
                wait(journal.append(&Ctx::system(), group.clone())).unwrap();
                wait(model.append(&Ctx::system(), group)).unwrap();
            }
        }
        if step % 10 == 0 {
            compare(&journal, &model, seed, step);
        }
    }
    compare(&journal, &model, seed, STEPS);
    (rebuilt, cleaned)
}

fn reopen(folder: &Path, seed: u64, step: u64) -> Arc<Journal> {
    let journal = open(folder);
    assert_eq!(journal.stats().torn_bytes, 0, "history {seed}, step {step}: a close leaves no torn end");
    journal
}

/// Some records, over few enough names that they meet.
fn group(dice: &mut Dice, step: u64) -> Vec<RunRecord> {
    let count = 1 + dice.below(6);
    (0..count).map(|_| one(dice, step)).collect()
}

fn one(dice: &mut Dice, step: u64) -> RunRecord {
    // New ids come with time; ids of forgotten runs are not used again, as in life.
    let id = format!("r{}", (step / 8) * 10 + dice.below(10));
    match dice.below(20) {
        0 => RunRecord::SessionDeleted { session: session(dice) },
        1..=7 => record(some_run(dice, &id, step)),
        _ => {
            let length = [3, 40, 200, 700][dice.below(4) as usize];
            event(&id, 1 + dice.below(6), format!("{id} at {step} ").repeat(length))
        }
    }
}

fn some_run(dice: &mut Dice, id: &str, step: u64) -> Run {
    let statuses = [RunStatus::Queued, RunStatus::Running, RunStatus::Completed, RunStatus::Failed];
    let status = statuses[dice.below(4) as usize];
    // The clock steps back now and then.
    let mut run = run(id, status, (step + 5).saturating_sub(dice.below(10)));
    run.principal = ["anonymous", "other"][id.len() % 2].to_owned();
    run.agent = Name::parse(["helper", "other"][dice.below(2) as usize]).unwrap();
    run.input.query = format!("{step} ").repeat(dice.below(300) as usize);
    if dice.below(3) > 0 { in_session(run, session(dice).as_str()) } else { run }
}

fn session(dice: &mut Dice) -> SessionId {
    SessionId::parse(&format!("s{}", dice.below(6))).unwrap()
}

fn compare(journal: &Journal, model: &MemoryJournal, seed: u64, step: u64) {
    let ctx = Ctx::system();
    let place = format!("history {seed}, step {step}");
    wait(async {
        for unfinished in [false, true] {
            let filter = RunFilter { unfinished, limit: 1_000, ..RunFilter::default() };
            compare_pages(journal, model, filter.clone(), &place).await;
            for run in model.runs(&ctx, &filter).await.unwrap().runs {
                let ours = journal.events(&ctx, &run.id, 0, 99).await.unwrap().events;
                let theirs = model.events(&ctx, &run.id, 0, 99).await.unwrap().events;
                assert!(ours == theirs, "{place}: events of {}: {} and {}", run.id, ours.len(), theirs.len());
            }
        }
        for principal in [None, Some("anonymous".to_owned()), Some("other".to_owned())] {
            let filter =
                SessionFilter { principal: principal.clone(), limit: 1_000, ..SessionFilter::default() };
            let sessions = model.sessions(&ctx, &filter).await.unwrap();
            assert_eq!(journal.sessions(&ctx, &filter).await.unwrap(), sessions, "{place}");
            for session in sessions {
                let session = Some(session.id);
                for newest_first in [false, true] {
                    let (session, principal) = (session.clone(), principal.clone());
                    let filter =
                        RunFilter { session, principal, newest_first, limit: 3, ..RunFilter::default() };
                    compare_pages(journal, model, filter, &place).await;
                }
            }
        }
        assert!(journal.run(&ctx, &run_id("nobody")).await.unwrap().is_none());
    });
}

/// Both give the same runs in the same pages; only what they weigh and how they count is each one's own.
async fn compare_pages(journal: &Journal, model: &MemoryJournal, filter: RunFilter, place: &str) {
    let ctx = Ctx::system();
    let (mut ours, mut theirs) = (filter.clone(), filter);
    loop {
        let page = journal.runs(&ctx, &ours).await.unwrap();
        let expect = model.runs(&ctx, &theirs).await.unwrap();
        assert_eq!((&page.runs, &page.unreadable), (&expect.runs, &expect.unreadable), "{place}: {ours:?}");
        assert_eq!(page.next.is_some(), expect.next.is_some(), "{place}: {ours:?}");
        (ours.after, theirs.after) = (page.next.map(After::Page), expect.next.map(After::Page));
        if ours.after.is_none() {
            return;
        }
    }
}
