//! Asking a model: the canonical request, the events of its answer, and the port that engines call.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::message::{Message, Part, Reasoning, Role, ToolCall};
use crate::tool::ToolSpec;
use crate::{BoxStream, Ctx, Result};

/// The events of one answer, in order; the first error ends it. Dropping it cancels the call upstream.
pub type ModelStream = BoxStream<Result<ModelEvent>>;

/// A request in canonical form.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelRequest {
    /// The model's name: as agents know it above the gateway, as the provider knows it below.
    pub model: String,
    /// The conversation, instructions included (role `System`).
    pub messages: Vec<Message>,
    /// Tools the model may call.
    pub tools: Vec<ToolSpec>,
    /// Whether it must, may or must not call one.
    pub tool_choice: ToolChoice,
    /// Whether several calls may come in one answer; the provider's default when absent.
    pub parallel_tool_calls: Option<bool>,
    /// Most tokens of output.
    pub max_tokens: Option<u32>,
    /// What to ask for where a dialect demands a number and `max_tokens` is absent.
    pub max_tokens_default: Option<u32>,
    /// Sampling temperature, 0 to 2.
    pub temperature: Option<f64>,
    /// Nucleus sampling, 0 to 1.
    pub top_p: Option<f64>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// Seed for reproducible sampling, where the provider has one.
    pub seed: Option<i64>,
    /// The form the answer must take.
    pub response_format: ResponseFormat,
    /// How much the model should reason, in the field's words (`low`, `medium`, `high`, …).
    pub reasoning_effort: Option<String>,
    /// Whether the caller reads the answer as it comes. A provider may use a cheaper call when it does not.
    pub stream: bool,
    /// Fields of the caller's dialect that have no canonical form, with that dialect's name. A provider of the
    /// same dialect passes them on; another drops them and reports their names.
    pub rest: Rest,
}

/// Fields without a canonical form.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rest {
    /// The dialect the fields belong to; empty when there are none.
    pub dialect: String,
    /// The fields as received, in order.
    pub fields: Map<String, Value>,
}

/// Whether the model must, may or must not call a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// No call.
    None,
    /// At least one call.
    Required,
    /// This tool.
    Tool(String),
}

/// The form an answer must take.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ResponseFormat {
    /// Free text.
    #[default]
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON that fits a schema.
    JsonSchema {
        /// The schema's name.
        name: String,
        /// JSON Schema.
        schema: Value,
        /// Whether the provider must enforce it.
        strict: bool,
    },
}

/// A step of an answer.
///
/// Order: `Dropped` if there is cause for it, `Start`, then any number of deltas, then `Usage` and `Finish` once each
/// (in either order), then the end. Tool calls may be interleaved by `index`; a call's `ToolCallStart` precedes its
/// deltas. `Alive` may stand anywhere.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelEvent {
    /// Fields of the request that this target cannot carry, as dotted paths; never empty.
    Dropped(Vec<String>),
    /// The answer begins.
    Start {
        /// The answer's id at the provider.
        id: String,
        /// The model as the provider named it.
        model: String,
    },
    /// More text.
    Text(String),
    /// More reasoning. `signature` comes with the last piece of a stretch.
    Reasoning(Reasoning),
    /// A tool call begins.
    ToolCallStart {
        /// Position among the answer's calls.
        index: u32,
        /// The call's id (made up deterministically where the vendor has none).
        id: String,
        /// The tool's name.
        name: String,
        /// What the vendor wants back with the call.
        opaque: Option<String>,
    },
    /// More of a call's arguments (a piece of JSON text).
    ToolCallDelta {
        /// Position among the answer's calls.
        index: u32,
        /// The piece.
        arguments: String,
    },
    /// What the call cost in tokens; cumulative, the last one holds.
    Usage(Usage),
    /// Why the answer ended.
    Finish(FinishReason),
    /// Something came that says nothing yet (a ping, a comment, a piece of a larger event): the provider is at work.
    /// It tells work from silence to whoever bounds the wait, which is the gateway; nobody above it sees this event.
    Alive,
}

/// Why an answer ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model was done, or met a stop text.
    Stop,
    /// The token limit.
    Length,
    /// The model waits for tool results.
    ToolCalls,
    /// The provider's filter or the model's refusal.
    ContentFilter,
    /// The provider paused a long turn; ask again to continue.
    Pause,
    /// Another reason, in the provider's word.
    Other(String),
}

impl FinishReason {
    /// The reason in one word (`stop`, `length`, `tool_calls`, `content_filter`, `pause`, or the provider's).
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
            Self::Pause => "pause",
            Self::Other(word) => word,
        }
    }
}

/// Tokens of one or several calls. All classes are disjoint: totals are sums. Counts come from others, who may report
/// anything: no sum overflows, it stays at the largest number instead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Input tokens charged in full.
    pub input_uncached: u64,
    /// Input tokens read from the provider's prompt cache.
    pub cache_read: u64,
    /// Input tokens written to a cache that lives five minutes (or the vendor's only kind).
    pub cache_write_5m: u64,
    /// Input tokens written to a cache that lives an hour.
    pub cache_write_1h: u64,
    /// Output tokens of text and tool calls.
    pub output: u64,
    /// Output tokens of reasoning.
    pub reasoning: u64,
}

impl Usage {
    /// Most tokens of one class that are believed of one report: far more than any call takes, and few enough for the
    /// sums of millions of them.
    pub const TOKENS_MAX: u64 = 1 << 40;

    /// What is believed of a report: each class up to [`Usage::TOKENS_MAX`]. For whoever reads counts of others.
    #[must_use]
    pub fn clamped(self) -> Self {
        let believed = |count: u64| count.min(Self::TOKENS_MAX);
        Self {
            input_uncached: believed(self.input_uncached),
            cache_read: believed(self.cache_read),
            cache_write_5m: believed(self.cache_write_5m),
            cache_write_1h: believed(self.cache_write_1h),
            output: believed(self.output),
            reasoning: believed(self.reasoning),
        }
    }

    /// All input tokens, cached ones included.
    #[must_use]
    pub fn input_total(&self) -> u64 {
        self.input_uncached.saturating_add(self.cache_read).saturating_add(self.cache_write_total())
    }

    /// All input tokens written to a cache.
    #[must_use]
    pub fn cache_write_total(&self) -> u64 {
        self.cache_write_5m.saturating_add(self.cache_write_1h)
    }

    /// All output tokens, reasoning included.
    #[must_use]
    pub fn output_total(&self) -> u64 {
        self.output.saturating_add(self.reasoning)
    }

    /// Input and output together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.input_total().saturating_add(self.output_total())
    }
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        let add = |slot: &mut u64, count: u64| *slot = slot.saturating_add(count);
        add(&mut self.input_uncached, other.input_uncached);
        add(&mut self.cache_read, other.cache_read);
        add(&mut self.cache_write_5m, other.cache_write_5m);
        add(&mut self.cache_write_1h, other.cache_write_1h);
        add(&mut self.output, other.output);
        add(&mut self.reasoning, other.reasoning);
    }
}

/// The port through which engines ask models. Implemented by the gateway.
#[async_trait]
pub trait ModelClient: Send + Sync {
    /// Asks `request.model` (a name of the spec). Returns when the first event of the answer is at hand, so that
    /// fallback happens before anything is shown. Not idempotent: each call is paid for. Cancel by dropping.
    /// Errors: `MODEL_NOT_FOUND`, and the `PROVIDER_*` codes of the last target tried.
    async fn complete(&self, ctx: &Ctx, request: ModelRequest) -> Result<ModelStream>;
}

/// A whole answer, assembled from its events.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// The answer's id at the provider.
    pub id: String,
    /// The model as the provider named it.
    pub model: String,
    /// The assistant's message.
    pub message: Message,
    /// Why it ended.
    pub finish: FinishReason,
    /// What it cost.
    pub usage: Usage,
}

/// Builds a [`Completion`] from events, one at a time.
#[derive(Debug, Default)]
pub struct Assembler {
    id: String,
    model: String,
    parts: Vec<Part>,
    calls: Vec<(u32, usize)>,
    finish: Option<FinishReason>,
    usage: Usage,
}

impl Assembler {
    /// Takes the next event.
    pub fn push(&mut self, event: &ModelEvent) {
        match event {
            ModelEvent::Start { id, model } => {
                self.id.clone_from(id);
                self.model.clone_from(model);
            }
            ModelEvent::Text(text) => match self.parts.last_mut() {
                Some(Part::Text(so_far)) => so_far.push_str(text),
                _ => self.parts.push(Part::Text(text.clone())),
            },
            ModelEvent::Reasoning(piece) => self.push_reasoning(piece),
            ModelEvent::ToolCallStart { index, id, name, opaque } => {
                self.calls.push((*index, self.parts.len()));
                let (id, name, opaque) = (id.clone(), name.clone(), opaque.clone());
                self.parts.push(Part::ToolCall(ToolCall { id, name, arguments: String::new(), opaque }));
            }
            ModelEvent::ToolCallDelta { index, arguments } => {
                let place = self.calls.iter().rev().find(|(i, _)| i == index).map(|(_, place)| *place);
                if let Some(Part::ToolCall(call)) = place.and_then(|p| self.parts.get_mut(p)) {
                    call.arguments.push_str(arguments);
                }
            }
            ModelEvent::Usage(usage) => self.usage = *usage,
            ModelEvent::Finish(reason) => self.finish = Some(reason.clone()),
            ModelEvent::Dropped(_) | ModelEvent::Alive => {}
        }
    }

    fn push_reasoning(&mut self, piece: &Reasoning) {
        if let Some(Part::Reasoning(so_far)) = self.parts.last_mut()
            && so_far.signature.is_none()
            && !piece.redacted
        {
            so_far.text.push_str(&piece.text);
            so_far.signature.clone_from(&piece.signature);
            return;
        }
        self.parts.push(Part::Reasoning(piece.clone()));
    }

    /// The answer so far. Without a finish reason it is `tool_calls` when there are calls, else `stop`.
    #[must_use]
    pub fn finish(self) -> Completion {
        let fallback = if self.calls.is_empty() { FinishReason::Stop } else { FinishReason::ToolCalls };
        Completion {
            id: self.id,
            model: self.model,
            message: Message { role: Role::Assistant, parts: self.parts },
            finish: self.finish.unwrap_or(fallback),
            usage: self.usage,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interleaved_tool_calls_are_assembled_by_index() {
        let mut assembler = Assembler::default();
        let start = |index, id: &str| ModelEvent::ToolCallStart {
            index,
            id: id.into(),
            name: "t".into(),
            opaque: None,
        };
        let delta = |index, text: &str| ModelEvent::ToolCallDelta { index, arguments: text.into() };
        for event in [start(0, "a"), start(1, "b"), delta(0, "{\"x\""), delta(1, "{}"), delta(0, ":1}")] {
            assembler.push(&event);
        }
        let done = assembler.finish();
        let calls: Vec<_> =
            done.message.tool_calls().map(|c| (c.id.as_str(), c.arguments.as_str())).collect();
        assert_eq!(calls, [("a", "{\"x\":1}"), ("b", "{}")]);
        assert_eq!(done.finish, FinishReason::ToolCalls);
    }

    #[test]
    fn usage_classes_are_disjoint() {
        let usage = Usage {
            input_uncached: 1,
            cache_read: 2,
            cache_write_5m: 4,
            cache_write_1h: 8,
            output: 16,
            reasoning: 32,
        };
        assert_eq!((usage.input_total(), usage.output_total(), usage.total()), (15, 48, 63));
    }

    #[test]
    fn no_counts_overflow_a_sum() {
        let most = u64::MAX;
        let hostile = Usage {
            input_uncached: most,
            cache_read: most,
            cache_write_5m: most,
            cache_write_1h: most,
            output: most,
            reasoning: most,
        };
        let mut sum = hostile;
        sum += hostile;
        assert_eq!(sum, hostile);
        assert_eq!((sum.input_total(), sum.cache_write_total(), sum.output_total()), (most, most, most));
        assert_eq!((sum.total(), hostile.clamped().total()), (most, 6 * Usage::TOKENS_MAX));
    }
}
