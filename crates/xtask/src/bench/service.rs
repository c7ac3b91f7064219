//! Processes under measurement: a launched peer or ours, waited for until it answers, with what it uses; the mock and
//! the load generator as processes of their own, so that their processor time is not counted to a peer.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::load::Report;
use crate::shell::{self, Running};
use crate::tree;

/// Longest wait for a service to answer; Python peers import for a while.
const READY_TIMEOUT: Duration = Duration::from_secs(90);
/// How often readiness is asked for.
const READY_INTERVAL: Duration = Duration::from_millis(1);

/// How to start a service.
#[derive(Debug)]
pub(super) struct Launch {
    /// The command.
    pub(super) command: Command,
    /// Where it will listen.
    pub(super) address: SocketAddr,
    /// A path that answers 200 or 204 once it can work.
    pub(super) ready_path: &'static str,
    /// Keys that calls may show, in turn; none when it asks for none.
    pub(super) keys: Vec<String>,
    /// Folder with what it reads; removed when the service is dropped.
    pub(super) folder: tempfile::TempDir,
}

/// A running service.
pub(super) struct Service {
    running: Running,
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// Keys that calls may show, in turn; none when it asks for none.
    pub(super) keys: Vec<String>,
    /// From start to the first good answer.
    pub(super) ready: Duration,
    _folder: tempfile::TempDir,
}

impl Service {
    /// Starts it and waits until it answers. Its output goes to a file, shown when it does not come up.
    pub(super) fn start(mut launch: Launch) -> anyhow::Result<Self> {
        let log = launch.folder.path().join("output.log");
        let file = std::fs::File::create(&log)?;
        launch.command.stdout(file.try_clone()?).stderr(file);
        let begin = Instant::now();
        let mut running = Running::start(&mut launch.command)?;
        while !answers(launch.address, launch.ready_path) {
            let said = || std::fs::read_to_string(&log).unwrap_or_default();
            if let Some(status) = running.exit()? {
                anyhow::bail!("it ended with {status}: {}", end_of(&said()));
            }
            anyhow::ensure!(begin.elapsed() < READY_TIMEOUT, "it did not come up: {}", end_of(&said()));
            std::thread::sleep(READY_INTERVAL);
        }
        let ready = begin.elapsed();
        Ok(Self { running, address: launch.address, keys: launch.keys, ready, _folder: launch.folder })
    }

    /// Processor time so far.
    pub(super) fn cpu(&self) -> Duration {
        tree::cpu(self.running.id())
    }

    /// Resident bytes now.
    pub(super) fn resident(&self) -> u64 {
        tree::resident(self.running.id())
    }

    /// Most resident bytes so far.
    pub(super) fn resident_peak(&self) -> u64 {
        tree::resident_peak(self.running.id())
    }
}

/// Whether `path` answers 200 or 204.
fn answers(address: SocketAddr, path: &str) -> bool {
    let Ok(mut socket) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else { return false };
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    let asked = socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .and_then(|()| socket.write_all(request.as_bytes()));
    let mut head = [0; 12];
    asked.and_then(|()| socket.read_exact(&mut head)).is_ok()
        && [b" 200", b" 204"].iter().any(|status| head.ends_with(*status))
}

fn end_of(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(4)..].join(" | ")
}

/// An address of this machine with a port that nobody holds now.
pub(super) fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
    Ok(listener.local_addr()?)
}

/// The mock upstream as a process.
pub(super) struct Mock {
    running: Running,
    /// Where it listens.
    pub(super) address: SocketAddr,
}

impl Mock {
    /// Starts `xtask bench mock` with these arguments.
    pub(super) fn start(xtask: &Path, arguments: &[String]) -> anyhow::Result<Self> {
        let mut command = Command::new(xtask);
        command.args(["bench", "mock"]).args(arguments).stdout(Stdio::piped());
        let mut running = Running::start(&mut command)?;
        let stdout = running.take_stdout().context("the mock's output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().rsplit("http://").next().unwrap_or_default();
        let address = address.parse().with_context(|| format!("the mock said `{line}`"))?;
        Ok(Self { running, address })
    }

    /// Processor time so far.
    pub(super) fn cpu(&self) -> Duration {
        tree::cpu(self.running.id())
    }

    /// Resident bytes now.
    pub(super) fn resident(&self) -> u64 {
        tree::resident(self.running.id())
    }

    /// Most resident bytes so far.
    pub(super) fn resident_peak(&self) -> u64 {
        tree::resident_peak(self.running.id())
    }
}

/// Runs `xtask bench load` with these arguments to its end.
pub(super) fn load(xtask: &Path, arguments: &[String]) -> anyhow::Result<Report> {
    let text = shell::output(Command::new(xtask).args(["bench", "load"]).args(arguments))?;
    serde_json::from_str(&text).context("read the load generator's report")
}

/// The binaries of a benchmark, built in one profile.
pub(super) struct Binaries {
    /// Ours.
    pub(super) mainstay: PathBuf,
    /// This program, for the mock and the load.
    pub(super) xtask: PathBuf,
}

impl Binaries {
    /// Builds both.
    pub(super) fn build(profile: &str) -> anyhow::Result<Self> {
        println!("building in profile `{profile}` …");
        Ok(Self {
            xtask: crate::project::build("xtask", profile)?,
            mainstay: crate::project::build("mainstay", profile)?,
        })
    }
}
