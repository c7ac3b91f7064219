//! What the model sees of the past: the exchanges of the session's completed runs, the newest that fit. An exchange is
//! taken whole, so a tool call is never parted from its result. One that cannot be read any more is left out: the
//! journal has said so in the log, and the session must not stand still for it.

use mainstay_core::journal::{After, RunFilter, RunJournal, RunPage};
use mainstay_core::message::{Message, Role};
use mainstay_core::plan::Declared;
use mainstay_core::run::{Run, RunStatus};
use mainstay_core::{Ctx, Result, SessionId};

use super::question;
use crate::run::life::Assignment;

/// Runs read from the journal at a time.
const PAGE_RUNS: usize = 100;

/// The conversation that the model is asked to go on with: instructions, past, question.
pub(super) async fn conversation(work: &Assignment<'_>, plan: &Declared) -> Result<Vec<Message>> {
    let asked = work.live.asked();
    let mut messages = Vec::new();
    if !plan.instructions.is_empty() {
        messages.push(Message::text(Role::System, plan.instructions.clone()));
    }
    if let Some(session) = &asked.session {
        let room = plan.history_messages_max as usize;
        messages.extend(past(work.ports.journal.as_ref(), &work.ctx, session, room).await?);
    }
    messages.push(question(&asked.input));
    Ok(messages)
}

/// The question and the messages of a run.
pub(crate) fn exchange(run: Run) -> Vec<Message> {
    std::iter::once(question(&run.input)).chain(run.messages).collect()
}

async fn past(journal: &dyn RunJournal, ctx: &Ctx, session: &SessionId, room: usize) -> Result<Vec<Message>> {
    let mut window = Window::new(room);
    // Each exchange is a message at least.
    let mut pages = Pages::of_completed(journal, session, room.clamp(1, PAGE_RUNS));
    while !window.full
        && let Some(page) = pages.next(ctx).await?
    {
        page.readable().for_each(|run| window.add(exchange(run)));
    }
    Ok(window.messages())
}

/// The completed runs of a session, newest first, page by page.
pub(crate) struct Pages<'a> {
    journal: &'a dyn RunJournal,
    filter: RunFilter,
    over: bool,
}

impl<'a> Pages<'a> {
    pub(crate) fn of_completed(journal: &'a dyn RunJournal, session: &SessionId, runs_max: usize) -> Self {
        let filter = RunFilter {
            session: Some(session.clone()),
            status: Some(RunStatus::Completed),
            newest_first: true,
            limit: runs_max,
            ..RunFilter::default()
        };
        Self { journal, filter, over: false }
    }

    /// The next page; `None` behind the last.
    pub(crate) async fn next(&mut self, ctx: &Ctx) -> Result<Option<RunPage>> {
        if self.over {
            return Ok(None);
        }
        let page = self.journal.runs(ctx, &self.filter).await?;
        self.filter.after = page.next.map(After::Page);
        self.over = page.next.is_none();
        Ok(Some(page))
    }
}

/// The newest exchanges that fit together into `room` messages. They are added newest first.
struct Window {
    room: usize,
    held: usize,
    /// Whether one did not fit: those before it are older.
    full: bool,
    exchanges: Vec<Vec<Message>>,
}

impl Window {
    fn new(room: usize) -> Self {
        Self { room, held: 0, full: room == 0, exchanges: Vec::new() }
    }

    fn add(&mut self, exchange: Vec<Message>) {
        let exchange = if exchange.len() > self.room { shortened(exchange) } else { exchange };
        self.full |= self.held + exchange.len() > self.room;
        if !self.full {
            self.held += exchange.len();
            self.exchanges.push(exchange);
        }
    }

    fn messages(self) -> Vec<Message> {
        self.exchanges.into_iter().rev().flatten().collect()
    }
}

/// An exchange too long for the window: the question and the answer, without the tool calls between.
fn shortened(mut exchange: Vec<Message>) -> Vec<Message> {
    let answer =
        exchange.pop().filter(|last| last.role == Role::Assistant && last.tool_calls().next().is_none());
    exchange.truncate(1);
    exchange.extend(answer);
    exchange
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_core::message::{Part, ToolCall, ToolResult};

    fn user(text: &str) -> Message {
        Message::text(Role::User, text)
    }

    fn said(text: &str) -> Message {
        Message::text(Role::Assistant, text)
    }

    fn tool_pair(id: &str) -> [Message; 2] {
        let call = ToolCall { id: id.into(), name: "t".into(), arguments: String::new(), opaque: None };
        let result = ToolResult { call_id: id.into(), name: None, content: "r".into(), is_error: false };
        [
            Message { role: Role::Assistant, parts: vec![Part::ToolCall(call)] },
            Message { role: Role::Tool, parts: vec![Part::ToolResult(result)] },
        ]
    }

    fn check(room: usize, exchanges: &[Vec<Message>], expect: &[Message]) {
        let mut window = Window::new(room);
        exchanges.iter().rev().for_each(|exchange| window.add(exchange.clone()));
        assert_eq!(window.messages(), expect, "room for {room}");
    }

    #[test]
    fn the_newest_whole_exchanges_that_fit_are_kept() {
        let [call, result] = tool_pair("1");
        let first = vec![user("a"), said("b")];
        let second = vec![user("c"), call, result, said("d")];
        let both = [first.clone(), second.clone()];
        check(6, &both, &both.concat());
        check(5, &both, &second);
        check(4, &both, &second);
    }

    #[test]
    fn an_exchange_longer_than_the_window_keeps_question_and_answer() {
        let [call, result] = tool_pair("1");
        let long = vec![user("c"), call.clone(), result.clone(), said("d")];
        check(3, &[vec![user("a"), said("b")], long.clone()], &[user("c"), said("d")]);
        check(1, &[long], &[]);
        check(3, &[vec![user("c"), call.clone(), result.clone(), call, result]], &[user("c")]);
    }

    #[test]
    fn no_room_is_no_history() {
        check(0, &[vec![user("a"), said("b")]], &[]);
    }
}
