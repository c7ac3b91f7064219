//! Embedding through a table of providers that answer as told.

use std::sync::Arc;
use std::time::Duration;

use mainstay_core::model::{ModelRequest, ModelStream};
use mainstay_core::plan::{Model, Target};
use mainstay_core::provider::{Capabilities, ModelCard, Provider, WireRequest, WireResponse};
use mainstay_core::telemetry::Telemetry;
use mainstay_core::{Code, Name, codes};
use mainstay_testkit::telemetry::{Asked, Seen};

use super::*;
use crate::Table;

/// Embeds, fails with a code, or (`None` and no vector) never answers.
struct Fake(Option<&'static Code>);

#[async_trait]
impl Provider for Fake {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            dialects: &[],
            tools: false,
            images: false,
            json_schema: false,
            lists_models: false,
            embeddings: true,
        }
    }

    async fn complete(&self, _: &Ctx, _: ModelRequest) -> Result<ModelStream> {
        Err(Error::bug("nobody asks"))
    }

    async fn forward(&self, _: &Ctx, _: WireRequest) -> Result<WireResponse> {
        Err(Error::bug("nobody asks"))
    }

    async fn models(&self, _: &Ctx) -> Result<Vec<ModelCard>> {
        Err(Error::bug("nobody asks"))
    }

    async fn embed(&self, _: &Ctx, request: EmbedRequest) -> Result<Embeddings> {
        match self.0 {
            Some(code) => Err(Error::new(code, "told to")),
            None => Ok(Embeddings { model: request.model, vectors: vec![vec![1.0]], input_tokens: 3 }),
        }
    }
}

/// Embeds at targets (provider, its model, how it fails), and gives what came of it and what was reported.
async fn embedded(targets: &[(&str, &str, Option<&'static Code>)]) -> (Result<Embeddings>, Vec<Asked>) {
    let name = |text: &str| Name::parse(text).unwrap();
    let target = |(provider, model, _): &(&str, &str, Option<&'static Code>)| Target {
        provider: name(provider),
        model: (*model).to_owned(),
    };
    let model = Model {
        targets: targets.iter().map(target).collect(),
        first_byte_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(5),
        max_tokens_default: 1,
    };
    let provider = |(provider, _, fails): &(&str, &str, Option<&'static Code>)| {
        (name(provider), Arc::new(Fake(*fails)) as Arc<dyn Provider>)
    };
    let table =
        Table { models: [(name("m"), model)].into(), providers: targets.iter().map(provider).collect() };
    let seen = Arc::new(Seen::default());
    let gateway = Gateway::new(Arc::clone(&seen) as Arc<dyn Telemetry>, table);
    let request = EmbedRequest { model: "m".into(), inputs: vec!["a".into()], dimensions: None };
    let outcome = gateway.embed(&Ctx::system(), request).await;
    (outcome, seen.models())
}

#[tokio::test]
async fn an_embedding_is_metered_under_the_name_asked_for() {
    let (answer, reports) = embedded(&[("a", "e-1", None)]).await;
    assert_eq!(answer.unwrap().model, "e-1");
    assert_eq!((reports.len(), reports[0].provider.as_str(), reports[0].outcome.as_str()), (1, "a", "ok"));
    assert_eq!(reports[0].usage.input_uncached, 3);
}

#[tokio::test]
async fn another_provider_of_the_same_model_stands_in() {
    let (answer, reports) =
        embedded(&[("a", "e-1", Some(&codes::PROVIDER_UNAVAILABLE)), ("b", "e-1", None)]).await;
    assert!(answer.is_ok());
    assert_eq!(reports.len(), 2);
}

#[tokio::test]
async fn another_model_never_stands_in() {
    let (answer, reports) =
        embedded(&[("a", "e-1", Some(&codes::PROVIDER_UNAVAILABLE)), ("b", "e-2", None)]).await;
    assert_eq!(answer.unwrap_err().code().id, "PROVIDER_UNAVAILABLE");
    assert_eq!(reports.len(), 1, "its vectors would be of another space");
}

#[tokio::test]
async fn a_request_that_is_at_fault_is_not_tried_elsewhere() {
    let (answer, reports) =
        embedded(&[("a", "e-1", Some(&codes::PROVIDER_INVALID_REQUEST)), ("b", "e-1", None)]).await;
    assert!(answer.is_err());
    assert_eq!(reports.len(), 1);
}
