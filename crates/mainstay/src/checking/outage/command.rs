//! The user's commands, run by the shell: with a bound, with their output kept for the report, and the one that repairs run
//! in every case.

use std::fs::File;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;

use crate::{commands, environment, terminal};

/// Longest run of a command.
const COMMAND_MAX: Duration = Duration::from_secs(120);
/// Bytes at the end of a command's output that are shown.
const OUTPUT_BYTES_MAX: u64 = 600;

/// A command that is owed from now on: it is run when this is dropped, also where nobody asked for it any more.
pub(super) struct Owed {
    command: Option<String>,
}

impl Owed {
    pub(super) fn new(command: &str) -> Self {
        Self { command: Some(command.to_owned()) }
    }

    /// Runs it now. Errors: how it ended, and what it said.
    pub(super) async fn pay(mut self) -> Result<(), String> {
        let command = self.command.clone().unwrap_or_default();
        let ran = run(&command).await;
        // Had this been stopped before, it would be owed still.
        self.command = None;
        ran
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        let Some(command) = self.command.take() else { return };
        terminal::complain(&format!("mainstay: what was taken away is brought back: {command}\n"));
        // The runtime that this is dropped in does not wait.
        let paid = std::thread::spawn(move || {
            commands::client_runtime()?.block_on(async { anyhow::Ok(run(&command).await) })
        });
        let failed = match paid.join() {
            Ok(Ok(ran)) => ran.err(),
            Ok(Err(error)) => Some(format!("was not run: {error:#}")),
            Err(_) => Some("was not run".to_owned()),
        };
        if let Some(what) = failed {
            terminal::complain(&format!("mainstay: `--restore` {what}\n  help: bring it back by hand\n"));
        }
    }
}

/// Runs a command to its end; what it started may live on. Errors: how it ended, and what it said.
pub(super) async fn run(command: &str) -> Result<(), String> {
    let not_run = |error: std::io::Error| format!("was not run: {error}");
    // A file, since what the command leaves running may keep writing, and would wait at a pipe, or die of one.
    let output = output_file().map_err(not_run)?;
    let mut child = Command::new("sh");
    child.arg("-c").arg(command).stdin(Stdio::null()).kill_on_drop(true);
    child.stdout(output.try_clone().map_err(not_run)?).stderr(output.try_clone().map_err(not_run)?);
    // Away from the terminal's Ctrl-C, which this process answers.
    let mut child = child.process_group(0).spawn().map_err(not_run)?;
    let mut group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    match tokio::time::timeout(COMMAND_MAX, child.wait()).await {
        Ok(Ok(status)) => {
            group.0 = None;
            if status.success() {
                return Ok(());
            }
            Err(format!("ended with {status}: {}", last_of(&output)))
        }
        Ok(Err(error)) => Err(not_run(error)),
        Err(_) => Err(format!("was ended after {} s: {}", COMMAND_MAX.as_secs(), last_of(&output))),
    }
}

/// The processes of a command that has not ended; killed when dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // It may have ended in between.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// A file without a name, for this user alone.
fn output_file() -> std::io::Result<File> {
    let path = environment::temporary_folder().join(format!("mainstay-check-{}", uuid::Uuid::now_v7()));
    let file = File::options().read(true).append(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// The end of what was said.
fn last_of(output: &File) -> String {
    let length = output.metadata().map_or(0, |metadata| metadata.len());
    let mut bytes = vec![0; usize::try_from(length.min(OUTPUT_BYTES_MAX)).unwrap_or_default()];
    match output.read_exact_at(&mut bytes, length.saturating_sub(OUTPUT_BYTES_MAX)) {
        Ok(()) if !bytes.is_empty() => String::from_utf8_lossy(&bytes).trim().to_owned(),
        _ => "it said nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_that_fails_is_told_with_what_it_said() {
        assert_eq!(run("true").await, Ok(()));
        let told = run("echo out; echo err >&2; exit 3").await.unwrap_err();
        assert!(told.contains("exit status: 3") && told.contains("out\nerr"), "{told}");
        let silent = run("exit 4").await.unwrap_err();
        assert!(silent.ends_with("it said nothing"), "{silent}");
        let long = run("yes 0123456789 | head -c 100000; exit 1").await.unwrap_err();
        assert!(long.len() < 700, "{long}");
    }

    #[tokio::test]
    async fn what_a_command_leaves_running_is_not_waited_for() {
        let done = tokio::time::timeout(Duration::from_secs(30), run("sleep 60 & exit 0")).await;
        assert_eq!(done, Ok(Ok(())));
    }

    #[tokio::test]
    async fn what_is_owed_is_run_once_in_every_case() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("paid");
        let command = format!("echo x >> {}", file.display());
        assert_eq!(Owed::new(&command).pay().await, Ok(()));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "x\n");
        drop(Owed::new(&command));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "x\nx\n");
    }
}
