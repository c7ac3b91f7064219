//! Processes that nobody waits for. As process 1 of a container we become the parent of every process whose own parent
//! has ended, e.g. of one that left an app's group; when it ends, it stays as a zombie until we have waited for it.
//!
//! Children of ours that tokio waits for are left to it: taking such a child's status would make its end unknown.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, WaitOptions, getpid, waitpid};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::table;

/// The children that are waited for elsewhere.
static WAITED: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

fn waited() -> MutexGuard<'static, BTreeSet<i32>> {
    WAITED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps a child from being taken for an orphan; dropped once the child has been waited for, or is given up.
#[derive(Debug)]
pub(super) struct Waited(i32);

impl Drop for Waited {
    fn drop(&mut self) {
        waited().remove(&self.0);
    }
}

/// Starts a child that is waited for by whoever holds it.
pub(super) fn spawn(command: &mut Command) -> io::Result<(Child, Waited)> {
    // Held over both steps, so that a child that ends at once is not taken for an orphan in between.
    let mut waited = waited();
    let child = command.spawn()?;
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    let id = id.ok_or_else(|| io::Error::other("the process has no id"))?;
    waited.insert(id);
    Ok((child, Waited(id)))
}

/// Waits for orphans for as long as the process lives. Returns at once unless we are process 1. Must be called within a
/// runtime.
pub async fn reap_orphans() {
    if !getpid().is_init() {
        return;
    }
    let mut ended = match signal(SignalKind::child()) {
        Ok(ended) => ended,
        Err(error) => return tracing::warn!(%error, "orphans are not waited for"),
    };
    loop {
        reap(getpid());
        // Signals that come while we look are one more look.
        if ended.recv().await.is_none() {
            return;
        }
    }
}

/// Waits for every ended child of `parent`, which is us, that nobody else waits for.
fn reap(parent: Pid) {
    let waited = waited();
    let ended = table::entries().into_iter().flatten();
    let ended = ended.filter(|entry| entry.is_zombie && entry.parent == parent.as_raw_nonzero().get());
    for orphan in ended.filter(|entry| !waited.contains(&entry.id)) {
        // An error means that it is gone by now.
        let _ = waitpid(Pid::from_raw(orphan.id), WaitOptions::NOHANG);
    }
}
