//! Sessions, listed, read and deleted. A caller sees its own alone.

use mainstay_core::journal::{RUN_PAGE_BYTES_MAX, RunRecord, SessionFilter};
use mainstay_core::message::Message;
use mainstay_core::run::Session;
use mainstay_core::{Ctx, Result, SessionId};

use super::Engine;
use crate::declared::{self, Pages};
use crate::owner;
use crate::run::live::Stop;

/// Messages of a conversation that are read, the newest.
const MESSAGES_MAX: usize = 10_000;

/// Runs read from the journal at a time.
const PAGE_RUNS: usize = 100;

impl Engine {
    /// The caller's sessions, last used first, after `after`, at most `limit` and 1,000. Those of others are skipped.
    pub async fn sessions(&self, ctx: &Ctx, after: Option<&SessionId>, limit: usize) -> Result<Vec<Session>> {
        let own = SessionFilter { principal: owner::label(ctx), after: after.cloned(), limit };
        self.shared.ports.journal.sessions(ctx, &own).await
    }

    /// The session. Errors: `SESSION_NOT_FOUND`.
    pub async fn session(&self, ctx: &Ctx, id: &SessionId) -> Result<Session> {
        self.owned(ctx, id).await
    }

    /// The conversation: questions and what the completed runs added, in order; the newest 10,000 messages, or those of
    /// the newest runs of about 16 MiB. Runs that cannot be read are left out. Errors: `SESSION_NOT_FOUND`.
    pub async fn session_messages(&self, ctx: &Ctx, id: &SessionId) -> Result<Vec<Message>> {
        self.owned(ctx, id).await?;
        let mut newest_first: Vec<Message> = Vec::new();
        let mut bytes = 0;
        let mut pages = Pages::of_completed(self.shared.ports.journal.as_ref(), id, PAGE_RUNS);
        while let Some(page) = pages.next(ctx).await? {
            bytes += page.bytes;
            let exchanges = page.readable().map(declared::exchange);
            newest_first.extend(exchanges.flat_map(|exchange| exchange.into_iter().rev()));
            if newest_first.len() >= MESSAGES_MAX || bytes >= RUN_PAGE_BYTES_MAX {
                break;
            }
        }
        newest_first.truncate(MESSAGES_MAX);
        newest_first.reverse();
        Ok(newest_first)
    }

    /// Forgets the session and its runs. Its runs queued or at work are cancelled first; meanwhile new ones are refused
    /// with `SESSION_BUSY`. Durable when this returns. Errors: `SESSION_NOT_FOUND`, `SESSION_BUSY` while another call
    /// deletes it, `JOURNAL_UNAVAILABLE`.
    pub async fn delete_session(&self, ctx: &Ctx, id: &SessionId) -> Result<()> {
        let session = self.owned(ctx, id).await?;
        let closing = self.shared.lines.close(id, &session.principal)?;
        closing.runs.iter().for_each(|run| run.stop(Stop::session_deleted()));
        for run in &closing.runs {
            // A run that could not record its end is forgotten all the same; the append below says if the journal
            // works.
            let _ = run.ended().await;
        }
        let forget = vec![RunRecord::SessionDeleted { session: id.clone() }];
        self.shared.ports.journal.append(&ctx.clone().detached(), forget).await
    }

    async fn owned(&self, ctx: &Ctx, id: &SessionId) -> Result<Session> {
        let session = self.shared.ports.journal.session(ctx, id).await?;
        let own = session.filter(|session| owner::may_see(ctx, &session.principal));
        own.ok_or_else(|| owner::unknown_session(id))
    }
}
