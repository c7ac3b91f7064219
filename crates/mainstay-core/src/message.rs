//! Conversations in the canonical form that every dialect is translated to and from.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions of the operator; may stand anywhere in the list.
    System,
    /// The person or program that asks.
    User,
    /// The model.
    Assistant,
    /// Results of tool calls.
    Tool,
}

/// One turn: a role and its parts, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said, in order. Tool calls stand among the parts of an assistant's message.
    pub parts: Vec<Part>,
}

/// A piece of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Plain text.
    Text(String),
    /// A picture, by address or by content.
    Image(Media),
    /// A document such as a PDF, by address or by content.
    Document(Media),
    /// The model asks for a tool.
    ToolCall(ToolCall),
    /// What a tool answered.
    ToolResult(ToolResult),
    /// The model's own reasoning, with what its vendor needs to see again.
    Reasoning(Reasoning),
    /// A block this version does not know, kept whole for the dialect it came from.
    Opaque {
        /// The dialect the block belongs to.
        dialect: String,
        /// The block as received.
        value: Value,
    },
}

/// A picture or document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Media {
    /// The media type, e.g. `image/png`; empty when only an address is known.
    pub media_type: String,
    /// Where or what it is.
    pub source: MediaSource,
}

/// Where a picture or document comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaSource {
    /// An address that the provider fetches.
    Url(String),
    /// The content in base64.
    Base64(String),
}

/// A call that the model asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The call's id; unique within the conversation.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments as the model wrote them: JSON text, possibly invalid. Empty means no arguments.
    pub arguments: String,
    /// What the vendor wants to see again with this call (e.g. a thought signature).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opaque: Option<String>,
}

impl ToolCall {
    /// The arguments as a JSON object: `{}` for empty text, `None` when the text is not a JSON object.
    #[must_use]
    pub fn arguments_object(&self) -> Option<serde_json::Map<String, Value>> {
        if self.arguments.trim().is_empty() {
            return Some(serde_json::Map::new());
        }
        serde_json::from_str(&self.arguments).ok()
    }
}

/// The answer to a tool call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolResult {
    /// The id of the call it answers.
    pub call_id: String,
    /// The tool's name, where the dialect carries it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the tool said.
    pub content: String,
    /// Whether the tool failed.
    #[serde(default)]
    pub is_error: bool,
}

/// A stretch of the model's reasoning.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reasoning {
    /// Readable reasoning; empty when the vendor hides it.
    pub text: String,
    /// The vendor's signature or encrypted form; must go back unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// Whether `signature` holds redacted reasoning rather than a signature over `text`.
    #[serde(default)]
    pub redacted: bool,
}

impl Message {
    /// A message of one text part.
    #[must_use]
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self { role, parts: vec![Part::Text(text.into())] }
    }

    /// All text parts, joined.
    #[must_use]
    pub fn joined_text(&self) -> String {
        self.parts
            .iter()
            .filter_map(|p| if let Part::Text(t) = p { Some(t.as_str()) } else { None })
            .collect()
    }

    /// The tool calls among the parts, in order.
    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.parts.iter().filter_map(|p| if let Part::ToolCall(c) = p { Some(c) } else { None })
    }
}
