//! `mainstay stop`: ends apps that `mainstay run` has started, as a signal does.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command};
use rustix::process::{Pid, Signal, kill_process};

use super::Def;
use crate::run::plan::file_at;
use crate::run::record::{self, Record};
use crate::{environment, exit, terminal};

pub(super) const DEF: Def = Def { name: "stop", command, run };

/// How long an app may take to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(50);

fn command() -> Command {
    Command::new("stop")
        .about("Stop apps that `mainstay run` has started")
        .arg(
            Arg::new("app-id")
                .long("app-id")
                .short('a')
                .value_name("ID")
                .value_delimiter(',')
                .action(ArgAction::Append)
                .help("The app's id; may be given several times"),
        )
        .arg(
            Arg::new("run-file")
                .long("run-file")
                .short('f')
                .value_name("FILE")
                .help("Stop all apps of this file, or of a folder's `dapr.yaml`"),
        )
        .group(ArgGroup::new("which").args(["app-id", "run-file"]).required(true))
}

fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let runtime = super::client_runtime()?;
    let stopped = match matches.get_one::<String>("run-file") {
        Some(file) => runtime.block_on(stop_file(file)),
        None => {
            let ids: Vec<&String> = matches.get_many("app-id").into_iter().flatten().collect();
            runtime.block_on(stop_apps(&ids))
        }
    }?;
    Ok(ExitCode::from(if stopped { exit::OK } else { exit::FAILED }))
}

async fn stop_apps(ids: &[&String]) -> anyhow::Result<bool> {
    let mut all_stopped = true;
    for id in ids {
        let running = record::all();
        let named: Vec<_> = running.iter().filter(|(_, record)| record.app_id == **id).collect();
        if named.is_empty() {
            terminal::complain(&format!("❌  failed to stop app id {id}: couldn't find app id {id}\n"));
            all_stopped = false;
        }
        for (path, record) in named {
            let is_alone = running.iter().filter(|(_, other)| other.pid == record.pid).count() == 1;
            if is_alone {
                terminate(record.pid)?;
            } else {
                // The process is there for others too.
                ask(record).await?;
            }
            all_stopped &= gone(path, id).await?;
        }
    }
    Ok(all_stopped)
}

async fn stop_file(given: &str) -> anyhow::Result<bool> {
    let file = std::path::absolute(file_at(given))?.display().to_string();
    let running: Vec<(PathBuf, Record)> =
        record::all().into_iter().filter(|(_, record)| record.run_file == file).collect();
    if running.is_empty() {
        terminal::complain(&format!("❌  couldn't find apps with run file \"{file}\"\n"));
        return Ok(false);
    }
    let mut pids: Vec<u32> = running.iter().map(|(_, record)| record.pid).collect();
    pids.dedup();
    for pid in pids {
        terminate(pid)?;
    }
    let mut all_stopped = true;
    for (path, record) in &running {
        all_stopped &= gone(path, &record.app_id).await?;
    }
    Ok(all_stopped)
}

/// Waits until an app is gone, and says so.
async fn gone(path: &Path, id: &str) -> anyhow::Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    while record::read(path).is_some() {
        if Instant::now() > deadline {
            let seconds = PATIENCE.as_secs();
            terminal::complain(&format!(
                "❌  failed to stop app id {id}: it is still there after {seconds} s\n"
            ));
            return Ok(false);
        }
        tokio::time::sleep(LOOK).await;
    }
    terminal::answer(&format!("✅  app stopped successfully: {id}\n"))?;
    Ok(true)
}

fn terminate(pid: u32) -> anyhow::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("the record names no process")?;
    kill_process(pid, Signal::TERM).context("tell the process to stop")
}

/// Asks one sidecar among several to stop.
async fn ask(record: &Record) -> anyhow::Result<()> {
    let url = format!("http://127.0.0.1:{}/v1.0/shutdown", record.http_port);
    let mut request = mainstay_net::client::download_client()?.post(url);
    if let Some(token) = environment::dapr_api_token() {
        request = request.header("dapr-api-token", token.expose().as_str());
    }
    request.send().await?.error_for_status().context("ask the sidecar to stop")?;
    Ok(())
}
