//! kill -9 at random points, under the load of 32 writers and a purge that never rests. The child says through a pipe
//! what was acknowledged; afterwards all of that must be there, in order, with no append torn.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use mainstay_core::Ctx;
use mainstay_core::journal::{Retention, RunFilter, RunJournal};
use mainstay_core::run::{RunEvent, RunEventKind, RunStatus};
use mainstay_journal::Journal;

use super::fixture::{Dice, append, event, events_of, number, open, record, run, run_id, trial, wait};

/// Set in the child: where it works.
pub(crate) const CHILD_FOLDER: &str = "MAINSTAY_JOURNAL_CHILD_FOLDER";
const CHILD_ROUND: &str = "MAINSTAY_JOURNAL_CHILD_ROUND";

const WRITERS: u64 = 32;
const EVENTS_PER_APPEND: u64 = 3;
/// Rounds older than this are purged by the child.
const ROUNDS_KEPT: u64 = 2;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("a_kill_at_any_point_loses_nothing_acknowledged", kills)]
}

fn kills() {
    let folder = tempfile::tempdir().unwrap();
    let points = number("MAINSTAY_KILL_POINTS", 25);
    let mut acknowledged: BTreeMap<u64, BTreeMap<String, u64>> = BTreeMap::new();
    let (mut appends, mut torn) = (0, 0);
    for round in 1..=points {
        let told = kill_one(folder.path(), round);
        appends += told.values().sum::<u64>();
        acknowledged.insert(round, told);
        acknowledged.retain(|known, _| known + ROUNDS_KEPT > round);
        let opened = Instant::now();
        let journal = open(folder.path());
        assert!(opened.elapsed() < Duration::from_secs(20), "recovery takes its time");
        torn += u64::from(journal.stats().torn_bytes > 0);
        for told in acknowledged.values() {
            wait(check(&journal, told));
        }
        finish_all(&journal, round);
        journal.close();
    }
    println!("kill: {points} kills, {appends} appends acknowledged, 0 lost; {torn} torn ends cut off");
    assert!(appends > points * 10, "the writers were at work");
}

/// Starts a child, kills it at a random moment, and gives the appends it acknowledged for each run.
fn kill_one(folder: &Path, round: u64) -> BTreeMap<String, u64> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(CHILD_FOLDER, folder).env(CHILD_ROUND, round.to_string()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut dice = Dice::new(round);
    let (lines_min, delay_ms) = (dice.below(400), dice.below(40));
    let mut told = BTreeMap::new();
    let mut note = |line: &str| {
        // A line that the kill cut lacks its full stop.
        let Some((run, appends)) = line.strip_suffix('.').and_then(|line| line.split_once(' ')) else {
            return;
        };
        told.insert(run.to_owned(), appends.parse().expect("a number of the child's"));
    };
    for _ in 0..=lines_min {
        note(&lines.next().expect("the child lives until it is killed").unwrap());
    }
    std::thread::sleep(Duration::from_millis(delay_ms));
    child.kill().unwrap();
    child.wait().unwrap();
    // What was acknowledged before the kill may still be in the pipe.
    lines.map_while(Result::ok).for_each(|line| note(&line));
    told
}

async fn check(journal: &Journal, told: &BTreeMap<String, u64>) {
    let ctx = Ctx::system();
    for (id, appends) in told {
        let run = journal.run(&ctx, &run_id(id)).await.unwrap().unwrap_or_else(|| panic!("{id} is lost"));
        let events = events_of(journal, &run.id).await.unwrap();
        let kept = u64::from(run.steps);
        assert!(kept >= *appends, "{id}: {appends} appends were acknowledged, {kept} are kept");
        assert_eq!(events.len() as u64, kept * EVENTS_PER_APPEND, "{id}: an append is torn");
        for (seq, event) in (1_u64..).zip(&events) {
            assert_eq!(event.seq, seq, "{id}: the order is broken");
            let RunEvent { kind: RunEventKind::Text { delta }, .. } = event else { panic!("{event:?}") };
            assert_eq!(*delta, content(id, seq), "{id}: the content is another");
        }
    }
}

/// Ends the round's runs, so that a later purge may forget them.
fn finish_all(journal: &Arc<Journal>, round: u64) {
    wait(async {
        let filter = RunFilter { unfinished: true, limit: 1_000, ..RunFilter::default() };
        let left = journal.runs(&Ctx::system(), &filter).await.unwrap();
        let ended = left.runs.into_iter().map(|mut run| {
            (run.status, run.updated_ms) = (RunStatus::Interrupted, round);
            record(run)
        });
        append(journal, ended.collect()).await.unwrap();
    });
}

/// One event in fifty is a blob.
fn content(id: &str, seq: u64) -> String {
    let repeats = if seq.is_multiple_of(50) { 400 } else { 1 + seq % 20 };
    format!("{id} says {seq} ").repeat(repeats as usize)
}

/// The child: writes until it is killed.
pub(crate) fn child(folder: &Path) {
    let round = number(CHILD_ROUND, 0);
    let journal = open(folder);
    wait(async {
        let writers = (0..WRITERS)
            .map(|writer| tokio::spawn(write(journal.clone(), format!("r{round}-w{writer}"), round)));
        let writers: Vec<_> = writers.collect();
        let keep = Retention { before_ms: (round + 1).saturating_sub(ROUNDS_KEPT), bytes_max: u64::MAX };
        loop {
            journal.purge(&Ctx::system(), keep).await.unwrap();
            tokio::time::sleep(Duration::from_millis(3)).await;
            assert!(writers.iter().all(|writer| !writer.is_finished()), "a writer stopped");
        }
    });
}

async fn write(journal: Arc<Journal>, id: String, round: u64) {
    for appended in 1_u64.. {
        let mut changed = run(&id, RunStatus::Running, round);
        changed.steps = u32::try_from(appended).unwrap();
        let first = (appended - 1) * EVENTS_PER_APPEND + 1;
        let events = (first..first + EVENTS_PER_APPEND).map(|seq| event(&id, seq, content(&id, seq)));
        append(&journal, std::iter::once(record(changed)).chain(events).collect()).await.unwrap();
        // One write to the pipe: whole or not at all.
        std::io::stdout().lock().write_all(format!("{id} {appended}.\n").as_bytes()).unwrap();
    }
}
