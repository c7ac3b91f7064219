//! The external services of files, as calls are passed on to them.

use std::collections::BTreeMap;

use anyhow::Context as _;
use mainstay_blocks::Table;
use mainstay_core::component::{Setting, SettingValue};
use mainstay_core::http_endpoint::{HttpEndpoint, Tls};
use mainstay_core::{Error, codes};
use mainstay_net::client::{Client, ClientOptions};
use mainstay_net::tls;
use mainstay_sidecar::Target;

use super::opener::{Before, Opener};
use super::values::keeps_secrets;

impl Opener<'_> {
    /// The external services that are for this app. Errors: a secret in a header that cannot be read, or a header that
    /// is none.
    pub(super) async fn endpoints(
        &self,
        endpoints: &[HttpEndpoint],
        table: &Table,
    ) -> anyhow::Result<BTreeMap<String, Target>> {
        let namespace = self.app.namespace.as_deref().unwrap_or_default();
        let mut found = BTreeMap::new();
        for endpoint in endpoints.iter().filter(|one| one.is_for(&self.app.id, namespace)) {
            let context = || format!("open the external service `{}` ({})", endpoint.name, endpoint.origin);
            let client = match (&endpoint.tls, self.client_before(endpoint, table)) {
                (None, _) => None,
                (Some(_), Some(client)) => Some(client),
                (Some(tls), None) => Some(self.client_for(tls, endpoint, table).await.with_context(context)?),
            };
            let mut headers = http::HeaderMap::new();
            for setting in &endpoint.headers {
                let value = self
                    .value(setting, endpoint.secret_store.as_deref(), table)
                    .await
                    .with_context(context)?;
                let name = http::HeaderName::try_from(setting.name.as_str()).with_context(context)?;
                let mut value = http::HeaderValue::try_from(value).with_context(context)?;
                value.set_sensitive(true);
                headers.insert(name, value);
            }
            let target = Target { base: endpoint.base_url.clone(), headers, client };
            found.insert(endpoint.name.clone(), target);
        }
        Ok(found)
    }

    /// What spoke to it before, with its connections, where nothing of how it is spoken to has changed.
    fn client_before(&self, endpoint: &HttpEndpoint, table: &Table) -> Option<Client> {
        let Before { table: open, resources, endpoints } = self.before?;
        let known = resources.http_endpoints.iter().find(|known| known.name == endpoint.name)?;
        let is_same = known.tls == endpoint.tls
            && known.secret_store == endpoint.secret_store
            && known.base_url == endpoint.base_url;
        let keeps = is_same && keeps_secrets(endpoint.secret_store.as_deref(), open, table);
        endpoints.get(&endpoint.name).filter(|_| keeps)?.client.clone()
    }

    /// What speaks TLS to an external service in its own way. Errors: a part that cannot be read, or is no PEM.
    async fn client_for(&self, of: &Tls, endpoint: &HttpEndpoint, table: &Table) -> anyhow::Result<Client> {
        let pem = async |name: &str, value: &Option<SettingValue>| {
            let Some(value) = value.clone() else { return Ok(None) };
            let setting = Setting { name: name.to_owned(), value };
            self.value(&setting, endpoint.secret_store.as_deref(), table).await.map(Some)
        };
        let root_ca = pem("rootCA", &of.root_ca).await?;
        let (certificate, key) =
            (pem("certificate", &of.certificate).await?, pem("privateKey", &of.private_key).await?);
        let identity = certificate.as_deref().zip(key.as_deref());
        let identity = identity.map(|(certificate, key)| (certificate.as_bytes(), key.as_bytes()));
        let config = tls::config_of(root_ca.as_deref().map(str::as_bytes), identity)
            .map_err(|why| Error::new(&codes::CONFIG_VALUE, why))?;
        Ok(Client::with_tls(ClientOptions::default(), config))
    }
}
