//! One run of an app's command: a process group that ends as a whole. It does not restart anything.
//!
//! ```text
//!   Mainstay ─┬─► guard, leader of the group: reads our pipe; when we are gone, it kills the group
//!             └─► the command, member of the group ──► its children …
//! ```
//! Thus nothing stays behind, not even when Mainstay itself is killed. A process that leaves the group on purpose
//! (`setsid`) is out of reach.

mod group;
pub(crate) mod guard;
pub(crate) mod orphans;
pub(crate) mod shell;
mod table;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use mainstay_core::Redacted;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStdin};
use tokio::task::JoinSet;

use crate::output::{self, Sink, Source};
use group::Group;
use orphans::Waited;

/// How long the last output may take to arrive after the process ended, and what is left of the group to be gone.
const CLOSE_GRACE: Duration = Duration::from_millis(500);

/// What to start.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    /// What the app is called.
    pub(crate) app: String,
    pub(crate) command: String,
    pub(crate) folder: PathBuf,
    pub(crate) env: Vec<(String, Redacted<String>)>,
    /// Variables of ours that it does not inherit.
    pub(crate) withheld: BTreeSet<String>,
}

/// A command at work. Dropping it kills the group.
pub(crate) struct Process {
    child: Child,
    guard: Child,
    group: Group,
    /// The guard's pipe: closing it kills what is left.
    leash: Option<ChildStdin>,
    output: JoinSet<()>,
    /// The two children that are waited for here, until they have been.
    waited: Vec<Waited>,
}

impl Process {
    /// Starts the command, once its guard is at its post.
    pub(crate) async fn start(recipe: &Recipe, sink: &Sink) -> io::Result<Self> {
        let shell = shell::present();
        let mut guard = shell::guard(shell)?;
        guard.env_clear().process_group(0);
        guard.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let (mut guard, waited_guard) = orphans::spawn(&mut guard)?;
        // Taken out, because waiting for a child closes its standard input.
        let leash = guard.stdin.take();
        if let Some(mut at_post) = guard.stdout.take() {
            at_post.read_u8().await?;
        }
        let group = Group::of(&guard)?;
        let env = recipe.env.iter().map(|(name, value)| (name, value.expose()));
        let (mut command, variables) = shell::command(recipe, shell)?;
        command.current_dir(&recipe.folder);
        for name in &recipe.withheld {
            command.env_remove(name);
        }
        command.envs(env).envs(variables);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (mut child, waited_child) = orphans::spawn(command.process_group(group.id()).kill_on_drop(true))?;
        let mut output = JoinSet::new();
        if let Some(stdout) = child.stdout.take() {
            output.spawn(output::pump(stdout, recipe.app.clone(), Source::Stdout, sink.clone()));
        }
        if let Some(stderr) = child.stderr.take() {
            output.spawn(output::pump(stderr, recipe.app.clone(), Source::Stderr, sink.clone()));
        }
        Ok(Self { child, guard, group, leash, output, waited: vec![waited_guard, waited_child] })
    }

    /// The id of the command's process, until it has been waited for.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for the command to end of itself, and leaves nothing of its group. May be dropped and called again.
    pub(crate) async fn ended(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
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
        let _ = tokio::time::timeout(grace, gone).await;
        self.close().await;
    }

    /// Kills what is left, notes that it is gone, and takes the last output.
    async fn close(&mut self) {
        // Until its leader has been waited for, the group's id is nobody else's.
        if self.guard.id().is_some() {
            self.group.kill();
        }
        self.leash = None;
        // For a command that left the group; an error means that it has ended.
        let _ = self.child.start_kill();
        let _ = (self.child.wait().await, self.guard.wait().await);
        self.waited.clear();
        let whole = async { while self.output.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(CLOSE_GRACE, async { tokio::join!(whole, self.group.reaped()) }).await;
        self.output.abort_all();
    }
}

#[cfg(test)]
mod tests;
