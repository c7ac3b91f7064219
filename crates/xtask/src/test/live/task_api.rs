//! `examples/task-api`, whose services are no agents, on a Redis of its own, which the checklist takes away and brings back.

use std::ffi::OsString;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::{PATIENCE, Said, Variable, asked, changed, judged};
use crate::server::{self, Server};
use crate::test::House;
use crate::{project, shell, venv};

/// The callers' keys.
const KEYS: [Variable; 2] =
    [("TASK_API_KEY", "sk-of-the-web-of-tasks"), ("OTHER_KEY", "sk-of-another-of-tasks")];
/// What two of the services share.
const TOKEN: Variable = ("NOTIFICATION_TOKEN", "a-token-of-the-notifications");
/// The key of the spec's caller, before the other one's.
const CALLER: &str = "requests_per_minute: 6000, concurrency: 64 }]";
/// Ports of the services in the spec.
const PORTS: [&str; 3] = ["127.0.0.1:8001", "127.0.0.1:8002", "127.0.0.1:8003"];
/// Where Redis is, in the files of components.
const REDIS: &str = "redis:6379";
/// Items that cannot be shown here, and why.
const NOT_SHOWN: &[(&str, &str)] = &[
    ("api/live-idempotency", NO_AGENT),
    ("api/live-stream", NO_AGENT),
    ("security/live-ssrf", NO_AGENT),
    ("security/live-tenants", NO_AGENT),
];
const NO_AGENT: &str = "it has no agent";

pub(super) fn ask(house: &House) -> Said {
    for program in ["redis-server", "curl"] {
        if shell::output(Command::new(program).arg("--version")).is_err() {
            return Ok(Err(format!("{program} is not installed")));
        }
    }
    let requirements = std::fs::read_to_string(project::root().join("tests/task-api/requirements.txt"))?;
    let programs = match venv::ensure("task-api", &requirements) {
        Ok(programs) => programs,
        Err(error) => return Ok(Err(crate::test::first_line(&format!("{error:#}")))),
    };
    let home = tempfile::tempdir()?;
    let folder = home.path().join("task-api");
    copied(&project::root().join("examples/task-api"), &folder)?;
    let redis = Redis::start(home.path())?;
    let at = format!("127.0.0.1:{}", redis.port);
    for name in ["statestore.yaml", "pubsub.yaml"] {
        changed(&folder.join("components/served").join(name), &[(REDIS, at.clone())])?;
    }
    let other = CALLER.replace("}]", "}, { name: other, key: \"env:OTHER_KEY\", requests_per_minute: 600 }]");
    let mut changes = vec![(CALLER, other)];
    for port in PORTS {
        changes.push((port, format!("127.0.0.1:{}", free_port()?)));
    }
    changed(&folder.join("mainstay.yaml"), &changes)?;
    let mut serve = server::command(house.binary()?, home.path(), &home.path().join("models"));
    // The services are started as `python3`, which must be the one that has the SDK.
    serve.env("PATH", path(&programs)).env("PYTHONDONTWRITEBYTECODE", "1");
    serve.env("MAINSTAY_RUNTIME_FOLDER", home.path().join("runtime"));
    let server = Server::start(serve.arg("serve").arg(&folder).envs(KEYS).envs([TOKEN]), PATIENCE)?;
    ready(&server)?;
    let more = ["--outage".to_owned(), redis.stop.clone(), "--restore".to_owned(), redis.start.clone()];
    let report = asked(house, &folder, &server, KEYS, &more).with_context(|| server.said())?;
    judged(&report, NOT_SHOWN).map(Ok)
}

/// Copies an example, but for what is made from it.
fn copied(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_file() {
            std::fs::copy(&path, to.join(name))?;
        } else if !["deploy", "rust", "__pycache__"].iter().any(|made| name == *made) {
            copied(&path, &to.join(name))?;
        }
    }
    Ok(())
}

fn path(programs: &Path) -> OsString {
    let mut all = vec![programs.to_path_buf()];
    all.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    std::env::join_paths(all).unwrap_or_default()
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Waits until the service says that it is ready.
fn ready(server: &Server) -> anyhow::Result<()> {
    let begin = Instant::now();
    let url = format!("http://{}/ready", server.address);
    while shell::output(Command::new("curl").args(["--silent", "--fail", &url])).is_err() {
        anyhow::ensure!(begin.elapsed() < PATIENCE, "it does not become ready: {}", server.said());
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// A Redis that outlives the shells that start it, and ends on drop.
struct Redis {
    port: u16,
    /// What starts it, and what stops it, for a shell.
    start: String,
    stop: String,
    pid: PathBuf,
}

impl Redis {
    fn start(folder: &Path) -> anyhow::Result<Self> {
        let (port, pid) = (free_port()?, folder.join("redis.pid"));
        let (folder, file) = (folder.display(), pid.display());
        let start = format!(
            "redis-server --port {port} --bind 127.0.0.1 --save '' --dir {folder} --daemonize yes --pidfile {file} \
             >/dev/null"
        );
        let stop = format!("kill $(cat {file}) && while test -e {file}; do sleep 0.05; done");
        shell::run(Command::new("sh").args(["-c", &start]))?;
        Ok(Self { port, start, stop, pid })
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if self.pid.exists() {
            let _ = shell::run(Command::new("sh").args(["-c", &self.stop]));
        }
    }
}
