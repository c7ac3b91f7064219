//! Which reply comes next.

use mainstay_core::message::{Message, Part, Role};
use mainstay_core::model::{ModelRequest, Usage};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::atomic::{AtomicU32, Ordering};

/// A reply: when it is used, what it says, how fast, and how it fails.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Reply {
    /// Used when the last user message contains this text, in any case; absent: always.
    pub when: Option<String>,
    /// Used only after a tool has answered (`true`) or only before (`false`); absent: before, if the reply calls tools,
    /// else both.
    pub after_tools: Option<bool>,
    /// Used so many times, then passed over; absent: always.
    pub times: Option<u32>,
    /// What it says. `{query}` stands for the last user message, `{tool}` for the last tool's answer.
    pub text: Option<String>,
    /// Reasoning before the text.
    pub reasoning: Option<String>,
    /// Tools it calls, after the text.
    pub tool_calls: Vec<Call>,
    /// Tokens a second; 0 is as fast as possible; absent: as the provider's.
    pub tokens_per_second: Option<u32>,
    /// Wait before the first token, in milliseconds.
    pub first_token_ms: u64,
    /// How it fails.
    pub fault: Option<Trouble>,
    /// Tokens to report instead of counted words.
    pub usage: Option<Tokens>,
}

/// A tool call.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The tool.
    pub name: String,
    /// Its arguments: an object, in whose texts `{query}` stands for the last user message; or text to be sent as it is
    /// (for broken JSON).
    #[serde(default)]
    pub arguments: serde_json::Value,
}

/// Tokens to report.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tokens {
    /// Input tokens charged in full.
    pub input: u64,
    /// Input tokens read from the prompt cache.
    pub cache_read: u64,
    /// Output tokens of text and calls.
    pub output: u64,
    /// Output tokens of reasoning.
    pub reasoning: u64,
}

/// A way to fail.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// The provider answers with an error status before saying anything.
    Status(Status),
    /// The provider's account has no quota left.
    Quota {},
    /// The provider's filter refuses.
    ContentFilter {},
    /// The provider never answers.
    Hang {},
    /// The stream breaks off after so many tokens.
    Cut {
        /// Tokens before the break.
        after_tokens: u32,
    },
    /// The stream says nothing more after so many tokens.
    Stall {
        /// Tokens before the silence.
        after_tokens: u32,
    },
}

/// An error status.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// The HTTP status, 400 to 599.
    #[schemars(range(min = 400, max = 599))]
    pub code: u16,
    /// What `retry-after` says, in milliseconds.
    #[serde(default)]
    pub retry_after_ms: Option<u64>,
}

impl Reply {
    /// Whether it neither says, calls nor fails.
    pub(super) fn says_nothing(&self) -> bool {
        self.text.is_none() && self.reasoning.is_none() && self.tool_calls.is_empty() && self.fault.is_none()
    }

    fn fits(&self, query: &str, after_tools: bool) -> bool {
        let wanted = self.after_tools.or_else(|| (!self.tool_calls.is_empty()).then_some(false));
        let said = self.when.as_ref().is_none_or(|text| query.to_lowercase().contains(&text.to_lowercase()));
        said && wanted.is_none_or(|wanted| wanted == after_tools)
    }
}

/// Replies, and how often each was used.
#[derive(Debug)]
pub(super) struct Script {
    replies: Vec<(Reply, AtomicU32)>,
    tokens_per_second: u32,
}

/// A reply ready to be spoken.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    pub(super) reply: Reply,
    pub(super) tokens_per_second: u32,
    pub(super) usage: Option<Usage>,
}

impl Script {
    pub(super) fn new(replies: Vec<Reply>, tokens_per_second: u32) -> Self {
        Self { replies: replies.into_iter().map(|r| (r, AtomicU32::new(0))).collect(), tokens_per_second }
    }

    /// The reply to this request.
    pub(super) fn next(&self, request: &ModelRequest) -> Turn {
        let query = last_query(&request.messages);
        let tool = last_tool_answer(&request.messages);
        let fitting = self.replies.iter().filter(|(reply, _)| reply.fits(&query, tool.is_some()));
        let mut reply = fitting
            .filter(|(r, used)| take(used, r.times))
            .map(|(r, _)| r.clone())
            .next()
            .unwrap_or_else(echo);
        let fill = |text: &String| {
            text.replace("{query}", &query).replace("{tool}", tool.as_deref().unwrap_or_default())
        };
        reply.text = reply.text.as_ref().map(fill);
        let ask = |text: &str| text.replace("{query}", &query);
        reply
            .tool_calls
            .iter_mut()
            .filter(|call| call.arguments.is_object())
            .for_each(|call| fill_in(&mut call.arguments, &ask));
        let usage = reply.usage.map(|t| Usage {
            input_uncached: t.input,
            cache_read: t.cache_read,
            output: t.output,
            reasoning: t.reasoning,
            ..Usage::default()
        });
        Turn { tokens_per_second: reply.tokens_per_second.unwrap_or(self.tokens_per_second), usage, reply }
    }
}

/// Puts words into the texts of a value.
fn fill_in(value: &mut serde_json::Value, fill: &dyn Fn(&str) -> String) {
    match value {
        serde_json::Value::String(text) => *text = fill(text),
        serde_json::Value::Array(items) => items.iter_mut().for_each(|item| fill_in(item, fill)),
        serde_json::Value::Object(fields) => fields.values_mut().for_each(|value| fill_in(value, fill)),
        _ => {}
    }
}

/// Takes one of the reply's uses, if any is left.
fn take(used: &AtomicU32, times: Option<u32>) -> bool {
    let Some(times) = times else { return true };
    used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| (n < times).then_some(n + 1)).is_ok()
}

fn echo() -> Reply {
    let text = "This is the scripted provider, not a model. You said: {query}";
    Reply { text: Some(text.to_owned()), ..Reply::default() }
}

fn last_query(messages: &[Message]) -> String {
    messages.iter().rev().find(|m| m.role == Role::User).map(Message::joined_text).unwrap_or_default()
}

/// The last tool's answer, if the conversation waits for the model after one.
fn last_tool_answer(messages: &[Message]) -> Option<String> {
    let parts = &messages.last()?.parts;
    parts.iter().rev().find_map(|p| if let Part::ToolResult(r) = p { Some(r.content.clone()) } else { None })
}
