//! The binary as a server, for tasks that talk to it: on a free port, its folder given, ended on drop.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::shell::Running;

/// What the binary prints once it listens, before its address.
const LISTENING: &str = "mainstay: listening on http://";
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// A running server.
pub(crate) struct Server {
    running: Running,
    said: Arc<Mutex<String>>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts `command` (with `--listen 127.0.0.1:0` added) and waits up to `patience` until it listens.
    pub(crate) fn start(command: &mut Command, patience: Duration) -> anyhow::Result<Self> {
        command.args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = Running::start(command)?;
        let said = Arc::new(Mutex::new(String::new()));
        keep(running.take_stdout().context("stdout is piped")?, &said);
        keep(running.take_stderr().context("stderr is piped")?, &said);
        let begin = Instant::now();
        loop {
            let text = said.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(address) =
                text.lines().find_map(|line| line.strip_prefix(LISTENING)?.trim().parse().ok())
            {
                return Ok(Self { running, said, address });
            }
            if let Some(status) = running.exit()? {
                anyhow::bail!("the server ended with {status}: {text}");
            }
            anyhow::ensure!(begin.elapsed() < patience, "the server does not listen: {text}");
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    /// The id of its process.
    pub(crate) fn id(&self) -> u32 {
        self.running.id()
    }

    /// What it has printed so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A command of the binary that sees a home and a models folder of the task's own, and none of the developer's
/// settings.
pub(crate) fn command(binary: &Path, home: &Path, models: &Path) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MAINSTAY_")) {
        command.env_remove(name);
    }
    command.env("HOME", home).env("MAINSTAY_MODELS_FOLDER", models);
    command
}

fn keep(from: impl std::io::Read + Send + 'static, said: &Arc<Mutex<String>>) {
    let said = Arc::clone(said);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut text = said.lock().unwrap_or_else(PoisonError::into_inner);
            text.push_str(&line);
            text.push('\n');
        }
    });
}
