//! The service against real servers and real processes.

mod answers;
mod processes;
mod replacing;

use futures_util::StreamExt as _;
use mainstay_core::app::{AppEvent, AppOutput, AppRequest};
use mainstay_core::run::RunInput;
use mainstay_core::{RunId, SecretRef, SessionId};
use std::future::Future;

use super::*;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

struct Fixed;

impl SecretSource for Fixed {
    fn resolve(&self, reference: &SecretRef) -> Result<Redacted<String>> {
        match reference.locator.as_str() {
            "missing" => Err(Error::new(&codes::SECRET_UNAVAILABLE, "the secret `env:missing` is not set")),
            name => Ok(Redacted::new(format!("<{name}>"))),
        }
    }
}

fn plan(url: &str) -> AppPlan {
    AppPlan {
        process: Process {
            url: url.to_owned(),
            command: None,
            env: Vec::new(),
            health_path: "/health".to_owned(),
            start_timeout: Duration::from_secs(15),
        },
        invoke_path: "/invoke".to_owned(),
        stream_path: None,
        response_bytes_max: 64 * 1024,
    }
}

fn open(plan: &AppPlan, folder: &Path, sink: Sink) -> Result<AppService> {
    let service = opened(plan, folder, sink)?;
    service.start(&[]);
    Ok(service)
}

/// A service whose command is not started.
fn opened(plan: &AppPlan, folder: &Path, sink: Sink) -> Result<AppService> {
    let restart = Restart { first: Duration::from_millis(20), ..Restart::default() };
    AppService::open(Opening {
        name: &Name::parse("helper").unwrap(),
        form: Form::Agent(plan),
        folder,
        secrets: &Fixed,
        withheld: &BTreeSet::new(),
        sink,
        restart,
    })
}

/// A service whose output nobody reads.
fn service(plan: &AppPlan) -> AppService {
    open(plan, Path::new("."), Arc::new(|_| ())).unwrap()
}

fn request(query: &str, stream: bool) -> AppRequest {
    AppRequest {
        run: RunId::parse("run_1").unwrap(),
        session: Some(SessionId::parse("ses_1").unwrap()),
        input: RunInput { query: query.to_owned(), ..RunInput::default() },
        idempotency_key: "run_1".to_owned(),
        stream,
    }
}

/// Everything the app says to a query.
async fn ask(service: &AppService, query: &str, stream: bool) -> Result<Vec<AppEvent>> {
    let events = service.invoke(&Ctx::system(), request(query, stream)).await?;
    let said: Vec<Result<AppEvent>> = events.collect().await;
    said.into_iter().collect()
}

/// The answer to a query that is answered whole.
async fn answer(service: &AppService, query: &str) -> Result<AppOutput> {
    match ask(service, query, false).await?.pop() {
        Some(AppEvent::Done(output)) => Ok(output),
        other => panic!("no end: {other:?}"),
    }
}

/// Asks until the answer is there.
async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}
