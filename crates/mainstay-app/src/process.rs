//! One run of an app's command: a process group of its own that ends as a whole. It does not restart anything.
//!
//! ```text
//!   sh ─ exec ─► the command, leader of the group ──► its children …
//!    └─ & ─────► a guard that reads our pipe; when we are gone, it kills the group
//! ```
//! Thus nothing stays behind, not even when Mainstay itself is killed. A process that leaves the group on purpose
//! (`setsid`) is out of reach.

mod group;

use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use mainstay_core::Redacted;
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinSet;

use crate::output::{self, Sink, Source};
use group::Group;

/// Runs the guard, then becomes the command. Without its own `/dev/null` the guard would hold the output open.
const GUARDED: &str = "exec 3<&0 </dev/null
{ read -r _ <&3; kill -KILL 0; } >/dev/null 2>&1 &
exec 3<&-
exec sh -c \"$1\"";

/// How long the last output may take to arrive after the process ended.
const OUTPUT_GRACE: Duration = Duration::from_millis(500);

/// What to start.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) agent: String,
    pub(crate) command: String,
    pub(crate) folder: PathBuf,
    pub(crate) env: Vec<(String, Redacted<String>)>,
}

/// A command at work. Dropping it kills the group.
pub(crate) struct Process {
    child: Child,
    group: Group,
    /// The guard's pipe: closing it kills what is left.
    leash: Option<ChildStdin>,
    output: JoinSet<()>,
}

impl Process {
    /// Starts the command.
    pub(crate) fn start(recipe: &Recipe, sink: &Sink) -> io::Result<Self> {
        let env = recipe.env.iter().map(|(name, value)| (name, value.expose()));
        let mut child = Command::new("sh")
            .args(["-c", GUARDED, "mainstay", &recipe.command])
            .current_dir(&recipe.folder)
            .envs(env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let group = Group::of(&child)?;
        let mut output = JoinSet::new();
        if let Some(stdout) = child.stdout.take() {
            output.spawn(output::pump(stdout, recipe.agent.clone(), Source::Stdout, sink.clone()));
        }
        if let Some(stderr) = child.stderr.take() {
            output.spawn(output::pump(stderr, recipe.agent.clone(), Source::Stderr, sink.clone()));
        }
        // Taken out, because waiting for a child closes its standard input.
        let leash = child.stdin.take();
        Ok(Self { child, group, leash, output })
    }

    /// Waits for the command to end of itself, and leaves nothing of its group. May be dropped and called again.
    pub(crate) async fn ended(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.group.kill();
        self.close().await;
        Ok(status)
    }

    /// Asks the group to end, waits up to `grace` for all of it, then kills what is left.
    pub(crate) async fn stop(&mut self, grace: Duration) {
        self.group.terminate();
        let gone = async {
            let _ = self.child.wait().await;
            self.group.emptied().await;
        };
        if tokio::time::timeout(grace, gone).await.is_err() {
            self.group.kill();
            let _ = self.child.wait().await;
        }
        self.close().await;
    }

    async fn close(&mut self) {
        self.leash = None;
        let whole = async { while self.output.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(OUTPUT_GRACE, whole).await;
        self.output.abort_all();
    }
}

#[cfg(test)]
mod tests;
