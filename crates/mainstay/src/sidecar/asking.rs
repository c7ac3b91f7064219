//! What `mainstay sidecar` answers and then ends, as daprd does: its version, its build, and whether another one is up.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Arg, ArgMatches};

use crate::commands::client_runtime;
use crate::wire::sidecar::rules::RUNTIME_VERSION;
use crate::{exit, terminal};

/// How long a sidecar is waited for, and the pause between two looks.
const WAIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

/// The flags of this.
pub(crate) fn arguments() -> [Arg; 3] {
    let switch = |name: &'static str, about: &'static str| {
        Arg::new(name)
            .long(name)
            .help(about)
            .value_name("BOOL")
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .overrides_with(name)
    };
    [
        switch("version", "Print the version of the wire format, and end"),
        switch("build-info", "Print that and our own version, and end"),
        switch("wait", "Wait until the sidecar at `--dapr-http-port` can be called, and end"),
    ]
}

/// Answers, if it was asked. `http_port`: where the sidecar to wait for is.
pub(crate) fn answer(matches: &ArgMatches, http_port: u16) -> Option<anyhow::Result<ExitCode>> {
    let is_on = |name: &str| matches.get_one::<String>(name).is_some_and(|text| text == "true");
    let ok = |()| ExitCode::from(exit::OK);
    if is_on("version") {
        return Some(terminal::answer(&format!("{RUNTIME_VERSION}\n")).map(ok));
    }
    if is_on("build-info") {
        let own = env!("CARGO_PKG_VERSION");
        let text = format!("Version: {RUNTIME_VERSION}, Git Commit: , Git Version: mainstay-{own}\n");
        return Some(terminal::answer(&text).map(ok));
    }
    is_on("wait").then(|| client_runtime()?.block_on(wait(http_port)))
}

async fn wait(port: u16) -> anyhow::Result<ExitCode> {
    let client = mainstay_net::client::download_client()?;
    let url = format!("http://127.0.0.1:{port}/v1.0/healthz/outbound");
    let began = Instant::now();
    while began.elapsed() < WAIT {
        let answer = client.get(&url).timeout(Duration::from_secs(1)).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            return Ok(ExitCode::from(exit::OK));
        }
        tokio::time::sleep(PAUSE).await;
    }
    terminal::complain(&format!("mainstay: no sidecar at port {port} within {} s\n", WAIT.as_secs()));
    Ok(ExitCode::from(exit::FAILED))
}
