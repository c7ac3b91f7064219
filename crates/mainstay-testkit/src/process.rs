//! The process harness: starts the real binary on a free port, waits until it says that it listens, speaks the wire,
//! and ends it. Panics with what the binary said when a wait runs out: this is for tests alone.
//!
//! The binary is `$MAINSTAY_BIN`, or `mainstay` beside the running test in the target folder. It sees no variable of
//! the test's own environment but `PATH`, so that a developer's keys and settings change nothing.

mod client;
mod events;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::Instant;

pub use client::{Answer, Client};
pub use events::{Event, EventStream};

/// Longest wait for anything that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How often a condition is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Waits until a condition holds; `what` says which.
///
/// # Panics
/// When it does not hold in time.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// What the binary prints once it listens, before its URL.
const LISTENING: &str = "mainstay: listening on http://";

/// The binary under test.
///
/// # Panics
/// When there is none; it says how to build it.
#[must_use]
pub fn binary() -> PathBuf {
    let set = std::env::var_os("MAINSTAY_BIN").map(PathBuf::from);
    let beside = || {
        let test = std::env::current_exe().expect("a test knows its own path");
        // target/PROFILE/deps/TEST → target/PROFILE/mainstay
        test.ancestors().nth(2).expect("a test is two folders deep").join("mainstay")
    };
    let path = set.unwrap_or_else(beside);
    assert!(
        path.is_file(),
        "there is no `{}`: `cargo build -p mainstay`, or set MAINSTAY_BIN",
        path.display()
    );
    path
}

/// A command line of the binary, to be run.
#[derive(Debug)]
pub struct Launch {
    command: Command,
}

impl Launch {
    /// `mainstay WORDS…`, run in `folder`, where it also keeps its models and its home.
    #[must_use]
    pub fn new(folder: &Path, words: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.args(words).current_dir(folder).env_clear().stdin(Stdio::null()).kill_on_drop(true);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin")));
        command.env("HOME", folder).env("MAINSTAY_MODELS_FOLDER", folder.join("models"));
        Self { command }
    }

    /// The same as process 1 of a process table of its own, as in a container. Wants `unshare` and its rights.
    #[must_use]
    pub fn as_process_one(self) -> Self {
        let plain = self.command.as_std();
        let mut command = Command::new("unshare");
        command
            .args(["-p", "-f", "--mount-proc", "--kill-child"])
            .arg(plain.get_program())
            .args(plain.get_args());
        command.current_dir(plain.get_current_dir().expect("it is set")).env_clear();
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.stdin(Stdio::null()).kill_on_drop(true);
        Self { command }
    }

    /// Adds a word.
    #[must_use]
    pub fn word(mut self, word: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(word);
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it does not start, or does not end within [`PATIENCE`].
    pub async fn finish(self) -> Finished {
        self.finish_within(PATIENCE).await
    }

    /// The same for a command that has much to wait for itself.
    ///
    /// # Panics
    /// When it does not start, or does not end within `patience`.
    pub async fn finish_within(mut self, patience: Duration) -> Finished {
        let run = self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).output();
        let out = tokio::time::timeout(patience, run).await.expect("the command ends in time");
        let out = out.expect("the binary starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Finished { code: out.status.code(), stdout: text(&out.stdout), stderr: text(&out.stderr) }
    }

    /// Runs it until it has printed `text` on standard output, then interrupts it as Ctrl-C does (SIGINT).
    ///
    /// # Panics
    /// When it does not print that, or does not end, within [`PATIENCE`].
    pub async fn interrupt_after(mut self, text: &str) -> Finished {
        let mut child =
            self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let mut out = child.stdout.take().expect("stdout is piped");
        let mut stdout = Vec::new();
        let heard = async {
            while !String::from_utf8_lossy(&stdout).contains(text) {
                let read = out.read_buf(&mut stdout).await.expect("the pipe can be read");
                assert!(read > 0, "it ended before it said `{text}`");
            }
        };
        tokio::time::timeout(PATIENCE, heard).await.expect("it says it in time");
        let ended = interrupted(child).await;
        Finished { stdout: String::from_utf8_lossy(&stdout).into_owned(), ..ended }
    }

    /// Runs it until a condition holds, then interrupts it as Ctrl-C does (SIGINT).
    ///
    /// # Panics
    /// When it does not hold, or the command does not end, within [`PATIENCE`].
    pub async fn interrupt_when(mut self, what: &str, holds: impl AsyncFnMut() -> bool) -> Finished {
        let child =
            self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        until(what, holds).await;
        interrupted(child).await
    }

    /// Starts it as a server and waits until it listens.
    ///
    /// # Panics
    /// When it ends, or does not listen within [`PATIENCE`]; with what it said.
    pub async fn start(mut self) -> Server {
        let mut child =
            self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let said = Said::default();
        let (listening, heard) = watch::channel(true);
        tokio::spawn(said.clone().listen(child.stdout.take().expect("stdout is piped"), heard.clone()));
        tokio::spawn(said.clone().listen(child.stderr.take().expect("stderr is piped"), heard));
        let deadline = Instant::now() + PATIENCE;
        let address = loop {
            if let Some(address) = said.address() {
                break address;
            }
            let ended = child.try_wait().expect("the process can be asked");
            assert!(ended.is_none(), "it ended with {ended:?} before it listened:\n{}", said.text());
            assert!(Instant::now() < deadline, "it does not listen:\n{}", said.text());
            tokio::time::sleep(LOOK_INTERVAL).await;
        };
        Server { child, said, address, listening }
    }
}

/// Interrupts a command, and waits until it has ended.
async fn interrupted(child: Child) -> Finished {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    rustix::process::kill_process(pid.expect("it has not been waited for"), Signal::INT)
        .expect("it is ours to signal");
    let ended = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    let ended = ended.expect("the command ends in time").expect("the process can be waited for");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Finished { code: ended.status.code(), stdout: text(&ended.stdout), stderr: text(&ended.stderr) }
}

/// A command that has ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

/// A running server; killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    said: Said,
    address: SocketAddr,
    listening: watch::Sender<bool>,
}

impl Server {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The id of its process, or of what it was started by.
    ///
    /// # Panics
    /// When it has ended and been waited for.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id().expect("the process has not been waited for")
    }

    /// A client of it, without a key.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Everything it has printed so far.
    #[must_use]
    pub fn said(&self) -> String {
        self.said.text()
    }

    /// Waits until it has printed `text`.
    ///
    /// # Panics
    /// When it has not within [`PATIENCE`].
    pub async fn says(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.said.text().contains(text) {
            assert!(Instant::now() < deadline, "it never said `{text}`:\n{}", self.said.text());
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Stops reading what it prints, as a stalled log collector does, or goes on with it.
    pub fn listen(&self, listening: bool) {
        self.listening.send_replace(listening);
    }

    /// Asks it to stop (SIGTERM).
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Has it read its spec again (SIGHUP).
    pub fn reload(&self) {
        self.signal(Signal::HUP);
    }

    /// Kills it on the spot (SIGKILL) and waits until it is gone.
    ///
    /// # Panics
    /// When it is not gone within [`PATIENCE`].
    pub async fn kill(mut self) {
        self.signal(Signal::KILL);
        self.ended().await;
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// When it has not within [`PATIENCE`].
    pub async fn ended(&mut self) -> ExitStatus {
        let wait = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        wait.unwrap_or_else(|_| panic!("it does not end:\n{}", self.said.text()))
            .expect("the process can be waited for")
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let pid = pid.expect("the process has not been waited for");
        rustix::process::kill_process(pid, signal).expect("it is ours to signal");
    }
}

/// What a process prints, kept line by line.
#[derive(Clone, Debug, Default)]
struct Said(Arc<Mutex<String>>);

impl Said {
    async fn listen(self, from: impl AsyncRead + Unpin, mut listening: watch::Receiver<bool>) {
        let mut lines = BufReader::new(from).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            // Held open: a pipe that nobody reads, not one that is closed.
            let _ = listening.wait_for(|listening| *listening).await;
            let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            text.push_str(&line);
            text.push('\n');
        }
    }

    fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn address(&self) -> Option<SocketAddr> {
        self.text().lines().find_map(|line| line.strip_prefix(LISTENING)?.trim().parse().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_line_made_for_it() {
        let said = Said::default();
        said.0.lock().unwrap().push_str("  agent http://127.0.0.1:9/x\n");
        assert_eq!(said.address(), None);
        said.0.lock().unwrap().push_str("mainstay: listening on http://127.0.0.1:4711\n");
        assert_eq!(said.address(), Some(SocketAddr::from(([127, 0, 0, 1], 4711))));
    }
}
