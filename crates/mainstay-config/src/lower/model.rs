//! `models`.

use std::collections::BTreeMap;

use mainstay_core::plan::{Model, Target};
use mainstay_core::{Name, codes};

use super::{Lowering, Named};
use crate::diagnostic::short;
use crate::{nearest, pointer, raw};

impl Lowering<'_, '_> {
    pub(super) fn models(&mut self, raw: BTreeMap<String, raw::Model>) -> Named<Model> {
        let providers = self.defined("providers");
        let mut models = Named::new();
        for (name, model) in raw {
            let base = format!("{}/targets", pointer::join("/models", &name));
            let targets = model.targets.iter().enumerate();
            let targets =
                targets.filter_map(|(n, text)| self.target(&format!("{base}/{n}"), text, &providers));
            let targets: Vec<Target> = targets.collect();
            let Some(name) = Name::parse(&name) else { continue };
            let (first_byte_timeout, idle_timeout) = (model.first_byte_timeout.0, model.idle_timeout.0);
            let max_tokens_default = model.max_tokens_default;
            models.insert(name, Model { targets, first_byte_timeout, idle_timeout, max_tokens_default });
        }
        models
    }

    fn target(&mut self, pointer: &str, text: &str, providers: &[String]) -> Option<Target> {
        let parts =
            text.split_once('/').filter(|(provider, model)| !provider.is_empty() && !model.is_empty());
        let Some((provider, model)) = parts.filter(|_| !text.contains(char::is_whitespace)) else {
            let example = providers.first().map_or("openai", String::as_str);
            let help =
                format!("write `PROVIDER/MODEL`, for example `{example}/{}`", short(text.trim_matches('/')));
            let message = format!("`{}` does not say which provider's model it is", short(text));
            self.fault(pointer, &codes::CONFIG_VALUE, message, Some(help));
            return None;
        };
        if providers.iter().any(|known| known == provider) {
            return Some(Target { provider: Name::parse(provider)?, model: model.to_owned() });
        }
        let help = match nearest::nearest(provider, providers.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{}`?", short(&format!("{near}/{model}"))),
            None => {
                nearest::among("there is", "there are", providers.iter().map(String::as_str))
                    .unwrap_or_else(|| "the spec defines no provider".to_owned())
                    + "; define it under `providers`"
            }
        };
        self.fault(
            pointer,
            &codes::CONFIG_REFERENCE,
            format!("there is no provider `{}`", short(provider)),
            Some(help),
        );
        None
    }
}
