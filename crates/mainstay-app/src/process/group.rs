//! A process group: signals to all of it, whether any of it but its guard is at work, and the end of those that are our
//! children.

use std::io;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, waitpgid};
use tokio::process::Child;

use super::table;

/// First and longest pause between looks at a group that is ending.
const LOOKS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));

/// The group that a child leads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group(Pid);

impl Group {
    /// The group of the guard, which was started as the leader of its own.
    pub(super) fn of(child: &Child) -> io::Result<Self> {
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        id.map(Self).ok_or_else(|| io::Error::other("the process has no id"))
    }

    /// Its id, which is its leader's.
    pub(super) fn id(self) -> i32 {
        self.0.as_raw_nonzero().get()
    }

    /// Asks every member to end.
    pub(super) fn terminate(self) {
        self.signal(Signal::TERM);
    }

    /// Ends every member.
    pub(super) fn kill(self) {
        self.signal(Signal::KILL);
    }

    /// Fails only when nobody is left.
    fn signal(self, signal: Signal) {
        if let Err(error) = kill_process_group(self.0, signal) {
            tracing::debug!(%error, ?signal, "nobody in the process group took the signal");
        }
    }

    /// Waits until no member but the guard is at work.
    pub(super) async fn emptied(self) {
        let (mut pause, longest) = LOOKS;
        while self.is_at_work() {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// A member that ended and that its parent has not noticed is not at work, nor is the guard, which leads the group.
    /// Where there is no process table, nobody is known to be.
    fn is_at_work(self) -> bool {
        let mut members = table::entries().into_iter().flatten().filter(|entry| entry.group == self.id());
        members.any(|member| member.id != self.id() && !member.is_zombie)
    }

    /// Waits for the members that are our children, once the group is killed and its leader and the command have been
    /// waited for. As process 1 of a container we inherit what the command left behind, and nobody else waits for it.
    pub(super) async fn reaped(self) {
        let (mut pause, longest) = LOOKS;
        // An error means that no child of ours is left in it.
        while let Ok(waited) = waitpgid(self.0, WaitOptions::NOHANG) {
            if waited.is_none() {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(longest);
            }
        }
    }
}
