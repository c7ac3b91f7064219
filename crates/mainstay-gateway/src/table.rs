//! What the spec configures: names, their targets, and the providers behind them. Swapped whole on a reload.

use std::collections::BTreeMap;
use std::sync::Arc;

use mainstay_core::plan;
use mainstay_core::provider::Provider;
use mainstay_core::{Error, Name, Result, codes};

/// The swappable part of the gateway.
#[derive(Default)]
pub struct Table {
    /// Names that can be asked for.
    pub models: BTreeMap<Name, plan::Model>,
    /// The providers that targets refer to.
    pub providers: BTreeMap<Name, Arc<dyn Provider>>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("models", &self.models).finish_non_exhaustive()
    }
}

impl Table {
    /// The model of this name. Errors: `MODEL_NOT_FOUND`, naming the models there are.
    pub(crate) fn model(&self, name: &str) -> Result<(&Name, &plan::Model)> {
        self.models.get_key_value(name).ok_or_else(|| {
            let known: Vec<&str> = self.models.keys().map(Name::as_str).take(KNOWN_SHOWN_MAX).collect();
            let shown: String = name.chars().take(NAME_SHOWN_MAX).collect();
            let help = match known.as_slice() {
                [] => {
                    "there are no models here; agents are no models and have routes of their own".to_owned()
                }
                known => format!("the models here are: {}", known.join(", ")),
            };
            let error = Error::new(&codes::MODEL_NOT_FOUND, format!("no model is named `{shown}`"));
            error.with_field("model").with_help(help)
        })
    }

    /// The models of which no target is ready, with the first target's reason.
    pub(crate) fn unready(&self) -> Vec<(Name, Error)> {
        let reason = |model: &plan::Model| {
            let mut reasons = model.targets.iter().map(|target| self.provider(target)?.ready());
            let first = reasons.next()?.err()?;
            reasons.all(|other| other.is_err()).then_some(first)
        };
        self.models.iter().filter_map(|(name, model)| Some((name.clone(), reason(model)?))).collect()
    }

    /// The provider of a target. The config crate has checked the reference, so a miss is ours.
    pub(crate) fn provider(&self, target: &plan::Target) -> Result<&Arc<dyn Provider>> {
        self.providers.get(&target.provider).ok_or_else(|| {
            Error::bug(format!("target names provider `{}`, which is not open", target.provider))
        })
    }
}

/// Names listed in an error.
const KNOWN_SHOWN_MAX: usize = 20;
/// Characters of an unknown name repeated in an error.
const NAME_SHOWN_MAX: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_without_models_says_that_agents_are_none() {
        let error = Table::default().model("gpt").unwrap_err();
        assert_eq!(error.code(), &codes::MODEL_NOT_FOUND);
        assert!(error.help().is_some_and(|help| help.contains("no models here")), "{error:?}");
    }
}
