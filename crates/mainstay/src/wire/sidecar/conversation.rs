//! Joins a conversation component's endpoint to the provider that speaks its dialect, by a gateway of its own: that bounds
//! the vendor's silence and accounts for each call.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use mainstay_components::conversation::{Endpoint, Vendor};
use mainstay_core::conversation::Conversation;
use mainstay_core::model::{Assembler, Completion, ModelClient as _, ModelRequest};
use mainstay_core::plan::{Model, Target};
use mainstay_core::secret::SecretSource;
use mainstay_core::telemetry::Telemetry;
use mainstay_core::{Ctx, Error, Name, Redacted, Result, SecretRef, codes};
use mainstay_gateway::{Gateway, Table};
use mainstay_net::client::Client;

/// Longest wait for the first byte of an answer, and longest silence within one.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(120);
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// Tokens asked for where a dialect demands a number.
const MAX_TOKENS_DEFAULT: u32 = 4_096;

/// The component behind an endpoint. Errors: those of opening its provider.
pub(super) fn open(
    endpoint: &Endpoint,
    telemetry: &Arc<dyn Telemetry>,
    client: &Client,
) -> Result<Arc<dyn Conversation>> {
    let vendor = match endpoint {
        Endpoint::Own(own) => return Ok(Arc::clone(own)),
        Endpoint::Vendor(vendor) => vendor,
    };
    // Within a gateway of one model its name says nothing.
    let name = Name::parse("conversation").ok_or_else(|| Error::bug("`conversation` is a name"))?;
    let def = mainstay_providers::providers::find(vendor.provider)
        .ok_or_else(|| Error::bug(format!("there is no provider `{}`", vendor.provider)))?;
    let opening = mainstay_providers::Opening {
        name: &name,
        settings: &vendor.settings,
        folder: Path::new("."),
        models_folder: Path::new("."),
        secrets: &Key(vendor.key.clone()),
        client,
    };
    let provider = (def.open)(opening)?;
    let dialect = provider.capabilities().dialects.first().map_or("", |dialect| dialect.0).to_owned();
    let model = Model {
        targets: vec![Target { provider: name.clone(), model: vendor.model.clone() }],
        first_byte_timeout: FIRST_BYTE_TIMEOUT,
        idle_timeout: IDLE_TIMEOUT,
        max_tokens_default: vendor.max_tokens.unwrap_or(MAX_TOKENS_DEFAULT),
    };
    let table = Table {
        models: BTreeMap::from([(name.clone(), model)]),
        providers: BTreeMap::from([(name.clone(), provider)]),
    };
    let gateway = Gateway::new(Arc::clone(telemetry), table);
    Ok(Arc::new(Asking { gateway, name, dialect, max_tokens: vendor.max_tokens }))
}

/// The one secret that a component's provider may ask for.
struct Key(Option<Redacted<String>>);

impl SecretSource for Key {
    fn resolve(&self, reference: &SecretRef) -> Result<Redacted<String>> {
        let known = self.0.clone().filter(|_| reference.to_string() == Vendor::KEY);
        known.ok_or_else(|| {
            Error::new(&codes::SECRET_UNAVAILABLE, format!("there is no secret `{reference}`"))
        })
    }
}

struct Asking {
    gateway: Gateway,
    name: Name,
    /// What the provider speaks: parameters of no canonical form are taken for its own.
    dialect: String,
    max_tokens: Option<u32>,
}

#[async_trait]
impl Conversation for Asking {
    async fn converse(&self, ctx: &Ctx, mut request: ModelRequest) -> Result<Completion> {
        self.name.as_str().clone_into(&mut request.model);
        request.max_tokens = request.max_tokens.or(self.max_tokens);
        if !request.rest.fields.is_empty() {
            request.rest.dialect.clone_from(&self.dialect);
        }
        let mut events = self.gateway.complete(ctx, request).await?;
        let mut answer = Assembler::default();
        while let Some(event) = events.next().await {
            answer.push(&event?);
        }
        Ok(answer.finish())
    }
}

#[cfg(test)]
mod tests {
    use mainstay_core::message::{Message, Role};
    use mainstay_core::model::FinishReason;
    use serde_json::json;

    use super::*;

    fn telemetry() -> Arc<dyn Telemetry> {
        Arc::new(mainstay_telemetry::Prometheus::new(&[]))
    }

    #[tokio::test]
    async fn a_vendor_is_asked_through_its_provider() {
        let vendor = Vendor {
            provider: "scripted",
            settings: json!({"replies": [{"text": "hello there"}]}),
            key: None,
            model: "any".to_owned(),
            max_tokens: None,
        };
        let client = Client::new(mainstay_net::client::ClientOptions::default());
        let component = open(&Endpoint::Vendor(vendor), &telemetry(), &client).unwrap();
        let messages = vec![Message::text(Role::User, "hi")];
        let request = ModelRequest { messages, ..ModelRequest::default() };
        let answer = component.converse(&Ctx::system(), request).await.unwrap();
        assert_eq!(
            (answer.message.joined_text().as_str(), answer.finish),
            ("hello there", FinishReason::Stop)
        );
    }

    #[test]
    fn the_key_is_given_under_its_reference_alone() {
        let key = Key(Some(Redacted::new("k".to_owned())));
        let read = |text: &str| key.resolve(&SecretRef::parse(text).unwrap());
        assert_eq!(read(Vendor::KEY).unwrap().expose(), "k");
        assert_eq!(read("env:HOME").unwrap_err().code(), &codes::SECRET_UNAVAILABLE);
    }
}
