//! What is started for `bench blocks`: our sidecar with its components, and Redis where it is installed.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::super::service::{Launch, Service, free_address};
use crate::shell::Running;

/// Longest wait for Redis.
const REDIS_TIMEOUT: Duration = Duration::from_secs(10);

/// Our sidecar.
pub(super) struct Beside(Service);

impl Beside {
    /// Starts it beside the app, with what it keeps in a folder of its own.
    pub(super) fn start(binary: &Path, app: SocketAddr, redis: Option<SocketAddr>) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let resources = folder.path().join("resources");
        std::fs::create_dir(&resources)?;
        std::fs::write(resources.join("all.yaml"), files(redis))?;
        let (http, grpc) = (free_address()?, free_address()?);
        let mut command = Command::new(binary);
        command.args(["sidecar", "--app-id=bench", "--log-level=warn"]);
        command.arg(format!("--app-port={}", app.port()));
        command.arg(format!("--dapr-http-port={}", http.port()));
        command.arg(format!("--dapr-grpc-port={}", grpc.port()));
        command.arg("--resources-path").arg(&resources);
        command.env("MAINSTAY_DATA_FOLDER", folder.path().join("data"));
        let ready_path = "/v1.0/healthz";
        Ok(Self(Service::start(Launch { command, address: http, ready_path, keys: Vec::new(), folder })?))
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// From its start to the first good answer.
    pub(super) fn ready(&self) -> Duration {
        self.0.ready
    }

    pub(super) fn cpu(&self) -> Duration {
        self.0.cpu()
    }

    pub(super) fn resident(&self) -> u64 {
        self.0.resident()
    }

    pub(super) fn resident_peak(&self) -> u64 {
        self.0.resident_peak()
    }
}

fn files(redis: Option<SocketAddr>) -> String {
    let mut documents = vec![
        component("store", "state.embedded", &[]),
        component("memory", "state.in-memory", &[]),
        component("bus", "pubsub.embedded", &[]),
        concat!(
            "apiVersion: dapr.io/v2alpha1\nkind: Subscription\nmetadata: { name: events }\n",
            "spec: { pubsubname: bus, topic: events, routes: { default: /value } }\n"
        )
        .to_owned(),
    ];
    if let Some(address) = redis {
        // Without a prefix, so that the bare client reads the same keys.
        let settings = [("redisHost", address.to_string()), ("keyPrefix", "none".to_owned())];
        documents.push(component("redis", "state.redis", &settings));
    }
    documents.join("---\n")
}

fn component(name: &str, kind: &str, settings: &[(&str, String)]) -> String {
    let settings: Vec<String> =
        settings.iter().map(|(name, value)| format!("{{ name: {name}, value: \"{value}\" }}")).collect();
    format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{ name: {name} }}\nspec: {{ type: {kind}, version: v1, \
         metadata: [{}] }}\n",
        settings.join(", ")
    )
}

/// Redis, without anything kept.
pub(super) struct Redis {
    _running: Running,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Redis {
    /// Starts it. An error is the reason why it is not in the run.
    pub(super) fn start() -> anyhow::Result<Self> {
        let (folder, address) = (tempfile::tempdir()?, free_address()?);
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string(), "--save", ""]);
        command.arg("--dir").arg(folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let running = Running::start(&mut command).context("start redis-server")?;
        let begin = Instant::now();
        while TcpStream::connect(address).and_then(|mut socket| socket.write_all(b"PING\r\n")).is_err() {
            anyhow::ensure!(begin.elapsed() < REDIS_TIMEOUT, "redis-server does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Self { _running: running, address, _folder: folder })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// What one write of a kilobyte and its `fdatasync` takes on the disk of the temporary folder: the middle of many.
pub(super) fn sync_time() -> anyhow::Result<Duration> {
    let mut file = tempfile::tempfile()?;
    let mut times = Vec::new();
    for _ in 0..500 {
        let begin = Instant::now();
        file.write_all(&[7; 1_024])?;
        file.sync_data()?;
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}
