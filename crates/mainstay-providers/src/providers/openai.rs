//! `openai`: OpenAI and every server with its chat completions API (vLLM, Ollama, llama.cpp, Groq, …).
//! Wire format: <https://platform.openai.com/docs/api-reference/chat>. The conformance suite drives it.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use http::header::{AUTHORIZATION, HeaderMap};
use mainstay_core::embedding::{EmbedRequest, Embeddings};
use mainstay_core::model::{ModelRequest, ModelStream};
use mainstay_core::provider::{Capabilities, ModelCard, Provider, WireRequest, WireResponse};
use mainstay_core::{Ctx, Error, Fault, KindDef, Result};
use mainstay_dialects::codec::EncodeOptions;
use mainstay_dialects::{embeddings, openai_chat};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Def, Opening, no_files, no_library_models, read_key, secret_fault};
use crate::wire::{Endpoint, add_headers, check_common, secret_header};

/// The registry's line.
pub const DEF: Def = Def {
    kind: KindDef {
        kind: "openai",
        about: "OpenAI, and any server with its chat completions API.",
        schema,
        check,
    },
    open,
    library_models: no_library_models,
    files: no_files,
};

/// Settings of an OpenAI-compatible endpoint.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// A reference to the API key, e.g. `env:OPENAI_API_KEY`. Absent: no key is sent.
    #[schemars(extend("x-form" = "secret", "examples" = ["env:OPENAI_API_KEY"]))]
    pub api_key: Option<String>,
    /// The base URL, `/v1` included.
    pub base_url: String,
    /// Headers sent with every call.
    pub headers: BTreeMap<String, String>,
    /// Whether the bound on output goes by the older name `max_tokens`, which most compatible servers know.
    /// Default: true unless `base_url` is OpenAI's own.
    pub legacy_max_tokens: Option<bool>,
    /// Whether reasoning and call signatures go back with the conversation.
    pub send_reasoning: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            api_key: None,
            base_url: "https://api.openai.com/v1".to_owned(),
            headers: BTreeMap::new(),
            legacy_max_tokens: None,
            send_reasoning: false,
        }
    }
}

fn schema() -> Value {
    schemars::schema_for!(Settings).to_value()
}

fn check(settings: &Value) -> Vec<Fault> {
    let Ok(settings) = serde_json::from_value::<Settings>(settings.clone()) else { return Vec::new() };
    let mut faults = check_common(&settings.base_url, &settings.headers);
    faults.extend(secret_fault("/api_key", settings.api_key.as_deref()));
    faults
}

fn open(opening: Opening<'_>) -> Result<Arc<dyn Provider>> {
    let settings: Settings = serde_json::from_value(opening.settings.clone())
        .map_err(|e| Error::bug("settings passed the schema but do not parse").with_source(e))?;
    let mut headers = HeaderMap::new();
    if let Some(key) = read_key(opening.secrets, settings.api_key.as_deref())? {
        headers.insert(AUTHORIZATION, secret_header(&format!("Bearer {}", key.expose()))?);
    }
    add_headers(&mut headers, &settings.headers);
    let base_url = settings.base_url.trim_end_matches('/').to_owned();
    let own = base_url.starts_with("https://api.openai.com");
    let options = EncodeOptions {
        legacy_max_tokens: settings.legacy_max_tokens.unwrap_or(!own),
        send_reasoning: settings.send_reasoning,
        ..EncodeOptions::default()
    };
    let codec = &openai_chat::CODEC;
    Ok(Arc::new(OpenAi(Endpoint { client: opening.client.clone(), codec, base_url, headers, options })))
}

struct OpenAi(Endpoint);

#[async_trait]
impl Provider for OpenAi {
    fn capabilities(&self) -> Capabilities {
        let dialects = &[openai_chat::DIALECT];
        Capabilities {
            dialects,
            tools: true,
            images: true,
            json_schema: true,
            lists_models: true,
            embeddings: true,
        }
    }

    async fn complete(&self, ctx: &Ctx, request: ModelRequest) -> Result<ModelStream> {
        self.0.complete(ctx, "/chat/completions", request).await
    }

    async fn forward(&self, ctx: &Ctx, request: WireRequest) -> Result<WireResponse> {
        self.0.forward(ctx, "/chat/completions", request).await
    }

    async fn models(&self, ctx: &Ctx) -> Result<Vec<ModelCard>> {
        self.0.models(ctx, "/models", |after| format!("?after={after}")).await
    }

    async fn embed(&self, ctx: &Ctx, request: EmbedRequest) -> Result<Embeddings> {
        let answer = self.0.embed(ctx, "/embeddings", embeddings::openai::encode_request(&request)).await?;
        embeddings::openai::decode_response(&answer, request.inputs.len())
    }
}
