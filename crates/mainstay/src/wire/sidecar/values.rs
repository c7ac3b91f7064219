//! What components and endpoints are set to: text, variables, placeholders, and secrets from the stores that are open.

use std::collections::BTreeMap;
use std::sync::Arc;

use mainstay_blocks::Table;
use mainstay_components::settings::Settings;
use mainstay_config::resources::Placeholders;
use mainstay_core::component::{Component, Setting, SettingValue};
use mainstay_core::secret_store::SecretStore;
use mainstay_core::{Ctx, Error, codes};

use super::opener::Opener;
use crate::environment;

impl Opener<'_> {
    /// The component's settings with its secrets, variables and placeholders filled in.
    pub(super) async fn settings(
        &self,
        component: &Component,
        table: &Table,
    ) -> mainstay_core::Result<Settings> {
        let mut settings = Vec::with_capacity(component.settings.len());
        for setting in &component.settings {
            let value = self.value(setting, component.secret_store.as_deref(), table).await?;
            settings.push((setting.name.clone(), Some(value)));
        }
        Ok(Settings::new(settings))
    }

    pub(super) async fn value(
        &self,
        setting: &Setting,
        secret_store: Option<&str>,
        table: &Table,
    ) -> mainstay_core::Result<String> {
        let placeholders = Placeholders {
            app_id: &self.app.id,
            namespace: self.app.namespace.as_deref().unwrap_or_default(),
            pod: environment::pod_name(),
        };
        match &setting.value {
            SettingValue::Text(text) => {
                placeholders.fill(text, &mut || uuid::Uuid::now_v7().to_string()).map_err(|_| {
                    let message = format!("`{}` has `{{podName}}`, and this is no pod", setting.name);
                    Error::new(&codes::CONFIG_VALUE, message)
                })
            }
            SettingValue::Env(variable) => Ok(environment::variable(variable).unwrap_or_default()),
            SettingValue::Secret { name, key } => {
                secret(secret_store.unwrap_or_default(), name, key, table).await
            }
        }
    }
}

/// Whether secrets come from what they came from before: another component, which may have changed and then was opened
/// anew.
pub(super) fn keeps_secrets(store: Option<&str>, before: &Table, now: &Table) -> bool {
    store.is_none_or(|name| {
        let port = |table: &Table| table.secrets.get(name).map(|opened| Arc::clone(&opened.port));
        matches!((port(now), port(before)), (Some(now), Some(before)) if Arc::ptr_eq(&now, &before))
    })
}

async fn secret(store: &str, name: &str, key: &str, table: &Table) -> mainstay_core::Result<String> {
    let opened = table.secrets.get(store).ok_or_else(|| {
        let message =
            format!("its secret `{name}` is to come from the secret store `{store}`, which is not open");
        Error::new(&codes::SECRET_UNAVAILABLE, message).with_help("name it in `auth.secretStore`")
    })?;
    let port: &Arc<dyn SecretStore> = &opened.port;
    let secret = port.get(&Ctx::system(), name, &BTreeMap::new()).await?;
    secret.get(key).map(|value| value.expose().clone()).ok_or_else(|| {
        Error::new(&codes::SECRET_UNAVAILABLE, format!("the secret `{name}` of `{store}` has no key `{key}`"))
    })
}
