//! Runs: listed, read, followed and cancelled. Whose they are is the engine's business.

pub(crate) mod events;
pub(crate) mod view;

use futures_util::StreamExt as _;
use http::{Method, header};
use mainstay_core::journal::{After, EventPage, RunFilter};
use mainstay_core::run::{Run, RunStatus};
use mainstay_core::{Error, Name, RunId, SessionId, codes};
use schemars::{JsonSchema, json_schema};
use serde::Serialize;

use crate::ask;
use crate::call::{Call, QueryParams};
use crate::error::{Failure, Result, Shape};
use crate::reply;
use crate::routes::{Class, Param, Place, Reply, Route, SchemaOf, frame, id, name, of};
use crate::sse;
use events::{EventView, Source};
use view::{RunDetail, RunView};

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/v1/runs",
        id: "listRuns",
        summary: "Runs, newest first; those of one session in order",
        tag: "runs",
        class: Class::Read,
        errors: Shape::Ours,
        params: &[
            Param { place: Place::Query, name: "agent", about: "Only of this agent", schema: name },
            Param { place: Place::Query, name: "session_id", about: "Only of this session", schema: id },
            Param {
                place: Place::Query,
                name: "status",
                about: "Only in this status",
                schema: of::<view::StatusWord>,
            },
            AFTER,
            LIMIT,
        ],
        body: None,
        replies: &[Reply {
            status: 200,
            about: "A page of runs",
            content: &[("application/json", of::<RunList>)],
        }],
        statuses: &[422],
        handler: |call| Box::pin(list(call)),
    },
    Route {
        method: Method::GET,
        path: "/v1/runs/{run}",
        id: "getRun",
        summary: "A run, with what was asked and said",
        tag: "runs",
        class: Class::Read,
        errors: Shape::Ours,
        params: &[],
        body: None,
        replies: &[Reply {
            status: 200,
            about: "The run",
            content: &[("application/json", of::<RunDetail>)],
        }],
        statuses: &[404],
        handler: |call| Box::pin(read(call)),
    },
    Route {
        method: Method::GET,
        path: "/v1/runs/{run}/events",
        id: "followRun",
        summary: "A run's events: from the record, then as they come",
        tag: "runs",
        class: Class::Read,
        errors: Shape::Ours,
        params: &[
            Param {
                place: Place::Query,
                name: "after",
                about: "Only events with a greater number",
                schema: NUMBER,
            },
            Param {
                place: Place::Header,
                name: LAST_EVENT_ID,
                about: "As `after`, as browsers send it; holds when both are given",
                schema: NUMBER,
            },
        ],
        body: None,
        replies: &[Reply {
            status: 200,
            about: "A stream that ends with the run; or, where JSON is preferred, the events so far",
            content: &[("text/event-stream", frame), ("application/json", of::<EventList>)],
        }],
        statuses: &[404, 422],
        handler: |call| Box::pin(follow(call)),
    },
    Route {
        method: Method::POST,
        path: "/v1/runs/{run}/cancel",
        id: "cancelRun",
        summary: "End a run; one that has ended stays as it is",
        tag: "runs",
        class: Class::Read,
        errors: Shape::Ours,
        params: &[],
        body: None,
        replies: &[Reply {
            status: 200,
            about: "The run, ended",
            content: &[("application/json", of::<RunView>)],
        }],
        statuses: &[404, 504],
        handler: |call| Box::pin(cancel(call)),
    },
];

/// Where a page begins.
pub(crate) const AFTER: Param =
    Param { place: Place::Query, name: "after", about: "Continue after this id", schema: id };
/// How long a page is.
pub(crate) const LIMIT: Param = Param {
    place: Place::Query,
    name: "limit",
    about: "Entries of a page; 100 when absent",
    schema: |_| json_schema!({ "type": "integer", "minimum": 1, "maximum": 1000 }),
};
const NUMBER: SchemaOf = |_| json_schema!({ "type": "integer", "minimum": 0, "maximum": EVENT_NUMBER_MAX });

/// The largest event number that a caller may name: every client's numbers are exact up to here.
const EVENT_NUMBER_MAX: u64 = (1 << 53) - 1;

/// What browsers send when they come back to a stream.
const LAST_EVENT_ID: &str = "last-event-id";
/// Events of one JSON answer.
const EVENTS_MAX: usize = 1_000;

async fn list(call: Call) -> Result {
    let query = call.query();
    let filter = filter(&query)?;
    let page = call.shared.engine.runs(&call.bounded_ctx(), &filter).await?;
    let next = page.next.and_then(|_| page.runs.last()).map(|run| run.id.to_string());
    Ok(reply::json(&RunList { runs: page.runs.iter().map(RunView::new).collect(), next }))
}

fn filter(query: &QueryParams) -> Result<RunFilter> {
    Ok(RunFilter {
        agent: query.parsed("agent", "an agent's name", Name::parse)?,
        session: query.parsed("session_id", "a session's id", SessionId::parse)?,
        status: query.parsed("status", "a run's status", status)?,
        after: query.parsed("after", "a run's id", RunId::parse)?.map(After::Run),
        limit: query.limit()?,
        ..RunFilter::default()
    })
}

fn status(word: &str) -> Option<RunStatus> {
    use RunStatus::{Cancelled, Completed, Failed, Interrupted, Queued, Running};
    [Queued, Running, Completed, Failed, Cancelled, Interrupted]
        .into_iter()
        .find(|status| status.as_str() == word)
}

async fn read(mut call: Call) -> Result {
    let id = run_id(&mut call)?;
    Ok(reply::json(&RunDetail::new(call.shared.engine.run(&call.bounded_ctx(), &id).await?)))
}

async fn cancel(mut call: Call) -> Result {
    let id = run_id(&mut call)?;
    let run = call.shared.engine.cancel(&call.bounded_ctx(), &id).await;
    Ok(reply::json(&RunView::new(&run.map_err(|error| Failure::of_run(error, &id))?)))
}

async fn follow(mut call: Call) -> Result {
    let id = run_id(&mut call)?;
    let after = after(&call)?;
    let run = call.shared.engine.run(&call.ctx, &id).await?;
    let source = source(&call, &run);
    if prefers_json(&call) {
        let events = call.shared.engine.events(&call.bounded_ctx(), &id, after, EVENTS_MAX).await?;
        return Ok(reply::json(&EventList::new(&source, events, run.status)));
    }
    let events = call.shared.engine.follow(&call.ctx, &id, after).await?;
    let frames = events.scan(false, move |ended, event| {
        let frame = (!*ended).then(|| source.frame(event, ended));
        std::future::ready(frame)
    });
    let mut response = sse::response(Box::pin(frames), &call.shared.telemetry, true);
    ask::point_to(response.headers_mut(), &run.id, run.session.as_ref());
    Ok(response)
}

/// The number after which to begin: the header's, else the query's, else none. Errors: `INVALID_FIELD`.
fn after(call: &Call) -> Result<u64> {
    let number = |text: &str| text.parse().ok().filter(|number| *number <= EVENT_NUMBER_MAX);
    let in_query = call.query().parsed("after", "an event's number", number)?;
    let Some(last) = call.headers().get(LAST_EVENT_ID).filter(|id| !id.is_empty()) else {
        return Ok(in_query.unwrap_or(0));
    };
    let last = last.to_str().ok().and_then(number);
    last.ok_or_else(|| ask::invalid(LAST_EVENT_ID, "it must be an event's number").into())
}

fn source(call: &Call, run: &Run) -> Source {
    Source {
        run: run.id.clone(),
        session: run.session.clone(),
        agent: run.agent.to_string(),
        request_id: call.request_id().clone(),
    }
}

/// Whether the caller names JSON, and streams not at all.
fn prefers_json(call: &Call) -> bool {
    let accept = call.header(header::ACCEPT.as_str()).unwrap_or_default();
    accept.contains("application/json") && !accept.contains("text/event-stream")
}

fn run_id(call: &mut Call) -> mainstay_core::Result<RunId> {
    RunId::parse(call.path_param("run")).ok_or_else(|| {
        Error::new(&codes::RUN_NOT_FOUND, "find the run: this is no run's id")
            .with_help("ids begin with `run_`")
    })
}

/// A page of runs.
#[derive(Serialize, JsonSchema)]
struct RunList {
    runs: Vec<RunView>,
    /// What to give as `after` for the next page; null on the last. A page also ends with about 16 MiB of runs.
    next: Option<String>,
}

/// The events of a run so far.
#[derive(Serialize, JsonSchema)]
struct EventList {
    run_id: String,
    /// The run's status when it was asked for.
    status: view::StatusWord,
    events: Vec<EventView>,
    /// The number of the last event here; give it as `after` to go on.
    last: Option<u64>,
    /// Whether there are further events already: a list ends with 1,000 events or about 1 MiB.
    more: bool,
    /// Whether the last event here is the run's last.
    is_final: bool,
}

impl EventList {
    fn new(source: &Source, page: EventPage, status: RunStatus) -> Self {
        let EventPage { events, more } = page;
        let last = events.last();
        Self {
            run_id: source.run.to_string(),
            status: status.into(),
            last: last.map(|event| event.seq),
            more,
            is_final: last.is_some_and(|event| event.kind.is_final()),
            events: events.into_iter().map(|event| source.view(event)).collect(),
        }
    }
}
