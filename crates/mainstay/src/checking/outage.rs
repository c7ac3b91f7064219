//! A time without something that the service needs: taken away and brought back by the user's own commands.

mod command;

use std::time::Duration;

use mainstay_ship::checks::{Finding, Item, Verdict};
use serde_json::Value;
use tokio::time::Instant;

use super::service::{Answer, Ask, Service};
use super::{LiveRule, When, api};
use command::Owed;

/// Longest time for readiness to notice that something is away.
const NOTICED_MAX: Duration = Duration::from_secs(60);
/// Longest time for readiness to notice that it is back, which may have to start.
const BACK_MAX: Duration = Duration::from_secs(120);
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// How the traces of languages' own failures begin or go on.
const TRACES: &[&str] = &[
    "Traceback (most recent call last)",
    "goroutine 1 [",
    "panicked at ",
    "stack backtrace:",
    "    at Object.<anonymous>",
    "(node:internal/",
    "Exception in thread \"",
    "\tat java.",
];

pub(super) const RULES: &[LiveRule] = &[LiveRule {
    item: Item::new(
        "resilience/live-dependency",
        "without what it needs the service says so, and lives",
        "let `/ready` alone ask what the service needs; bound every wait for it, and answer errors with a code",
    ),
    when: When::Outage,
    ask: |service| Box::pin(dependency(service)),
}];

/// Commands for the shell.
#[derive(Clone, Debug)]
pub(crate) struct Commands {
    /// Takes something away that the service needs.
    pub(crate) outage: String,
    /// Brings it back.
    pub(crate) restore: String,
}

async fn dependency(service: &Service) -> Verdict {
    let Some(commands) = &service.given.commands else {
        return Verdict::Unknown(
            "it takes something away that the service needs: say how with `--outage` and `--restore`"
                .to_owned(),
        );
    };
    match service.send(Ask::get("/ready").bare()).await {
        Ok(answer) if answer.status == 200 => {}
        Ok(answer) => {
            return Verdict::Unknown(format!("`/ready` answered {} before anything was away", answer.status));
        }
        Err(error) => return Verdict::Unknown(format!("`/ready`: {error:#}")),
    }
    // From here on it is owed, however this ends.
    let owed = Owed::new(&commands.restore);
    let away = match command::run(&commands.outage).await {
        Ok(()) => Ok(without(service).await),
        Err(what) => Err(format!("`--outage` {}", service.without_secrets(&what))),
    };
    let restored = owed.pay().await.map_err(|what| format!("`--restore` {}", service.without_secrets(&what)));
    let mut seen = match away {
        Ok(seen) => seen,
        Err(why) => return Verdict::Unknown(why),
    };
    match restored {
        Err(why) if seen.found.is_empty() => return Verdict::Unknown(why),
        Err(why) => seen.fault(why),
        Ok(()) => match back(service).await {
            Ok(()) => seen.shown.push("`/ready` says 200 since it is back".to_owned()),
            Err(what) => seen.fault(what),
        },
    }
    match seen.unknown {
        Some(why) if seen.found.is_empty() => Verdict::Unknown(why),
        _ => Verdict::unless(seen.found, seen.shown.join("; ")),
    }
}

/// What is seen while something is away.
#[derive(Default)]
struct Seen {
    found: Vec<Finding>,
    shown: Vec<String>,
    unknown: Option<String>,
}

impl Seen {
    fn fault(&mut self, what: String) {
        self.found.push(Finding { place: None, what });
    }
}

async fn without(service: &Service) -> Seen {
    let mut seen = Seen::default();
    match unready(service).await {
        Ok(()) => seen.shown.push("`/ready` said 503 and `/health` 200".to_owned()),
        Err(what) => seen.fault(what),
    }
    let Some((path, question)) = service.question_for(false) else { return lived(service, seen).await };
    match service.question(Ask::post(&path, &question)).await {
        Ok(answer) if matches!(answer.status, 401 | 403) => {
            seen.unknown = Some("a key is wanted: put one into MAINSTAY_API_KEY".to_owned());
        }
        Ok(answer) => match fault_of(service, &answer) {
            Some(what) => seen.fault(format!("POST {path} {what}")),
            None => seen.shown.push(format!("a question was answered with {}", answer.status)),
        },
        Err(error) => seen.fault(format!("POST {path}: {error:#}")),
    }
    lived(service, seen).await
}

/// Adds whether the process lives after all that.
async fn lived(service: &Service, mut seen: Seen) -> Seen {
    if seen.found.is_empty()
        && let Err(what) = lives(service).await
    {
        seen.fault(what);
    }
    seen
}

/// Waits until readiness says no; the process lives all the while. Errors: what happened instead.
async fn unready(service: &Service) -> Result<(), String> {
    let deadline = Instant::now() + NOTICED_MAX;
    loop {
        lives(service).await?;
        match service.send(Ask::get("/ready").bare()).await {
            Ok(answer) if answer.status == 503 => return Ok(()),
            Ok(answer) if !matches!(answer.status, 200 | 429) => {
                return Err(format!("`/ready` answered {} instead of 503", answer.status));
            }
            Ok(answer) if Instant::now() > deadline => {
                return Err(format!("`/ready` answered {} after {} s", answer.status, NOTICED_MAX.as_secs()));
            }
            Err(error) if Instant::now() > deadline => return Err(format!("`/ready`: {error:#}")),
            _ => tokio::time::sleep(LOOK_INTERVAL).await,
        }
    }
}

/// Whether the process says that it lives. Errors: what it says.
async fn lives(service: &Service) -> Result<(), String> {
    match service.send(Ask::get("/health").bare()).await {
        Ok(answer) if answer.status == 200 => Ok(()),
        Ok(answer) => Err(format!(
            "`/health` answered {}: the process would be ended, again and again, for what it cannot mend",
            answer.status
        )),
        Err(error) => Err(format!("`/health`: {error:#}")),
    }
}

/// What is wrong with an answer to a question: it may be one, or an error that says what it is.
fn fault_of(service: &Service, answer: &Answer) -> Option<String> {
    if TRACES.iter().any(|trace| answer.body.contains(trace)) {
        return Some(format!("answered {} with a trace of what happened inside", answer.status));
    }
    let shown = service
        .given
        .secrets
        .iter()
        .find(|(_, value)| value.len() > 5 && answer.body.contains(value.as_str()));
    if let Some((name, _)) = shown {
        return Some(format!("answered {} and showed the value of `{name}`", answer.status));
    }
    let is_json = serde_json::from_str::<Value>(&answer.body).is_ok();
    match answer.status {
        200..=299 => None,
        400..=599 if is_json && api::has_code(answer) => None,
        400..=599 => Some(format!("answered {} without a code", answer.status)),
        other => Some(format!("answered {other}")),
    }
}

/// Waits until readiness says yes. Errors: what it says instead.
async fn back(service: &Service) -> Result<(), String> {
    let deadline = Instant::now() + BACK_MAX;
    loop {
        let what = match service.send(Ask::get("/ready").bare()).await {
            Ok(answer) if answer.status == 200 => return Ok(()),
            Ok(answer) => format!("`/ready` still answers {}", answer.status),
            Err(error) => format!("`/ready`: {error:#}"),
        };
        if Instant::now() > deadline {
            return Err(format!("{} s after what was away is back, {what}", BACK_MAX.as_secs()));
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}
