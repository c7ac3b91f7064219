//! Ours, with an API key and its limits configured: what is measured has everything on.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::{Peer, Setting};
use crate::bench::service::{Launch, free_address};
use crate::project;

pub(super) const DEF: Peer = Peer { name: "mainstay", slow: false, prepare };

/// Callers, each with a key of its own: the bound of one key's rate is below what one machine can send.
const KEYS: usize = 8;

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
    command.env("MAINSTAY_LOG", "warn").env("BENCH_UPSTREAM_KEY", "sk-bench-upstream");
    let keys: Vec<String> = (0..KEYS).map(|at| format!("sk-bench-{at:04}")).collect();
    for (at, key) in keys.iter().enumerate() {
        command.env(format!("BENCH_KEY_{at}"), key);
    }
    Ok(Launch { command, address, ready_path: "/ready", keys, folder })
}

fn spec(upstream: SocketAddr) -> String {
    let key = |at| {
        format!(
            "    - {{ name: k{at}, key: \"env:BENCH_KEY_{at}\", requests_per_minute: 1000000, concurrency: 4096 }}\n"
        )
    };
    let keys: String = (0..KEYS).map(key).collect();
    format!(
        "name: bench
server: {{ requests_max: 4096, connections_max: 4096 }}
providers:
  mock: {{ openai: {{ base_url: \"http://{upstream}/v1\", api_key: \"env:BENCH_UPSTREAM_KEY\" }} }}
models:
  bench: {{ targets: [mock/bench] }}
agents:
  bench:
    declared: {{ model: bench, instructions: Answer. }}
    concurrency_max: 4096
access:
  keys:
{keys}"
    )
}
