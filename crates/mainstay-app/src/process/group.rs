//! A process group: signals to all of it, and whether any of it is at work.

use std::io;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::process::Child;

/// First and longest pause between looks at a group that is ending.
const LOOKS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));

/// The group that a child leads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group(Pid);

impl Group {
    /// The group of a child that was started as the leader of its own.
    pub(super) fn of(child: &Child) -> io::Result<Self> {
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        id.map(Self).ok_or_else(|| io::Error::other("the process has no id"))
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

    /// Waits until no member is at work.
    pub(super) async fn emptied(self) {
        let (mut pause, longest) = LOOKS;
        while self.is_at_work() {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// A member that ended and that its parent has not noticed is not at work: as process 1 of a container we are the
    /// parent of what the command left behind.
    fn is_at_work(self) -> bool {
        test_kill_process_group(self.0).is_ok() && self.has_live_member().unwrap_or(true)
    }

    /// `None` where there is no `/proc`.
    fn has_live_member(self) -> Option<bool> {
        let processes = std::fs::read_dir("/proc").ok()?.filter_map(Result::ok);
        let mut stats = processes.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
        Some(stats.any(|stat| group_if_live(&stat) == Some(self.0.as_raw_nonzero().get())))
    }
}

/// The group of the process that a line of proc(5) `stat` is about; `None` when it has ended.
fn group_if_live(stat: &str) -> Option<i32> {
    // State, parent and group follow the command's closing parenthesis; a command may hold parentheses itself.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let (state, _, group) = (fields.next()?, fields.next()?, fields.next()?);
    (!matches!(state, "Z" | "X")).then(|| group.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_ended_is_of_no_group() {
        assert_eq!(group_if_live("12 (a) b)) S 1 77 77 0 -1"), Some(77));
        assert_eq!(group_if_live("12 (sh) Z 1 77 77 0 -1"), None);
        assert_eq!(group_if_live("nonsense"), None);
    }
}
