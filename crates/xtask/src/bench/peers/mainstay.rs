//! Ours, with an API key and its limits configured: what is measured has everything on.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::{Peer, Setting};
use crate::bench::service::{Launch, free_address};
use crate::project;

pub(super) const DEF: Peer = Peer { name: "mainstay", slow: false, prepare };

const KEY: &str = "sk-bench-0000";

fn prepare(setting: &Setting<'_>) -> anyhow::Result<Launch> {
    launch(&project::build("mainstay", setting.profile)?, setting.upstream)
}

/// Our binary in front of `upstream`: the model `bench`, and an agent `bench` that asks it.
pub(in crate::bench) fn launch(binary: &Path, upstream: SocketAddr) -> anyhow::Result<Launch> {
    let folder = tempfile::tempdir()?;
    let address = free_address()?;
    std::fs::write(folder.path().join("mainstay.yaml"), spec(upstream))?;
    let mut command = Command::new(binary);
    command.arg("serve").arg(folder.path()).args(["--listen", &address.to_string()]);
    command.env("BENCH_KEY", KEY).env("MAINSTAY_LOG", "warn");
    Ok(Launch { command, address, ready_path: "/ready", key: Some(KEY.to_owned()), folder })
}

fn spec(upstream: SocketAddr) -> String {
    format!(
        "name: bench
server: {{ requests_max: 4096, connections_max: 4096 }}
providers:
  mock: {{ openai: {{ base_url: \"http://{upstream}/v1\", api_key: \"env:BENCH_KEY\" }} }}
models:
  bench: {{ targets: [mock/bench] }}
agents:
  bench:
    declared: {{ model: bench, instructions: Answer. }}
    concurrency_max: 4096
access:
  keys:
    bench: {{ secret: \"env:BENCH_KEY\", requests_per_minute: 100000000, concurrency: 4096 }}
"
    )
}
