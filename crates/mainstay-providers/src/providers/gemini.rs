//! `gemini`: Google's Gemini API (Generative Language).
//! Wire format: <https://ai.google.dev/api/generate-content>. The conformance suite drives it.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use http::header::{HeaderMap, HeaderName};
use mainstay_core::embedding::{EmbedRequest, Embeddings};
use mainstay_core::model::{ModelRequest, ModelStream};
use mainstay_core::provider::{Capabilities, ModelCard, Provider, WireRequest, WireResponse};
use mainstay_core::{Ctx, Error, Fault, KindDef, Result};
use mainstay_dialects::codec::EncodeOptions;
use mainstay_dialects::{embeddings, gemini};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Def, Opening, no_files, no_library_models, read_key, secret_fault};
use crate::wire::{Endpoint, add_headers, check_common, escaped, secret_header};

/// The registry's line.
pub const DEF: Def = Def {
    kind: KindDef { kind: "gemini", about: "Google's Gemini API.", schema, check },
    open,
    library_models: no_library_models,
    files: no_files,
};

/// Settings of a Gemini endpoint.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// A reference to the API key, e.g. `env:GEMINI_API_KEY`. Absent: no key is sent.
    #[schemars(extend("x-form" = "secret", "examples" = ["env:GEMINI_API_KEY"]))]
    pub api_key: Option<String>,
    /// The base URL, with the API's version.
    pub base_url: String,
    /// Headers sent with every call.
    pub headers: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        let base_url = "https://generativelanguage.googleapis.com/v1beta".to_owned();
        Self { api_key: None, base_url, headers: BTreeMap::new() }
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
        headers.insert(HeaderName::from_static("x-goog-api-key"), secret_header(key.expose())?);
    }
    add_headers(&mut headers, &settings.headers);
    Ok(Arc::new(Gemini(Endpoint {
        client: opening.client.clone(),
        codec: &gemini::CODEC,
        base_url: settings.base_url.trim_end_matches('/').to_owned(),
        headers,
        options: EncodeOptions::default(),
    })))
}

struct Gemini(Endpoint);

/// The model stands in the path, and so does the choice to stream.
fn path(model: &str, stream: bool) -> String {
    let model = escaped(model.strip_prefix("models/").unwrap_or(model));
    if stream {
        format!("/models/{model}:streamGenerateContent?alt=sse")
    } else {
        format!("/models/{model}:generateContent")
    }
}

#[async_trait]
impl Provider for Gemini {
    fn capabilities(&self) -> Capabilities {
        let dialects = &[gemini::DIALECT];
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
        let path = path(&request.model, request.stream);
        self.0.complete(ctx, &path, request).await
    }

    async fn forward(&self, ctx: &Ctx, request: WireRequest) -> Result<WireResponse> {
        let path = path(&request.model, request.stream);
        self.0.forward(ctx, &path, request).await
    }

    async fn models(&self, ctx: &Ctx) -> Result<Vec<ModelCard>> {
        self.0.models(ctx, "/models", |token| format!("?pageToken={token}")).await
    }

    async fn embed(&self, ctx: &Ctx, request: EmbedRequest) -> Result<Embeddings> {
        let model = request.model.strip_prefix("models/").unwrap_or(&request.model);
        let path = format!("/models/{}:batchEmbedContents", escaped(model));
        let answer = self.0.embed(ctx, &path, embeddings::gemini::encode_request(&request)).await?;
        embeddings::gemini::decode_response(&answer, &request)
    }
}
