//! Asking an agent, as all its routes do it: what was asked, checked; the run, started; the answer, awaited.

use http::{HeaderMap, HeaderValue, header};
use mainstay_agents::{RunHandle, Start};
use mainstay_core::plan::OnDisconnect;
use mainstay_core::run::{Run, RunInput, RunStatus};
use mainstay_core::{Ctx, Error, Name, Result, RunId, SessionId, codes};
use serde_json::Value;

use crate::call::Call;
use crate::error::{self, Failure};

/// Longest idempotency key, in bytes.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// What a caller wrote, fields of all routes together.
#[derive(Debug, Default)]
pub(crate) struct Question {
    pub(crate) query: String,
    pub(crate) context: Value,
    pub(crate) session_id: Option<String>,
    pub(crate) max_tokens: Option<u32>,
    pub(crate) temperature: Option<f64>,
    pub(crate) metadata: Value,
    pub(crate) background: bool,
    pub(crate) on_disconnect: Option<OnDisconnect>,
}

/// The bounds of a route.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) query_chars_max: usize,
    pub(crate) context_chars_max: usize,
    pub(crate) max_tokens_max: u32,
}

impl Question {
    /// Checks the fields and makes a start of them. Errors: `INVALID_FIELD` naming the first at fault.
    pub(crate) fn start(self, bounds: Bounds, stream: bool, headers: &HeaderMap) -> Result<Start> {
        within("query", self.query.chars().count(), 1, bounds.query_chars_max, "characters")?;
        if let Value::String(text) = &self.context {
            within("context", text.chars().count(), 0, bounds.context_chars_max, "characters")?;
        }
        if let Some(tokens) = self.max_tokens {
            within("max_tokens", tokens as usize, 1, bounds.max_tokens_max as usize, "")?;
        }
        if self.temperature.is_some_and(|t| !(0.0..=2.0).contains(&t)) {
            return Err(invalid("temperature", "it must be from 0 to 2"));
        }
        let input = RunInput {
            query: self.query,
            context: self.context,
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            metadata: self.metadata,
        };
        input.check()?;
        Ok(Start {
            input,
            session: self.session_id.filter(|id| !id.is_empty()).map(|id| session(&id)).transpose()?,
            background: self.background,
            stream,
            on_disconnect: self.on_disconnect,
            idempotency_key: idempotency_key(headers)?,
        })
    }
}

/// Starts a run of the agent named, or of the default one.
pub(crate) async fn begin(call: &Call, ctx: &Ctx, agent: Option<&str>, start: Start) -> Result<RunHandle> {
    let agent: Name = call.shared.engine.resolve(agent)?;
    call.shared.engine.start(ctx, &agent, start).await
}

/// The answered run. Errors: what the run failed with; `DEADLINE_EXCEEDED` when the caller has waited long enough: to
/// the run that is a caller who left, and its `on_disconnect` says whether it goes on.
pub(crate) async fn answer(call: &Call, handle: RunHandle) -> Result<Run, Failure> {
    let id = handle.id().clone();
    let run = match tokio::time::timeout(call.patience(), handle.wait()).await {
        Ok(ended) => ended.map_err(|error| Failure::of_run(error, &id))?,
        Err(_) => {
            let waited = call.patience().as_secs_f32();
            let message = format!("wait for the answer: it did not come within {waited} s");
            let help = "the run is at `/v1/runs/{run_id}`; stream the answer, ask with `background`, or raise \
                        `server.request_timeout`";
            let error = Error::new(&codes::DEADLINE_EXCEEDED, message).with_help(help);
            return Err(Failure::of_run(error, &id));
        }
    };
    if run.status == RunStatus::Completed {
        return Ok(run);
    }
    let error = match &run.error {
        Some(error) => error::of_run(error),
        None => Error::bug(format!("run `{id}` ended as {} without an error", run.status.as_str())),
    };
    Err(Failure::of_run(error, &id))
}

/// Says in the headers which run this is.
pub(crate) fn point_to(headers: &mut HeaderMap, run: &RunId, session: Option<&SessionId>) {
    if let Ok(id) = HeaderValue::from_str(run.as_str()) {
        headers.insert("x-run-id", id);
    }
    if let Some(id) = session.and_then(|session| HeaderValue::from_str(session.as_str()).ok()) {
        headers.insert("x-session-id", id);
    }
}

/// Says where the run can be read.
pub(crate) fn locate(headers: &mut HeaderMap, run: &RunId) {
    if let Ok(path) = HeaderValue::from_str(&format!("/v1/runs/{run}")) {
        headers.insert(header::LOCATION, path);
    }
}

/// Says in the headers which run was started, and whether it was started before.
pub(crate) fn announce(headers: &mut HeaderMap, handle: &Begun) {
    point_to(headers, &handle.run, handle.session.as_ref());
    if handle.replayed {
        headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
}

/// What is known of a run once it has begun.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    pub(crate) run: RunId,
    pub(crate) session: Option<SessionId>,
    pub(crate) replayed: bool,
}

impl From<&RunHandle> for Begun {
    fn from(handle: &RunHandle) -> Self {
        Self { run: handle.id().clone(), session: handle.session().cloned(), replayed: handle.is_replayed() }
    }
}

/// A session id of a caller. Errors: `INVALID_FIELD`.
pub(crate) fn session(id: &str) -> Result<SessionId> {
    SessionId::parse(id)
        .ok_or_else(|| invalid("session_id", "it must be 1 to 128 visible ASCII characters without `/`"))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    let fits = |key: &&str| {
        (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic())
    };
    let key = key.to_str().ok().filter(fits);
    let fault = || invalid("idempotency-key", "the header must be 1 to 255 visible ASCII characters");
    key.map(|key| Some(key.to_owned())).ok_or_else(fault)
}

fn within(field: &str, found: usize, min: usize, max: usize, unit: &str) -> Result<()> {
    if (min..=max).contains(&found) {
        return Ok(());
    }
    let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
    Err(invalid(field, &format!("it must be {min} to {max}{unit}")))
}

pub(crate) fn invalid(field: &str, what: &str) -> Error {
    Error::new(&codes::INVALID_FIELD, format!("read `{field}`: {what}")).with_field(field)
}
