//! `mainstay healthcheck`: asks a running server whether it is well, for containers without a shell or curl.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{Def, client, client_runtime};
use crate::{exit, terminal};

pub(super) const DEF: Def = Def { name: "healthcheck", command, run };

/// Longest wait for the answer.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of the answer that are shown.
const SHOWN_BYTES_MAX: usize = 2048;

fn command() -> Command {
    Command::new("healthcheck")
        .about("Ask a running server whether it is well (exit 0 or 1)")
        .args(client::arguments())
        .arg(
            Arg::new("live")
                .long("live")
                .action(ArgAction::SetTrue)
                .help("Ask for the process alone, not for readiness"),
        )
}

fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let path = if matches.get_flag("live") { "/health" } else { "/ready" };
    let url = client::base_url(matches)? + path;
    let (status, body) = client_runtime()?.block_on(ask(&url))?;
    if (200..300).contains(&status) {
        return Ok(ExitCode::from(exit::OK));
    }
    terminal::complain(&format!("mainstay: {url} answered {status}: {body}\n"));
    Ok(ExitCode::from(exit::FAILED))
}

async fn ask(url: &str) -> anyhow::Result<(u16, String)> {
    let client = mainstay_net::client::download_client()?;
    let answer =
        client.get(url).timeout(TIMEOUT).send().await.with_context(|| format!("cannot reach {url}"))?;
    let status = answer.status().as_u16();
    let body = answer.text().await.unwrap_or_default();
    Ok((status, body.chars().take(SHOWN_BYTES_MAX).collect()))
}
