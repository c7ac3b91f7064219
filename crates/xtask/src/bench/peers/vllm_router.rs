//! vllm-router, a gateway in Rust, from its wheel.

use std::process::Command;

use super::{Peer, Setting};
use crate::bench::service::{Launch, free_address};
use crate::venv;

pub(super) const DEF: Peer = Peer { name: "vllm-router 0.1.17", slow: false, prepare };

fn prepare(setting: &Setting<'_>) -> anyhow::Result<Launch> {
    let programs = venv::ensure("vllm-router", "vllm-router==0.1.17\n")?;
    let address = free_address()?;
    let metrics = free_address()?;
    let mut command = Command::new(programs.join("vllm-router"));
    command.args(["--host", "127.0.0.1", "--port", &address.port().to_string()]);
    command.args(["--worker-urls", &format!("http://{}", setting.upstream)]);
    command.args(["--policy", "round_robin", "--log-level", "error"]);
    command.args(["--prometheus-host", "127.0.0.1", "--prometheus-port", &metrics.port().to_string()]);
    Ok(Launch { command, address, ready_path: "/v1/models", keys: Vec::new(), folder: tempfile::tempdir()? })
}
