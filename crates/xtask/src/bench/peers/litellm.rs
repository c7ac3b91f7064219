//! LiteLLM's proxy, one worker, with its master key: the gateway most teams start with. Pinned to a version that
//! starts, with a web framework that it starts with: newer ones break its imports.

use std::process::Command;

use super::{Peer, Setting};
use crate::bench::service::{Launch, free_address};
use crate::venv;

pub(super) const DEF: Peer = Peer { name: "litellm 1.95.1", slow: true, prepare };

const KEY: &str = "sk-bench-0000";

fn prepare(setting: &Setting<'_>) -> anyhow::Result<Launch> {
    let programs = venv::ensure("litellm", "litellm[proxy]==1.95.1\nfastapi==0.136.3\n")?;
    let folder = tempfile::tempdir()?;
    let address = free_address()?;
    let config = format!(
        "model_list:\n  - model_name: bench\n    litellm_params:\n      model: openai/bench\n      api_base: \
         http://{}/v1\n      api_key: none\ngeneral_settings:\n  master_key: {KEY}\nlitellm_settings:\n  telemetry: \
         false\n",
        setting.upstream
    );
    let file = folder.path().join("config.yaml");
    std::fs::write(&file, config)?;
    let mut command = Command::new(programs.join("litellm"));
    command.arg("--config").arg(&file).args(["--host", "127.0.0.1", "--port", &address.port().to_string()]);
    command.args(["--num_workers", "1", "--telemetry", "False"]);
    // The price list and the tokenizer come with the package; nothing is to be fetched.
    command.env("LITELLM_LOCAL_MODEL_COST_MAP", "True").env("LITELLM_LOG", "ERROR").env("NO_DOCS", "True");
    // Its scripts are found by name.
    command.env("PATH", format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default()));
    Ok(Launch { command, address, ready_path: "/health/liveliness", keys: vec![KEY.to_owned()], folder })
}
