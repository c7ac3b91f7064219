//! Joins a conversation component to what answers for it: a vendor's endpoint to the provider that speaks its dialect,
//! by a gateway of its own, which bounds the vendor's silence and accounts for each call; a model of the spec to the
//! gateway that everybody else asks. Each of the spec's models is a component by its own name, too.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use mainstay_blocks::conversation::Rules;
use mainstay_blocks::{Opened, Summary, Table as Open};
use mainstay_components::conversation::{self, Endpoint, Vendor};
use mainstay_components::settings::Settings;
use mainstay_core::component::Component;
use mainstay_core::conversation::Conversation;
use mainstay_core::model::{Assembler, Completion, ModelClient as _, ModelRequest};
use mainstay_core::plan::{Model, Target};
use mainstay_core::secret::SecretSource;
use mainstay_core::telemetry::Telemetry;
use mainstay_core::{Ctx, Error, Fault, Name, Redacted, Result, SecretRef, codes};
use mainstay_gateway::{Gateway, Table};
use mainstay_net::client::Client;

use super::listed;
use super::opener::{Opener, summary};

/// Longest wait for the first byte of an answer, and longest silence within one.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(120);
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// Tokens asked for where a dialect demands a number.
const MAX_TOKENS_DEFAULT: u32 = 4_096;
/// The type of a component that is a model of the spec, and its version.
const OF_THE_SPEC: (&str, &str) = (conversation::mainstay::DEF.kind, "v1");

impl Opener<'_> {
    pub(super) async fn open_conversation(
        &self,
        def: &conversation::Def,
        component: &Component,
        table: &mut Open,
    ) -> anyhow::Result<()> {
        let (open, joining) = (def.open, self.joining());
        let opened = self
            .open(
                &|opening| {
                    let joining = joining.clone();
                    Box::pin(async move { joining.join(&*open(opening).await?) })
                },
                component,
                table,
            )
            .await?;
        let Some((port, settings)) = opened else { return Ok(()) };
        let rules = Rules::of(listed::kept(&settings));
        table.conversations.insert(component.name.clone(), Opened::new(port, rules));
        table.summaries.push(summary(component, Vec::new()));
        Ok(())
    }

    /// Makes each model of the spec a component of its own name, unless a file has one of that name or the
    /// configuration denies the type.
    pub(super) fn add_models(&self, components: &[Component], table: &mut Open) {
        let (kind, version) = OF_THE_SPEC;
        let Some(gateway) = self.gateway.filter(|_| !self.is_denied(kind, version)) else { return };
        let is_free = |model: &&String| components.iter().all(|component| component.name != **model);
        for model in self.models.iter().filter(is_free) {
            let port: Arc<dyn Conversation> = Arc::new(Asking::new(gateway.clone(), model.clone(), None));
            table.conversations.insert(model.clone(), Opened::new(port, Rules::default()));
            table.summaries.push(Summary {
                name: model.clone(),
                kind: kind.to_owned(),
                version: version.to_owned(),
                capabilities: Vec::new(),
            });
        }
    }

    fn joining(&self) -> Joining {
        Joining {
            telemetry: Arc::clone(&self.telemetry),
            client: self.client.clone(),
            gateway: self.gateway.cloned(),
            models: self.models.to_vec(),
        }
    }
}

/// What is wrong with a component that is a model of the spec, against the models that there are: `None` without a
/// spec.
pub(super) fn check(kind: &str, settings: &Settings, models: Option<&[String]>) -> Vec<Fault> {
    if !conversation::mainstay::DEF.is_called(kind) {
        return Vec::new();
    }
    let Some(models) = models else {
        let help = "name its folder under `components` of the spec, and start that with `mainstay serve` or `mainstay dev`; \
                    `conversation.openai` and its like need no spec";
        return vec![Fault {
            code: &codes::CONFIG_REFERENCE,
            // Of the type, not of a setting.
            pointer: String::new(),
            message: format!("`{kind}` is one of the `models` of a spec, and this command has no spec"),
            help: Some(help.to_owned()),
        }];
    };
    let model = settings.text(conversation::mainstay::MODEL).filter(|model| !is_among(model, models));
    let unknown = model.map(|model| unknown(model, models));
    unknown.into_iter().collect()
}

fn is_among(model: &str, models: &[String]) -> bool {
    models.iter().any(|known| known == model)
}

fn unknown(model: &str, models: &[String]) -> Fault {
    let shown: String = model.chars().take(NAME_SHOWN_MAX).collect();
    let help = mainstay_config::nearest_help(model, models.iter().map(String::as_str));
    Fault {
        code: &codes::CONFIG_REFERENCE,
        pointer: conversation::mainstay::MODEL.to_owned(),
        message: format!("there is no model `{shown}`"),
        help: help.or_else(|| Some("the spec defines no model; define it under `models`".to_owned())),
    }
}

/// Characters of an unknown name repeated in a fault.
const NAME_SHOWN_MAX: usize = 80;

/// What components are joined with.
#[derive(Clone)]
struct Joining {
    telemetry: Arc<dyn Telemetry>,
    client: Client,
    gateway: Option<Gateway>,
    models: Vec<String>,
}

impl Joining {
    /// The component behind an endpoint. Errors: those of opening its provider; `CONFIG_REFERENCE` for a model that
    /// there is not.
    fn join(&self, endpoint: &Endpoint) -> Result<Arc<dyn Conversation>> {
        match endpoint {
            Endpoint::Own(own) => Ok(Arc::clone(own)),
            Endpoint::Vendor(vendor) => of_vendor(vendor, &self.telemetry, &self.client),
            Endpoint::Model(model) => {
                // Its name may be a secret's value, which nobody knew when the file was checked.
                let gateway = self.gateway.as_ref().filter(|_| is_among(model, &self.models));
                let gateway = gateway.ok_or_else(|| {
                    let Fault { code, message, help, .. } = unknown(model, &self.models);
                    Error::new(code, message).with_help(help.unwrap_or_default())
                })?;
                Ok(Arc::new(Asking::new(gateway.clone(), model.clone(), None)))
            }
        }
    }
}

/// A vendor's model, behind a gateway of its own. Errors: those of opening its provider.
fn of_vendor(
    vendor: &Vendor,
    telemetry: &Arc<dyn Telemetry>,
    client: &Client,
) -> Result<Arc<dyn Conversation>> {
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
    Ok(Arc::new(Asking::new(gateway, name.to_string(), vendor.max_tokens)))
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
    /// The model's name there.
    model: String,
    max_tokens: Option<u32>,
}

impl Asking {
    fn new(gateway: Gateway, model: String, max_tokens: Option<u32>) -> Self {
        Self { gateway, model, max_tokens }
    }
}

#[async_trait]
impl Conversation for Asking {
    async fn converse(&self, ctx: &Ctx, mut request: ModelRequest) -> Result<Completion> {
        request.model.clone_from(&self.model);
        request.max_tokens = request.max_tokens.or(self.max_tokens);
        // Parameters of no canonical form are taken for those of whom is asked first.
        if !request.rest.fields.is_empty()
            && let Some(dialect) = self.gateway.dialect(&self.model)
        {
            request.rest.dialect = dialect.0.to_owned();
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
        let component = of_vendor(&vendor, &telemetry(), &client).unwrap();
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

    #[test]
    fn a_model_that_the_spec_lacks_is_a_fault_with_the_nearest_name() {
        let settings = |model: Option<&str>| Settings::new([("model".to_owned(), model.map(str::to_owned))]);
        let models = ["default", "fast"].map(str::to_owned);
        let kind = conversation::mainstay::DEF.kind;
        let check = |model: Option<&str>, models: Option<&[String]>, expect: &[(&str, &str, &str)]| {
            let faults = check(kind, &settings(model), models);
            let found: Vec<_> = faults
                .iter()
                .map(|fault| {
                    (fault.pointer.as_str(), fault.message.as_str(), fault.help.as_deref().unwrap_or(""))
                })
                .collect();
            assert_eq!(found.len(), expect.len(), "{found:?}");
            for (found, expect) in found.iter().zip(expect) {
                assert!(
                    found.0 == expect.0 && found.1.contains(expect.1) && found.2.contains(expect.2),
                    "{found:?}"
                );
            }
        };
        check(Some("fast"), Some(&models), &[]);
        check(Some("fasst"), Some(&models), &[("model", "no model `fasst`", "did you mean `fast`?")]);
        check(Some("other"), Some(&[]), &[("model", "no model `other`", "define it under `models`")]);
        // A secret is not known yet.
        check(None, Some(&models), &[]);
        check(Some("fast"), None, &[("", "this command has no spec", "`mainstay serve`")]);
        assert!(super::check("conversation.echo", &settings(None), None).is_empty());
    }
}
