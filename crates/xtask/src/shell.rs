//! Starting other programs: run and look at the exit, or keep the output, or keep the process and end it on drop.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Pid, Signal};

use crate::tree;

/// Longest a command may take that nobody set a bound for: below what a run of all tests may take.
const TIME_MAX: Duration = Duration::from_secs(45 * 60);
/// How often a command under way is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Runs `command`, its output shown as it comes; an exit other than 0 is an error.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    run_within(command, TIME_MAX)
}

/// As [`run`]; a command that takes longer than `limit` is killed with all it started, and is an error.
pub(crate) fn run_within(command: &mut Command, limit: Duration) -> anyhow::Result<()> {
    let mut child =
        command.stdin(Stdio::null()).spawn().with_context(|| format!("start {}", shown(command)))?;
    let deadline = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() >= deadline {
            kill_tree(child.id());
            child.wait()?;
            anyhow::bail!("{} was killed: it took longer than {} s", shown(command), limit.as_secs());
        }
        std::thread::sleep(LOOK_INTERVAL);
    };
    anyhow::ensure!(status.success(), "{} ended with {status}", shown(command));
    Ok(())
}

fn kill_tree(root: u32) {
    for pid in tree::pids(root) {
        if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
            // It fails only when the process is gone, which is what is wanted.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
}

/// Runs `command` and gives what it printed; an exit other than 0 is an error with what it said.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let out = command.stdin(Stdio::null()).output().with_context(|| format!("start {}", shown(command)))?;
    let said = String::from_utf8_lossy(&out.stderr);
    anyhow::ensure!(
        out.status.success(),
        "{} ended with {}: {}",
        shown(command),
        out.status,
        last_lines(&said)
    );
    String::from_utf8(out.stdout).with_context(|| format!("read the output of {}", shown(command)))
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str());
    let words = std::iter::once(program).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    format!("`{}`", words.join(" "))
}

/// The end of a program's complaint: the part that says what is wrong.
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(5)..].join(" | ")
}

/// A process that is ended when this is dropped: asked first, killed after a grace.
pub(crate) struct Running(Child);

impl Running {
    /// Starts `command`.
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).spawn().map(Self).with_context(|| format!("start {}", shown(command)))
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Its standard output, once, if it was piped.
    pub(crate) fn take_stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.0.stdout.take()
    }

    /// Its standard error, once, if it was piped.
    pub(crate) fn take_stderr(&mut self) -> Option<std::process::ChildStderr> {
        self.0.stderr.take()
    }

    /// Its exit, if it has ended.
    pub(crate) fn exit(&mut self) -> anyhow::Result<Option<std::process::ExitStatus>> {
        Ok(self.0.try_wait()?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It fails only when the process is gone, which is what is wanted.
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if matches!(self.0.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_is_an_error_that_says_what_it_said() {
        let error = output(Command::new("sh").args(["-c", "echo because >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().contains("because"), "{error}");
    }

    #[test]
    fn a_command_that_takes_too_long_is_killed_with_its_children() {
        let begin = Instant::now();
        let mut command = Command::new("sh");
        let error =
            run_within(command.args(["-c", "sleep 30 & wait"]), Duration::from_millis(200)).unwrap_err();
        assert!(error.to_string().contains("killed"), "{error}");
        assert!(begin.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_running_process_ends_with_its_owner() {
        let running = Running::start(Command::new("sleep").arg("60")).unwrap();
        let proc = format!("/proc/{}", running.id());
        assert!(std::path::Path::new(&proc).exists());
        drop(running);
        assert!(!std::path::Path::new(&proc).exists());
    }
}
