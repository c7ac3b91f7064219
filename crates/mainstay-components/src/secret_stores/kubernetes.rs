//! Secrets of a Kubernetes cluster, by its API: each is a secret with the keys of its `data`. `metadata.namespace` of a
//! request says which namespace; without, `defaultNamespace`, then `NAMESPACE`. Written against the API of Kubernetes
//! 1.31 (core/v1).
//! <https://docs.dapr.io/reference/components-reference/supported-secret-stores/kubernetes-secret-store/>

mod access;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use mainstay_core::secret_store::{Secret, SecretStore};
use mainstay_core::{Ctx, Error, Redacted, Result, codes};
use mainstay_net::client::{Body, Client, ClientOptions};
use mainstay_net::tls;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::def::{Def, SettingDef};
use crate::settings::{Settings, fault};
use access::Access;

/// The type.
pub const DEF: Def<dyn SecretStore> = Def {
    kind: "secretstores.kubernetes",
    aliases: &[],
    versions: &["v1"],
    about: "The secrets of a Kubernetes cluster.",
    settings: &[
        SettingDef {
            name: "defaultNamespace",
            about: "The namespace where a request names none; the one in `NAMESPACE`, then that of the pod by default.",
            required: false,
            secret: false,
        },
        SettingDef {
            name: "kubeconfigPath",
            about: "A kubeconfig file, whose present context is used. By default the pod's service account, and outside a \
                    pod the file of `KUBECONFIG`, or `~/.kube/config`.",
            required: false,
            secret: false,
        },
    ],
    check: |settings| {
        let mut faults = Vec::new();
        if let Some(name) = settings.text("defaultNamespace").filter(|name| !is_name(name)) {
            faults.push(fault("defaultNamespace", format!("`{name}` is no name of a namespace"), None));
        }
        faults
    },
    open: |opening| {
        let named = opening.settings.text("kubeconfigPath").map(|path| opening.folder.join(path));
        let made = Access::find(named.as_deref()).and_then(|access| store(access, opening.settings));
        Box::pin(async move { Ok(Arc::new(made?) as Arc<dyn SecretStore>) })
    },
};

/// How long a call takes at most, where the context says nothing.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of an answer, and secrets in one page of a list.
const ANSWER_BYTES_MAX: usize = 64 << 20;
const PAGE: usize = 250;
/// Pages of a list that are read.
const PAGES_MAX: usize = 400;

fn store(access: Access, settings: &Settings) -> Result<Kubernetes> {
    let from_environment = || std::env::var("NAMESPACE").ok().filter(|name| is_name(name));
    let namespace = settings.text("defaultNamespace").map(str::to_owned).or_else(from_environment);
    let identity =
        access.identity.as_ref().map(|(certificate, key)| (&certificate[..], key.expose().as_slice()));
    let tls = tls::config_of(access.roots.as_deref(), identity)
        .map_err(|why| Error::new(&codes::CONFIG_VALUE, format!("reach the cluster: {why}")))?;
    let client = Client::with_tls(ClientOptions::default(), tls);
    Ok(Kubernetes { client, namespace: namespace.or_else(|| access.namespace.clone()), access })
}

/// Whether it is a name as Kubernetes has them (RFC 1123): nothing that would lead elsewhere in a URL.
fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    !text.is_empty()
        && text.len() <= 253
        && text.bytes().all(|byte| is_plain(byte) || byte == b'-' || byte == b'.')
        && text.bytes().next().is_some_and(is_plain)
        && text.bytes().last().is_some_and(is_plain)
}

struct Kubernetes {
    client: Client,
    access: Access,
    namespace: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    metadata: Meta,
    data: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    metadata: ListMeta,
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Default, Deserialize)]
struct ListMeta {
    #[serde(default)]
    r#continue: String,
}

impl Kubernetes {
    fn namespace<'a>(&'a self, metadata: &'a BTreeMap<String, String>) -> Result<&'a str> {
        let given = metadata.get("namespace").filter(|name| !name.is_empty());
        let name = given.or(self.namespace.as_ref()).ok_or_else(|| {
            Error::new(
                &codes::SECRET_UNAVAILABLE,
                "namespace is missing on metadata and NAMESPACE env variable",
            )
            .with_help("give `metadata.namespace`, or set `defaultNamespace`")
        })?;
        if is_name(name) {
            return Ok(name);
        }
        Err(Error::new(&codes::SECRET_UNAVAILABLE, format!("`{name}` is no name of a namespace")))
    }

    /// Asks the API; `None` for what is not there.
    async fn ask<T: DeserializeOwned>(&self, ctx: &Ctx, path: &str) -> Result<Option<T>> {
        let end = ctx.deadline().map_or_else(|| tokio::time::Instant::now() + TIMEOUT, Into::into);
        let late = |_| Error::new(&codes::DEADLINE_EXCEEDED, "ask the cluster: it did not answer in time");
        let (status, body) = tokio::time::timeout_at(end, self.send(path)).await.map_err(late)??;
        match status {
            StatusCode::OK => serde_json::from_slice(&body).map(Some).map_err(|error| {
                failed("its answer cannot be read", format!("line {} of the answer", error.line()))
            }),
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::UNAUTHORIZED => Err(failed("it does not know our credentials", String::new())),
            StatusCode::FORBIDDEN => Err(failed("this service account may not read secrets", said(&body))
                .with_help(
                    "bind it to a Role with the verbs `get` and `list` for `secrets` in that namespace",
                )),
            other => Err(failed(&format!("it answered with the status {}", other.as_u16()), said(&body))),
        }
    }

    async fn send(&self, path: &str) -> Result<(StatusCode, Bytes)> {
        let mut request = Request::new(Body::default());
        let url = format!("{}{path}", self.access.server);
        *request.uri_mut() = url.parse().map_err(|_| Error::bug("the cluster's address makes no URL"))?;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(token) = self.access.token()? {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose()))
                .map_err(|_| failed("our token makes no header", String::new()))?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let answer = self.client.send(request).await;
        let answer = answer.map_err(|error| failed("it cannot be reached", error.chain()))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| failed("its answer was cut or is too large", error.to_string()))?;
        Ok((head.status, body.to_bytes()))
    }
}

fn failed(why: &str, internal: String) -> Error {
    Error::new(&codes::SECRET_UNAVAILABLE, format!("ask the cluster: {why}")).with_internal(internal)
}

/// What the API says of a failure: its `message`, which has names and no values.
fn said(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Status {
        #[serde(default)]
        message: String,
    }
    serde_json::from_slice::<Status>(body).map(|status| status.message).unwrap_or_default()
}

/// The values of a secret. Those that are no text are told in base64, as they came.
fn secret(item: Item) -> Secret {
    let decoded = |value: String| {
        let bytes = STANDARD.decode(&value).ok();
        bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or(value)
    };
    let data = item.data.unwrap_or_default();
    data.into_iter().map(|(key, value)| (key, Redacted::new(decoded(value)))).collect()
}

#[async_trait]
impl SecretStore for Kubernetes {
    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        self.ask::<serde::de::IgnoredAny>(ctx, "/version").await.map(|_| ())
    }

    async fn get(&self, ctx: &Ctx, name: &str, metadata: &BTreeMap<String, String>) -> Result<Secret> {
        let namespace = self.namespace(metadata)?;
        if !is_name(name) {
            // There can be none of this name, and in a URL it could mean something else.
            return Ok(Secret::new());
        }
        let found = self.ask::<Item>(ctx, &format!("/api/v1/namespaces/{namespace}/secrets/{name}")).await?;
        Ok(found.map(secret).unwrap_or_default())
    }

    async fn all(&self, ctx: &Ctx, metadata: &BTreeMap<String, String>) -> Result<BTreeMap<String, Secret>> {
        let path = format!("/api/v1/namespaces/{}/secrets?limit={PAGE}", self.namespace(metadata)?);
        let (mut secrets, mut more) = (BTreeMap::new(), String::new());
        for _ in 0..PAGES_MAX {
            let list = self.ask::<List>(ctx, &format!("{path}{more}")).await?;
            let list = list.ok_or_else(|| failed("it has no secrets there", String::new()))?;
            for item in list.items {
                secrets.insert(item.metadata.name.clone(), secret(item));
            }
            if list.metadata.r#continue.is_empty() {
                return Ok(secrets);
            }
            let token = percent(&list.metadata.r#continue);
            more = format!("&continue={token}");
        }
        Err(failed(&format!("it has more than {} secrets", PAGE * PAGES_MAX), String::new()))
    }
}

/// A value for a query: everything but letters and digits escaped.
fn percent(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_elsewhere() {
        for good in ["a", "db-password", "sh.helm.release.v1.x"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "..", "a/b", "A", "-a", "a-", "a?b", "a%2fb", "é"] {
            assert!(!is_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_value_that_is_no_text_stays_in_base64() {
        let item = r#"{"metadata":{"name":"x"},"data":{"a":"aGVp","b":"/w=="}}"#;
        let secret = secret(serde_json::from_str(item).unwrap());
        assert_eq!((secret["a"].expose().as_str(), secret["b"].expose().as_str()), ("hei", "/w=="));
        assert_eq!(percent("a+/="), "a%2B%2F%3D");
    }
}
