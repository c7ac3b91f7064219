//! `local`: a GGUF model that runs in this process, on the processor, without a key or a network.
//! Llama architectures with eight- or four-bit weights. It speaks the canonical form alone; a small model is for trying
//! things out, not for work that needs a large one.

use std::sync::Arc;

use async_trait::async_trait;
use mainstay_core::model::{ModelRequest, ModelStream};
use mainstay_core::provider::{Capabilities, ModelCard, Provider, WireRequest, WireResponse};
use mainstay_core::{Ctx, Error, Fault, KindDef, Result, codes};
use mainstay_local::library::{DEFAULT_MODEL, Library, find};
use mainstay_local::{Engine, EngineOptions};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Def, Opening};
use crate::wire::after_dropped;

/// The registry's line.
pub const DEF: Def = Def {
    kind: KindDef {
        kind: "local",
        about: "A GGUF model that runs in this process: no key, no network; small models only.",
        schema,
        check,
    },
    open,
    library_models,
    files,
};

/// Settings of a local model.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// A model of the library (see `mainstay models list`). Default: `smollm2-135m-instruct`.
    pub model: Option<String>,
    /// A GGUF file instead, relative to the spec.
    pub path: Option<String>,
    /// Threads that compute. Default: the machine's processors, at most 4.
    #[schemars(range(min = 1, max = 64))]
    pub threads: Option<usize>,
    /// Most tokens of a conversation, prompt and answer together. Default: 4096, or the model's own limit.
    #[schemars(range(min = 128, max = 131072))]
    pub context_tokens_max: Option<usize>,
}

fn schema() -> Value {
    schemars::schema_for!(Settings).to_value()
}

fn parse(settings: &Value) -> Option<Settings> {
    serde_json::from_value(settings.clone()).ok()
}

fn check(settings: &Value) -> Vec<Fault> {
    let Some(settings) = parse(settings) else { return Vec::new() };
    let fault = |pointer: &str, message: &str, help: &str| Fault {
        code: &codes::CONFIG_VALUE,
        pointer: pointer.to_owned(),
        message: message.to_owned(),
        help: Some(help.to_owned()),
    };
    match (&settings.model, &settings.path) {
        (Some(_), Some(_)) => vec![fault("/path", "both `model` and `path` are given", "keep one of them")],
        (Some(model), None) if Library::new("").file(model).is_none() => {
            vec![fault(
                "/model",
                &format!("`{model}` is not the name of a model"),
                "see `mainstay models list`; a file goes under `path`",
            )]
        }
        _ => Vec::new(),
    }
}

fn library_models(settings: &Value) -> Vec<String> {
    match parse(settings) {
        Some(Settings { path: Some(_), .. }) | None => Vec::new(),
        Some(settings) => vec![settings.model.unwrap_or_else(|| DEFAULT_MODEL.to_owned())],
    }
}

fn files(settings: &Value) -> Vec<String> {
    settings["path"].as_str().map(str::to_owned).into_iter().collect()
}

fn open(opening: Opening<'_>) -> Result<Arc<dyn Provider>> {
    let settings =
        parse(opening.settings).ok_or_else(|| Error::bug("settings passed the schema but do not parse"))?;
    let (file, name) = match &settings.path {
        Some(path) => {
            let file = opening.folder.join(path);
            let name =
                file.file_stem().map_or_else(|| path.clone(), |stem| stem.to_string_lossy().into_owned());
            (file, name)
        }
        None => {
            let name = settings.model.clone().unwrap_or_else(|| DEFAULT_MODEL.to_owned());
            let file = Library::new(opening.models_folder).file(&name);
            (file.ok_or_else(|| Error::bug(format!("`{name}` passed the check but is no model name")))?, name)
        }
    };
    let mut options = EngineOptions::new(file, name.clone());
    options.threads = settings.threads.unwrap_or(options.threads);
    options.missing_help = match (&settings.path, find(&name)) {
        (Some(_), _) => "`path` starts at the spec's folder".to_owned(),
        (None, Some(_)) => format!("run `mainstay models pull {name}`"),
        (None, None) => "run `mainstay models list` to see what is here and what can be pulled".to_owned(),
    };
    options.context_tokens_max = settings.context_tokens_max.unwrap_or(options.context_tokens_max);
    Ok(Arc::new(Local { engine: Engine::open(options)?, name }))
}

/// The provider.
struct Local {
    engine: Engine,
    name: String,
}

#[async_trait]
impl Provider for Local {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            dialects: &[],
            tools: true,
            images: false,
            json_schema: false,
            lists_models: true,
            embeddings: false,
        }
    }

    async fn complete(&self, ctx: &Ctx, mut request: ModelRequest) -> Result<ModelStream> {
        let dropped = std::mem::take(&mut request.rest).fields.into_iter().map(|(name, _)| name).collect();
        Ok(after_dropped(dropped, self.engine.complete(ctx.deadline(), request).await?))
    }

    async fn forward(&self, _: &Ctx, request: WireRequest) -> Result<WireResponse> {
        let dialect = request.dialect.0;
        Err(Error::new(
            &codes::UNSUPPORTED,
            format!("pass `{dialect}` through: a local model has no wire dialect"),
        ))
    }

    fn ready(&self) -> Result<()> {
        self.engine.ready()
    }

    async fn models(&self, _: &Ctx) -> Result<Vec<ModelCard>> {
        Ok(vec![ModelCard { id: self.name.clone() }])
    }
}
