//! Messages of a conversation as callers read them: what was said and done, without what only a model's vendor needs.

use mainstay_core::message::{Media, MediaSource, Message, Part, Role};
use schemars::JsonSchema;
use serde::Serialize;

/// A message.
#[derive(Serialize, JsonSchema)]
pub(crate) struct MessageView {
    role: RoleWord,
    content: Vec<PartView>,
}

/// Who speaks.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum RoleWord {
    System,
    User,
    Assistant,
    Tool,
}

/// A piece of a message.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
enum PartView {
    /// Text.
    Text { text: String },
    /// The model's reasoning, as far as its vendor shows it.
    Reasoning { text: String },
    /// A picture.
    Image(MediaView),
    /// A document.
    Document(MediaView),
    /// The model asks for a tool; the arguments are JSON text as the model wrote it.
    ToolCall { id: String, name: String, arguments: String },
    /// What a tool answered.
    ToolResult { call_id: String, name: Option<String>, content: String, is_error: bool },
    /// A block of a vendor's own.
    Opaque { dialect: String },
}

/// A picture or document; the address, or the content in base64.
#[derive(Serialize, JsonSchema)]
struct MediaView {
    media_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

impl From<Message> for MessageView {
    fn from(message: Message) -> Self {
        let role = match message.role {
            Role::System => RoleWord::System,
            Role::User => RoleWord::User,
            Role::Assistant => RoleWord::Assistant,
            Role::Tool => RoleWord::Tool,
        };
        Self { role, content: message.parts.into_iter().map(PartView::from).collect() }
    }
}

impl From<Part> for PartView {
    fn from(part: Part) -> Self {
        match part {
            Part::Text(text) => Self::Text { text },
            Part::Reasoning(reasoning) => Self::Reasoning { text: reasoning.text },
            Part::Image(media) => Self::Image(media.into()),
            Part::Document(media) => Self::Document(media.into()),
            Part::ToolCall(call) => {
                Self::ToolCall { id: call.id, name: call.name, arguments: call.arguments }
            }
            Part::ToolResult(result) => Self::ToolResult {
                call_id: result.call_id,
                name: result.name,
                content: result.content,
                is_error: result.is_error,
            },
            Part::Opaque { dialect, .. } => Self::Opaque { dialect },
        }
    }
}

impl From<Media> for MediaView {
    fn from(media: Media) -> Self {
        let (url, base64) = match media.source {
            MediaSource::Url(url) => (Some(url), None),
            MediaSource::Base64(content) => (None, Some(content)),
        };
        Self { media_type: media.media_type, url, base64 }
    }
}
