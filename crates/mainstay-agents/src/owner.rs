//! Whose run it is: a caller sees its own runs and sessions, the runtime sees all. Establishes no identity.

use mainstay_core::journal::RunJournal;
use mainstay_core::run::Run;
use mainstay_core::{Ctx, Error, Principal, Result, RunId, SessionId, codes};

/// Whether the caller may see what was recorded under `label`.
pub(crate) fn may_see(ctx: &Ctx, label: &str) -> bool {
    *ctx.principal() == Principal::System || ctx.principal().label() == label
}

/// The recorded run, if the caller may see it. Errors: `RUN_NOT_FOUND`, also for a run of someone else.
pub(crate) async fn recorded(journal: &dyn RunJournal, ctx: &Ctx, id: &RunId) -> Result<Run> {
    let run = journal.run(ctx, id).await?;
    run.filter(|run| may_see(ctx, &run.principal)).ok_or_else(|| unknown_run(id))
}

/// The label whose runs and sessions the caller sees; `None` for the runtime, which sees all.
pub(crate) fn label(ctx: &Ctx) -> Option<String> {
    (*ctx.principal() != Principal::System).then(|| ctx.principal().label().to_owned())
}

/// The label of who owns the session, if the session has any run.
pub(crate) async fn of_session(
    journal: &dyn RunJournal,
    ctx: &Ctx,
    session: &SessionId,
) -> Result<Option<String>> {
    Ok(journal.session(ctx, session).await?.map(|session| session.principal))
}

pub(crate) fn unknown_run(id: &RunId) -> Error {
    Error::new(&codes::RUN_NOT_FOUND, format!("no run has the id `{id}`"))
        .with_help("the id may be mistyped, or the run older than the spec keeps")
}

pub(crate) fn unknown_session(id: &SessionId) -> Error {
    Error::new(&codes::SESSION_NOT_FOUND, format!("no session has the id `{id}`"))
        .with_help("the id may be mistyped, or the session deleted or older than the spec keeps")
}

pub(crate) fn foreign_session(id: &SessionId) -> Error {
    Error::new(&codes::PERMISSION_DENIED, format!("session `{id}` belongs to another key"))
        .with_field("session_id")
        .with_help("choose another session id, or let the server make one")
}
