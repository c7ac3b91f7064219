//! The end of a service, if it may be ended: what is open finishes, what is new goes elsewhere.

use std::time::Duration;

use mainstay_ship::checks::{Finding, Item, Verdict};
use rustix::process::{Pid, Signal, kill_process};

use super::service::{Ask, Service};
use super::work::Work;
use super::{LiveRule, When, exhaustion};

/// Longest time for readiness to say that the service drains.
const NOTICED_MAX: Duration = Duration::from_secs(5);
/// What the process may take to end after its drain.
const MARGIN: Duration = Duration::from_secs(10);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

pub(super) const RULES: &[LiveRule] = &[LiveRule {
    item: Item::gate(
        "resilience/live-drain",
        "a service that is told to stop finishes what it has begun",
        "on SIGTERM: answer 503 at `/ready`, refuse new work, finish open streams, then end",
    ),
    when: When::Last,
    ask: |service| Box::pin(drain(service)),
}];

async fn drain(service: &Service) -> Verdict {
    let Some(id) = service.given.drain else {
        return Verdict::Unknown("it ends the service: allow it with `--drain PID`".to_owned());
    };
    let Some(pid) = i32::try_from(id).ok().filter(|id| *id > 1).and_then(Pid::from_raw) else {
        return Verdict::Unknown(format!("{id} is no process that could be told to stop"));
    };
    let work = match Work::begin(service).await {
        Ok(work) => work,
        Err(verdict) => return verdict,
    };
    if let Err(error) = kill_process(pid, Signal::TERM) {
        return Verdict::Unknown(format!("process {id} cannot be told to stop: {error}"));
    }
    let mut found = Vec::new();
    let mut fault = |what: String| found.push(Finding { place: None, what });
    let whole = service.given.server.drain + MARGIN;
    let name = work.name();
    let (noticed, end) = work.finish(unready(service), whole).await;
    let refused = noticed.unwrap_or_else(|what| {
        fault(what);
        true
    });
    if let Err(what) = end {
        fault(what);
    }
    if !gone(service, MARGIN).await {
        fault(format!("the service still answers {} s after its last {name}", MARGIN.as_secs()));
    }
    if found.is_empty() && !refused {
        let why = "the key that this check used up was refused until the service ended, so nobody saw what it says to new \
                   work: ask without `--exhaust`, too";
        return Verdict::Unknown(why.to_owned());
    }
    Verdict::unless(
        found,
        format!("`/ready` said 503, the open {name} went to its end, and the process ended"),
    )
}

/// Waits until readiness says no and new work is refused; whether that was seen of new work. Errors: what happened
/// instead.
async fn unready(service: &Service) -> Result<bool, String> {
    let deadline = tokio::time::Instant::now() + NOTICED_MAX;
    loop {
        match service.send(Ask::get("/ready").bare()).await {
            Ok(answer) if answer.status == 503 => break,
            Ok(answer) if tokio::time::Instant::now() > deadline => {
                return Err(format!("`/ready` still answers {}", answer.status));
            }
            Ok(_) => tokio::time::sleep(LOOK_INTERVAL).await,
            Err(_) => return Err("nobody answers at `/ready` while something is at work".to_owned()),
        }
    }
    let question = service.question_for(false);
    loop {
        let ask = match &question {
            Some((path, question)) => Ask::post(path, question),
            None => Ask::get(service.routes().next().unwrap_or("/")),
        };
        match service.send(ask).await {
            // The key was used up by this check: it says nothing of the drain as long as it is.
            Ok(answer) if answer.status == 429 && service.given.exhaust.is_some() => {
                let left = deadline.saturating_duration_since(tokio::time::Instant::now());
                if left.is_zero() {
                    return Ok(false);
                }
                exhaustion::wait_out(&answer.headers, left).await;
            }
            Ok(answer) if answer.status != 503 => {
                return Err(format!("new work is answered with {}", answer.status));
            }
            _ => return Ok(true),
        }
    }
}

/// Whether nobody answers any more, after a while.
async fn gone(service: &Service, patience: Duration) -> bool {
    let deadline = tokio::time::Instant::now() + patience;
    while tokio::time::Instant::now() < deadline {
        if service.send(Ask::get("/health").bare()).await.is_err() {
            return true;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    false
}
