//! `anthropic`: Anthropic's Messages API, and servers with it.
//! Wire format: <https://docs.anthropic.com/en/api/messages>. The conformance suite drives it.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use mainstay_core::model::{ModelRequest, ModelStream};
use mainstay_core::provider::{Capabilities, ModelCard, Provider, WireRequest, WireResponse};
use mainstay_core::{Ctx, Error, Fault, KindDef, Result, codes};
use mainstay_dialects::anthropic;
use mainstay_dialects::codec::EncodeOptions;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Def, Opening, no_files, no_library_models, read_key, secret_fault};
use crate::wire::{Endpoint, add_headers, check_common, secret_header};

/// The registry's line.
pub const DEF: Def = Def {
    kind: KindDef { kind: "anthropic", about: "Anthropic's Messages API.", schema, check },
    open,
    library_models: no_library_models,
    files: no_files,
};

/// Settings of an Anthropic endpoint.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// A reference to the API key, e.g. `env:ANTHROPIC_API_KEY`. Absent: no key is sent.
    #[schemars(extend("x-form" = "secret", "examples" = ["env:ANTHROPIC_API_KEY"]))]
    pub api_key: Option<String>,
    /// The base URL, without `/v1`.
    pub base_url: String,
    /// The API version sent where the caller sends none.
    pub version: String,
    /// Headers sent with every call.
    pub headers: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            api_key: None,
            base_url: "https://api.anthropic.com".to_owned(),
            version: "2023-06-01".to_owned(),
            headers: BTreeMap::new(),
        }
    }
}

const VERSION: HeaderName = HeaderName::from_static("anthropic-version");

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
        headers.insert(HeaderName::from_static("x-api-key"), secret_header(key.expose())?);
    }
    add_headers(&mut headers, &settings.headers);
    let version = HeaderValue::from_str(&settings.version).map_err(|_| {
        Error::new(
            &codes::CONFIG_VALUE,
            "use the API version: it holds characters that a header cannot carry",
        )
    })?;
    let endpoint = Endpoint {
        client: opening.client.clone(),
        codec: &anthropic::CODEC,
        base_url: settings.base_url.trim_end_matches('/').to_owned(),
        headers,
        options: EncodeOptions::default(),
    };
    let mut versioned = endpoint.clone();
    versioned.headers.insert(VERSION, version);
    Ok(Arc::new(Anthropic { endpoint, versioned }))
}

struct Anthropic {
    /// For calls that bring their own version.
    endpoint: Endpoint,
    /// For calls of ours.
    versioned: Endpoint,
}

#[async_trait]
impl Provider for Anthropic {
    fn capabilities(&self) -> Capabilities {
        let dialects = &[anthropic::DIALECT];
        Capabilities {
            dialects,
            tools: true,
            images: true,
            json_schema: true,
            lists_models: true,
            embeddings: false,
        }
    }

    async fn complete(&self, ctx: &Ctx, request: ModelRequest) -> Result<ModelStream> {
        self.versioned.complete(ctx, "/v1/messages", request).await
    }

    async fn forward(&self, ctx: &Ctx, request: WireRequest) -> Result<WireResponse> {
        let brings_version = request.headers.iter().any(|(name, _)| *name == VERSION.as_str());
        let endpoint = if brings_version { &self.endpoint } else { &self.versioned };
        endpoint.forward(ctx, "/v1/messages", request).await
    }

    async fn models(&self, ctx: &Ctx) -> Result<Vec<ModelCard>> {
        self.versioned.models(ctx, "/v1/models", |after| format!("?after_id={after}")).await
    }
}
