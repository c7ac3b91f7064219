//! `scripted`: says what it is told to, deterministically, and fails as it is told to. For tests, demos and development
//! without a key or a network. It is no model: its answers are in the spec.

mod script;
mod speak;
mod vectors;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use mainstay_core::embedding::{EmbedRequest, Embeddings};
use mainstay_core::model::{ModelRequest, ModelStream, ResponseFormat};
use mainstay_core::provider::{Capabilities, ModelCard, Provider, WireRequest, WireResponse};
use mainstay_core::{Ctx, Error, Fault, KindDef, Result, codes};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Def, Opening, no_library_models};
use crate::wire::after_dropped;
use script::{Reply, Script};

/// The registry's line.
pub const DEF: Def = Def {
    kind: KindDef {
        kind: "scripted",
        about: "Says what the spec tells it to, deterministically, with faults on demand; no network and no key.",
        schema,
        check,
    },
    open,
    library_models: no_library_models,
    files,
};

/// Settings of a scripted provider.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Replies, the first that matches is used. Without any, the provider repeats what it was asked.
    pub replies: Vec<Reply>,
    /// A JSON file with more replies (an array), appended to `replies`; relative to the spec.
    pub file: Option<String>,
    /// Tokens a second of replies that do not say their own; 0 (the default) is as fast as possible.
    pub tokens_per_second: u32,
}

/// Bytes of a file of replies.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

fn schema() -> Value {
    schemars::schema_for!(Settings).to_value()
}

fn check(settings: &Value) -> Vec<Fault> {
    let Ok(parsed) = serde_json::from_value::<Settings>(settings.clone()) else { return Vec::new() };
    let invalid = |at: usize, message: &str| Fault {
        code: &codes::CONFIG_VALUE,
        pointer: format!("/replies/{at}"),
        message: message.to_owned(),
        help: Some("give it `text`, `tool_calls` or `fault`".to_owned()),
    };
    let replies = parsed.replies.iter().enumerate();
    replies
        .filter(|(_, reply)| reply.says_nothing())
        .map(|(at, _)| invalid(at, "the reply says nothing"))
        .collect()
}

fn files(settings: &Value) -> Vec<String> {
    settings["file"].as_str().map(str::to_owned).into_iter().collect()
}

fn open(opening: Opening<'_>) -> Result<Arc<dyn Provider>> {
    let mut settings: Settings = serde_json::from_value(opening.settings.clone())
        .map_err(|e| Error::bug("settings passed the schema but do not parse").with_source(e))?;
    if let Some(file) = &settings.file {
        settings.replies.extend(read_replies(&opening.folder.join(file))?);
    }
    Ok(Arc::new(Scripted { script: Script::new(settings.replies, settings.tokens_per_second) }))
}

fn read_replies(path: &Path) -> Result<Vec<Reply>> {
    use std::io::Read as _;
    let fault = |what: String| {
        Error::new(&codes::CONFIG_FILE, format!("read replies from `{}`: {what}", path.display()))
    };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|e| fault(e.to_string()))?;
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(|e| fault(e.to_string()))?;
    serde_json::from_str(&text).map_err(|e| fault(e.to_string()))
}

/// The provider.
#[derive(Debug)]
struct Scripted {
    script: Script,
}

#[async_trait]
impl Provider for Scripted {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            dialects: &[],
            tools: true,
            images: true,
            json_schema: false,
            lists_models: true,
            embeddings: true,
        }
    }

    async fn complete(&self, _: &Ctx, request: ModelRequest) -> Result<ModelStream> {
        if matches!(request.response_format, ResponseFormat::JsonSchema { .. }) {
            let message = "hold the answer to a schema: the scripted provider says what its script says";
            return Err(Error::new(&codes::UNSUPPORTED, message));
        }
        let turn = self.script.next(&request);
        let dropped = request.rest.fields.keys().cloned().collect();
        Ok(after_dropped(dropped, speak::speak(turn, request).await?))
    }

    async fn forward(&self, _: &Ctx, request: WireRequest) -> Result<WireResponse> {
        let dialect = request.dialect.0;
        Err(Error::new(&codes::UNSUPPORTED, format!("the scripted provider does not speak `{dialect}`")))
    }

    async fn models(&self, _: &Ctx) -> Result<Vec<ModelCard>> {
        Ok(vec![ModelCard { id: "scripted".to_owned() }])
    }

    async fn embed(&self, _: &Ctx, request: EmbedRequest) -> Result<Embeddings> {
        Ok(vectors::embed(&request))
    }
}

#[cfg(test)]
mod tests;
