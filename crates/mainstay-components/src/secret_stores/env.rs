//! Secrets in our own environment. A variable that is not set is an empty secret, as apps of this protocol expect. What
//! is ours alone (tokens between us and the app, our own settings) is never shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use mainstay_core::secret_store::{Secret, SecretStore};
use mainstay_core::{Ctx, Redacted, Result};

use crate::def::{Def, SettingDef};

/// The type.
pub const DEF: Def<dyn SecretStore> = Def {
    kind: "secretstores.local.env",
    aliases: &[],
    versions: &["v1"],
    about: "Variables of Mainstay's own environment.",
    settings: &[SettingDef {
        name: "prefix",
        about: "Stands before the name of each variable. Empty by default.",
        required: false,
        secret: false,
    }],
    check: |_| Vec::new(),
    open: |opening| {
        let prefix = opening.settings.text("prefix").unwrap_or_default().to_owned();
        Box::pin(async move { Ok(Arc::new(Env { prefix }) as Arc<dyn SecretStore>) })
    },
};

/// Variables that apps do not see.
const WITHHELD: [&str; 3] = ["APP_API_TOKEN", "DAPR_", "MAINSTAY_"];

struct Env {
    prefix: String,
}

fn is_withheld(variable: &str) -> bool {
    let name = variable.to_ascii_uppercase();
    WITHHELD.iter().any(|prefix| name.starts_with(prefix))
}

fn secret(name: &str, value: String) -> Secret {
    BTreeMap::from([(name.to_owned(), Redacted::new(value))])
}

#[async_trait]
impl SecretStore for Env {
    async fn ready(&self, _ctx: &Ctx) -> Result<()> {
        Ok(())
    }

    async fn get(&self, _ctx: &Ctx, name: &str, _metadata: &BTreeMap<String, String>) -> Result<Secret> {
        let variable = format!("{}{name}", self.prefix);
        // A name that no variable can have would panic below.
        let is_name = !variable.is_empty() && !variable.contains(['=', '\0']);
        let value = (is_name && !is_withheld(&variable)).then(|| std::env::var(&variable).ok()).flatten();
        Ok(secret(name, value.unwrap_or_default()))
    }

    async fn all(
        &self,
        _ctx: &Ctx,
        _metadata: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, Secret>> {
        let shown = std::env::vars_os().filter_map(|(variable, value)| {
            let (variable, value) = (variable.into_string().ok()?, value.into_string().ok()?);
            let name = variable.strip_prefix(&self.prefix).filter(|name| !name.is_empty())?;
            (!is_withheld(&variable)).then(|| (name.to_owned(), secret(name, value)))
        });
        Ok(shown.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_variable_is_a_secret_of_its_own_name() {
        let (store, ctx, none) = (Env { prefix: String::new() }, Ctx::system(), BTreeMap::new());
        let path = std::env::var("PATH").unwrap();
        let found = store.get(&ctx, "PATH", &none).await.unwrap();
        assert_eq!(found["PATH"].expose(), &path);
        assert_eq!(
            store.get(&ctx, "NO_SUCH_VARIABLE", &none).await.unwrap()["NO_SUCH_VARIABLE"].expose(),
            ""
        );
        assert_eq!(store.all(&ctx, &none).await.unwrap()["PATH"]["PATH"].expose(), &path);
        for odd in ["", "a=b", "a\0b"] {
            assert_eq!(store.get(&ctx, odd, &none).await.unwrap()[odd].expose(), "");
        }
    }

    #[tokio::test]
    async fn a_prefix_stands_before_the_name() {
        let store = Env { prefix: "PA".to_owned() };
        let found = store.get(&Ctx::system(), "TH", &BTreeMap::new()).await.unwrap();
        assert_eq!(found["TH"].expose(), &std::env::var("PATH").unwrap());
    }

    #[test]
    fn what_is_ours_is_not_shown() {
        for name in ["DAPR_API_TOKEN", "dapr_api_token", "APP_API_TOKEN", "MAINSTAY_X"] {
            assert!(is_withheld(name), "{name}");
        }
        assert!(!is_withheld("DATABASE_URL"));
    }
}
