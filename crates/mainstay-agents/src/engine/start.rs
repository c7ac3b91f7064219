//! Starting a run: taken in or refused at once, durable before the caller hears of it.

use std::sync::Arc;

use mainstay_core::plan::OnDisconnect;
use mainstay_core::run::{Run, RunInput, RunStatus};
use mainstay_core::{Ctx, Error, Name, Result, RunId, SessionId, codes};

use super::idempotency::{Claim, Slot};
use super::{Engine, Shared};
use crate::owner;
use crate::run::handle::RunHandle;
use crate::run::life::{self, Hold, Work};
use crate::run::live::LiveRun;
use crate::table::Enrolled;

/// Times that a start under a key looks again when the run it found is gone by then.
const LOOKS_MAX: u32 = 8;

/// What a run is started with.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// What is asked.
    pub input: RunInput,
    /// The conversation it belongs to; made by its first run.
    pub session: Option<SessionId>,
    /// Whether nobody waits: the run then has no deadline but its agent's, and no disconnect policy.
    pub background: bool,
    /// Whether the answer is read as it comes. Events are recorded either way.
    pub stream: bool,
    /// What becomes of the run if its caller leaves; the agent's policy when absent.
    pub on_disconnect: Option<OnDisconnect>,
    /// A key under which a repeated start is the same run.
    pub idempotency_key: Option<String>,
}

impl Engine {
    /// Starts a run, or queues it behind its session's others. When this returns the run is durable. Dropping this
    /// before counts as leaving, once the run is durable.
    ///
    /// With an idempotency key that this principal used for this agent before, and that is still known (the latest
    /// 10,000, since the last restart), this is the run of then.
    ///
    /// Errors: `AGENT_NOT_FOUND`, `DRAINING`, `OVERLOADED` (the agent's bound or the journal's), `SESSION_BUSY`,
    /// `PERMISSION_DENIED` for someone else's session, `INVALID_FIELD` for a key used for another request,
    /// `JOURNAL_UNAVAILABLE`.
    pub async fn start(&self, ctx: &Ctx, agent: &Name, start: Start) -> Result<RunHandle> {
        let agent = self.shared.roster.load().find(agent.as_str())?;
        for _ in 0..LOOKS_MAX {
            let session_was_new = self.check_session(ctx, start.session.as_ref()).await?;
            let launch = Launch { shared: &self.shared, ctx, agent: &agent, start: &start, session_was_new };
            let Some(slot) = launch.slot() else {
                return launched(launch.now(None)?).await;
            };
            match self
                .shared
                .known
                .claim(&slot, || launch.now(Some(slot.clone())).map(|run| (run.id().clone(), run)))?
            {
                Claim::First(handle) => return launched(handle).await,
                Claim::Known(run) => {
                    if let Some(handle) = self.replay(ctx, &slot, &run, &start).await? {
                        return Ok(handle);
                    }
                }
            }
        }
        Err(Error::new(&codes::OVERLOADED, "the run under this idempotency key comes and goes"))
    }

    /// Whether the session is new. Errors: `PERMISSION_DENIED` when it is someone else's.
    async fn check_session(&self, ctx: &Ctx, session: Option<&SessionId>) -> Result<bool> {
        let Some(session) = session else { return Ok(false) };
        let owner = owner::of_session(self.shared.ports.journal.as_ref(), ctx, session).await?;
        match owner {
            None => Ok(true),
            Some(owner) if owner::may_see(ctx, &owner) => Ok(false),
            Some(_) => Err(owner::foreign_session(session)),
        }
    }

    /// The run started under the key before; `None` when it is gone, and the key is free again.
    async fn replay(&self, ctx: &Ctx, slot: &Slot, id: &RunId, start: &Start) -> Result<Option<RunHandle>> {
        let journal = self.shared.ports.journal.clone();
        if let Some(live) = self.shared.live.get(id) {
            check_same(live.asked(), start)?;
            return launched(RunHandle::live(journal, ctx, live, true)).await.map(Some);
        }
        match journal.run(ctx, id).await? {
            Some(run) => {
                check_same(&run, start)?;
                Ok(Some(RunHandle::recorded(journal, ctx, run)))
            }
            None => {
                self.shared.known.forget(slot, id);
                Ok(None)
            }
        }
    }
}

/// Whether the run was started by the same request. Errors: `INVALID_FIELD`.
fn check_same(run: &Run, start: &Start) -> Result<()> {
    let (asked, asks) = (&run.input, &start.input);
    let fields = [
        ("query", asked.query == asks.query),
        ("context", asked.context == asks.context),
        ("session_id", run.session == start.session),
        ("max_tokens", asked.max_tokens == asks.max_tokens),
        ("temperature", asked.temperature == asks.temperature),
        ("background", run.background == start.background),
    ];
    let Some((field, _)) = fields.iter().find(|(_, same)| !same) else { return Ok(()) };
    let what = format!("the idempotency key was used for a request with another `{field}`");
    Err(Error::new(&codes::INVALID_FIELD, what)
        .with_field("idempotency_key")
        .with_help("use a new key for a new request"))
}

async fn launched(handle: RunHandle) -> Result<RunHandle> {
    handle.admitted().await?;
    Ok(handle)
}

struct Launch<'a> {
    shared: &'a Arc<Shared>,
    ctx: &'a Ctx,
    agent: &'a Arc<Enrolled>,
    start: &'a Start,
    session_was_new: bool,
}

impl Launch<'_> {
    fn slot(&self) -> Option<Slot> {
        let key = self.start.idempotency_key.clone()?;
        let (principal, agent) = (self.ctx.principal().label().to_owned(), self.agent.name.clone());
        Some(Slot { principal, agent, key })
    }

    /// Takes the run in and sets it going; does not wait.
    fn now(&self, slot: Option<Slot>) -> Result<RunHandle> {
        let start = self.start;
        // Taken before the run may enter, so that a drain that starts now waits for it.
        let _counted = self.shared.tasks.token();
        let asked = self.asked();
        let (live, hold) = match &start.session {
            None => self.enter(asked, true)?,
            Some(session) => {
                let (owner, policy) = (self.ctx.principal().label(), self.agent.entry.agent.sessions);
                let enter = |at_once| self.enter(asked, at_once);
                let (live, hold, place) = self.shared.lines.join(session, owner, policy, enter)?;
                (live, Hold { place: Some(place), ..hold })
            }
        };
        let handle = RunHandle::live(self.shared.ports.journal.clone(), self.ctx, live.clone(), false);
        let ctx = self.ctx.clone();
        let work = Work {
            shared: self.shared.clone(),
            agent: self.agent.clone(),
            live,
            ctx: if start.background { ctx.detached() } else { ctx },
            stream: start.stream,
            hold,
            slot,
            session_was_new: self.session_was_new,
        };
        self.shared.tasks.spawn(life::live(work));
        Ok(handle)
    }

    fn enter(&self, asked: Run, at_once: bool) -> Result<(Arc<LiveRun>, Hold)> {
        let asked = Run { id: RunId::generate(), ..asked };
        let live = Arc::new(LiveRun::new(asked, self.cut_on_leave()));
        let presence = self.shared.live.enter(&live)?;
        let seat = at_once.then(|| self.agent.seats.take(&self.agent.name)).transpose()?;
        Ok((live, Hold { _presence: presence, place: None, seat }))
    }

    /// The run as asked for; it gets the id that it keeps when it enters.
    fn asked(&self) -> Run {
        let now = self.shared.ports.clock.now_ms();
        Run {
            id: RunId::generate(),
            agent: self.agent.name.clone(),
            session: self.start.session.clone(),
            status: RunStatus::Queued,
            background: self.start.background,
            principal: self.ctx.principal().label().to_owned(),
            created_ms: now,
            updated_ms: now,
            input: self.start.input.clone(),
            messages: Vec::new(),
            answer: None,
            model: None,
            finish_reason: None,
            error: None,
            usage: Default::default(),
            steps: 0,
        }
    }

    fn cut_on_leave(&self) -> bool {
        let policy = self.start.on_disconnect.unwrap_or(self.agent.entry.agent.on_disconnect);
        !self.start.background && policy == OnDisconnect::Cancel
    }
}
