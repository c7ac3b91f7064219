//! Sessions, listed, read and deleted. A caller sees its own alone.

use mainstay_core::journal::{RunFilter, RunRecord};
use mainstay_core::message::Message;
use mainstay_core::run::{RunStatus, Session};
use mainstay_core::{Ctx, Result, SessionId};

use super::Engine;
use super::reads::PAGE_MAX;
use crate::run::live::Stop;
use crate::{declared, owner};

/// Messages of a conversation that are read, the newest.
const MESSAGES_MAX: usize = 10_000;

/// Runs read from the journal at a time.
const PAGE_RUNS: usize = 100;

impl Engine {
    /// The caller's sessions, last used first, after `after`, at most `limit` and 1,000. Those of others are skipped.
    pub async fn sessions(&self, ctx: &Ctx, after: Option<&SessionId>, limit: usize) -> Result<Vec<Session>> {
        let journal = self.shared.ports.journal.as_ref();
        let limit = limit.clamp(1, PAGE_MAX);
        let mut after = after.cloned();
        let mut own = Vec::new();
        loop {
            let page = journal.sessions(ctx, after.as_ref(), limit).await?;
            let whole = page.len() == limit;
            after = page.last().map(|session| session.id.clone());
            for session in page {
                let owner = owner::of_session(journal, ctx, &session.id).await?;
                if owner.is_some_and(|owner| owner::may_see(ctx, &owner)) {
                    own.push(session);
                }
            }
            own.truncate(limit);
            if !whole || own.len() == limit {
                return Ok(own);
            }
        }
    }

    /// The session. Errors: `SESSION_NOT_FOUND`.
    pub async fn session(&self, ctx: &Ctx, id: &SessionId) -> Result<Session> {
        self.owned(ctx, id).await.map(|(session, _)| session)
    }

    /// The conversation: questions and what the completed runs added, in order; the newest 10,000 messages. Runs that
    /// cannot be read are left out.
    /// Errors: `SESSION_NOT_FOUND`.
    pub async fn session_messages(&self, ctx: &Ctx, id: &SessionId) -> Result<Vec<Message>> {
        self.owned(ctx, id).await?;
        let mut messages: Vec<Message> = Vec::new();
        let mut filter = RunFilter {
            session: Some(id.clone()),
            status: Some(RunStatus::Completed),
            limit: PAGE_RUNS,
            ..RunFilter::default()
        };
        loop {
            let page = self.shared.ports.journal.runs(ctx, &filter).await?;
            let whole = page.runs.len() == PAGE_RUNS;
            filter.after = page.runs.last().map(|run| run.id.clone());
            messages.extend(page.readable().flat_map(declared::exchange));
            messages.drain(..messages.len().saturating_sub(MESSAGES_MAX));
            if !whole {
                return Ok(messages);
            }
        }
    }

    /// Forgets the session and its runs. Its runs queued or at work are cancelled first; meanwhile new ones are refused
    /// with `SESSION_BUSY`. Durable when this returns. Errors: `SESSION_NOT_FOUND`, `SESSION_BUSY` while another call
    /// deletes it, `JOURNAL_UNAVAILABLE`.
    pub async fn delete_session(&self, ctx: &Ctx, id: &SessionId) -> Result<()> {
        let (_, owner) = self.owned(ctx, id).await?;
        let closing = self.shared.lines.close(id, &owner)?;
        closing.runs.iter().for_each(|run| run.stop(Stop::session_deleted()));
        for run in &closing.runs {
            // A run that could not record its end is forgotten all the same; the append below says if the journal works.
            let _ = run.ended().await;
        }
        let forget = vec![RunRecord::SessionDeleted { session: id.clone() }];
        self.shared.ports.journal.append(&ctx.clone().detached(), forget).await
    }

    async fn owned(&self, ctx: &Ctx, id: &SessionId) -> Result<(Session, String)> {
        let journal = self.shared.ports.journal.as_ref();
        let owner = owner::of_session(journal, ctx, id).await?;
        let owner =
            owner.filter(|owner| owner::may_see(ctx, owner)).ok_or_else(|| owner::unknown_session(id))?;
        let session = journal.session(ctx, id).await?.ok_or_else(|| owner::unknown_session(id))?;
        Ok((session, owner))
    }
}
