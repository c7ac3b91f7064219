//! Disks that hang and disks that fail: who waits, who does not, and what is told.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::clock::ManualClock;
use mainstay_core::embedded::Embedded;
use mainstay_core::state::{Precondition, StateStore};
use mainstay_core::{Ctx, codes};
use parking_lot::{Condvar, Mutex};

use super::{set, set_if};
use crate::medium::Medium;
use crate::{EmbeddedOptions, Stores};

/// A disk whose syncs wait, or fail.
#[derive(Debug, Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_shut: bool,
    is_broken: bool,
    /// Syncs that wait.
    waiting: usize,
}

impl Gate {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.changed.notify_all();
    }

    /// Waits until a sync waits.
    async fn is_held(&self) {
        while self.state.lock().waiting == 0 {
            tokio::task::yield_now().await;
        }
    }
}

impl Medium for Gate {
    fn sync(&self, file: &File, _: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.waiting += 1;
        while state.is_shut {
            self.changed.wait(&mut state);
        }
        state.waiting -= 1;
        if state.is_broken {
            return Err(io::Error::from_raw_os_error(5));
        }
        drop(state);
        file.sync_data()
    }
}

fn open(folder: &Path, gate: &Arc<Gate>) -> (Stores, Arc<dyn StateStore>) {
    let medium = gate.clone();
    let options =
        EmbeddedOptions { medium, care_interval: Duration::from_secs(3_600), ..EmbeddedOptions::new(folder) };
    let stores = Stores::new(options, Arc::new(ManualClock::at(1)));
    let store = stores.state_store("s").unwrap();
    (stores, store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_do_not_wait_for_a_sync_and_see_nothing_that_a_crash_can_undo() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Arc::new(Gate::default());
    let (_stores, store) = open(folder.path(), &gate);
    store.apply(&Ctx::system(), set("k", "old")).await.unwrap();
    gate.change(|state| state.is_shut = true);
    let writer = tokio::spawn({
        let store = store.clone();
        async move { store.apply(&Ctx::system(), set("k", "new")).await }
    });
    gate.is_held().await;
    let read = store.get(&Ctx::system(), "k").await.unwrap().unwrap();
    assert_eq!(&read.value[..], b"old", "what is not durable is not shown");
    let page = store.scan(&Ctx::system(), "", None, 10).await.unwrap();
    assert_eq!(&page.entries[0].1.value[..], b"old");
    // A refusal rests on the change that is being synced: to tell it would be to show that.
    let refused = tokio::spawn({
        let store = store.clone();
        let old = Precondition::Etag(read.etag);
        async move { store.apply(&Ctx::system(), set_if("k", "mine", old)).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!refused.is_finished() && !writer.is_finished(), "both wait for the sync");
    gate.change(|state| state.is_shut = false);
    writer.await.unwrap().unwrap();
    assert_eq!(refused.await.unwrap().unwrap_err().code(), &codes::ETAG_MISMATCH);
    assert_eq!(&store.get(&Ctx::system(), "k").await.unwrap().unwrap().value[..], b"new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failed_sync_nothing_is_acknowledged_and_what_was_is_still_read() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Arc::new(Gate::default());
    let (stores, store) = open(folder.path(), &gate);
    store.apply(&Ctx::system(), set("k", "old")).await.unwrap();
    gate.change(|state| state.is_broken = true);
    for change in [set("k", "new"), set("other", "x")] {
        let error = store.apply(&Ctx::system(), change).await.expect_err("the disk failed");
        assert_eq!(error.code(), &codes::STORE_UNAVAILABLE);
        gate.change(|state| state.is_broken = false);
    }
    assert!(store.ready(&Ctx::system()).await.is_err(), "also when the disk is well again: until a restart");
    assert_eq!(&store.get(&Ctx::system(), "k").await.unwrap().unwrap().value[..], b"old");
    stores.close();
    let (_stores, store) = open(folder.path(), &Arc::new(Gate::default()));
    store.apply(&Ctx::system(), set("k", "after")).await.unwrap();
    assert_eq!(&store.get(&Ctx::system(), "k").await.unwrap().unwrap().value[..], b"after");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_ends_at_its_deadline_though_the_disk_hangs() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Arc::new(Gate::default());
    let (_stores, store) = open(folder.path(), &gate);
    gate.change(|state| state.is_shut = true);
    let ctx = Ctx::system().with_deadline(std::time::Instant::now() + Duration::from_millis(50));
    let error = store.apply(&ctx, set("k", "x")).await.unwrap_err();
    assert_eq!(error.code(), &codes::DEADLINE_EXCEEDED);
    gate.change(|state| state.is_shut = false);
}
