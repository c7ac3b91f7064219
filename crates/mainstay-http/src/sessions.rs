//! Sessions: listed, read with their messages, and forgotten. Whose they are is the engine's business.

use http::{Method, StatusCode};
use mainstay_core::clock::rfc3339;
use mainstay_core::run::Session;
use mainstay_core::{Error, SessionId, codes};
use schemars::JsonSchema;
use serde::Serialize;

use crate::call::Call;
use crate::error::{Result, Shape};
use crate::message::MessageView;
use crate::reply;
use crate::routes::{Class, Reply, Route, of};
use crate::runs::{AFTER, LIMIT};

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/v1/sessions",
        id: "listSessions",
        summary: "Sessions, last used first",
        tag: "sessions",
        class: Class::Read,
        errors: Shape::Ours,
        params: &[AFTER, LIMIT],
        body: None,
        replies: &[Reply {
            status: 200,
            about: "A page of sessions",
            content: &[("application/json", of::<SessionList>)],
        }],
        statuses: &[422],
        handler: |call| Box::pin(list(call)),
    },
    Route {
        method: Method::GET,
        path: "/v1/sessions/{session}",
        id: "getSession",
        summary: "A session, with its messages",
        tag: "sessions",
        class: Class::Read,
        errors: Shape::Ours,
        params: &[],
        body: None,
        replies: &[Reply {
            status: 200,
            about: "The session",
            content: &[("application/json", of::<SessionDetail>)],
        }],
        statuses: &[404],
        handler: |call| Box::pin(read(call)),
    },
    Route {
        method: Method::DELETE,
        path: "/v1/sessions/{session}",
        id: "deleteSession",
        summary: "Forget a session and its runs; those at work are cancelled first",
        tag: "sessions",
        class: Class::Read,
        errors: Shape::Ours,
        params: &[],
        body: None,
        replies: &[Reply { status: 204, about: "It is forgotten", content: &[] }],
        statuses: &[404, 409],
        handler: |call| Box::pin(delete(call)),
    },
];

async fn list(call: Call) -> Result {
    let query = call.query();
    let after = query.parsed("after", "a session's id", SessionId::parse)?;
    let limit = query.limit()?;
    let sessions = call.shared.engine.sessions(&call.bounded_ctx(), after.as_ref(), limit).await?;
    let next = (sessions.len() == limit).then(|| sessions.last().map(|last| last.id.to_string())).flatten();
    Ok(reply::json(&SessionList { sessions: sessions.into_iter().map(SessionView::from).collect(), next }))
}

async fn read(mut call: Call) -> Result {
    let id = session_id(&mut call)?;
    let ctx = call.bounded_ctx();
    let session = call.shared.engine.session(&ctx, &id).await?;
    let messages = call.shared.engine.session_messages(&ctx, &id).await?;
    let messages = messages.into_iter().map(MessageView::from).collect();
    Ok(reply::json(&SessionDetail { session: session.into(), messages }))
}

async fn delete(mut call: Call) -> Result {
    let id = session_id(&mut call)?;
    call.shared.engine.delete_session(&call.bounded_ctx(), &id).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

fn session_id(call: &mut Call) -> mainstay_core::Result<SessionId> {
    SessionId::parse(call.path_param("session"))
        .ok_or_else(|| Error::new(&codes::SESSION_NOT_FOUND, "find the session: this is no session's id"))
}

/// A page of sessions.
#[derive(Serialize, JsonSchema)]
struct SessionList {
    sessions: Vec<SessionView>,
    /// What to give as `after` for the next page; null on the last.
    next: Option<String>,
}

/// A conversation.
#[derive(Serialize, JsonSchema)]
struct SessionView {
    id: String,
    /// The agent of its first run.
    agent: String,
    created_at: String,
    updated_at: String,
    /// How many runs it has.
    runs: u64,
}

/// A conversation with what was said.
#[derive(Serialize, JsonSchema)]
struct SessionDetail {
    #[serde(flatten)]
    session: SessionView,
    messages: Vec<MessageView>,
}

impl From<Session> for SessionView {
    fn from(session: Session) -> Self {
        Self {
            id: session.id.to_string(),
            agent: session.agent.to_string(),
            created_at: rfc3339(session.created_ms),
            updated_at: rfc3339(session.updated_ms),
            runs: session.runs,
        }
    }
}
