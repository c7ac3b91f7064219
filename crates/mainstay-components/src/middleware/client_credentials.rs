//! Sends a token of an authorisation server along with each request: asked for with a client's own credentials (RFC
//! 6749, section 4.4), kept until shortly before it ends.
//! <https://docs.dapr.io/reference/components-reference/supported-middleware/middleware-oauth2clientcredentials/>

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use form_urlencoded::{Serializer, byte_serialize};
use http::StatusCode;
use mainstay_core::middleware::{Capabilities, Middleware, Request, Step};
use mainstay_core::{Clock, Ctx, Error, Fault, Redacted, Result, codes};
use mainstay_net::client::{Body, Client};
use regex::Regex;
use serde::Deserialize;
use tokio::sync::Mutex as AsyncMutex;

use crate::def::{Def, SettingDef};
use crate::settings::{Settings, fault};
use crate::web;

const fn setting(name: &'static str, about: &'static str, required: bool) -> SettingDef {
    SettingDef { name, about, required, secret: false }
}

/// The type.
pub const DEF: Def<dyn Middleware> = Def {
    kind: "middleware.http.oauth2clientcredentials",
    aliases: &[],
    versions: &["v1"],
    about: "Sends a token of an OAuth 2.0 server along with each request, in a header.",
    settings: &[
        setting("clientID", "The client's id.", true),
        SettingDef { name: "clientSecret", about: "Its secret.", required: true, secret: true },
        setting("scopes", "What the token is to be good for, with commas or spaces between.", false),
        setting("tokenURL", "Where tokens are had.", true),
        setting(
            "headerName",
            "The header that carries the token; one of this name in a request gives way.",
            true,
        ),
        setting("endpointParamsQuery", "Further parameters for the server, as `a=b&c=d`.", false),
        setting(
            "authStyle",
            "How the server is told who asks: 1 in the body, 2 in a header (HTTP Basic), 0 in the header, and in the body \
             where that is refused. 0 by default.",
            false,
        ),
        setting("pathFilter", "A regular expression: only requests whose path it fits get a token.", false),
    ],
    check: |settings| parse(settings).1,
    open: |opening| {
        let (settings, _) = parse(opening.settings);
        let (client, clock) = (opening.client.clone(), Arc::clone(opening.clock));
        Box::pin(async move {
            let open = ClientCredentials { settings, client, clock, kept: AsyncMutex::default() };
            Ok(Arc::new(open) as Arc<dyn Middleware>)
        })
    },
};

/// How long the server may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of its answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// How long before its end a token is no more sent: it has a way to go.
const MARGIN_MS: u64 = 10_000;
/// How long a token is kept that does not say when it ends, and at most.
const UNSAID_S: f64 = 300.0;
const KEPT_S_MAX: f64 = 86_400.0;
/// Bytes of a compiled path filter.
const FILTER_BYTES_MAX: usize = 1 << 20;

struct Checked {
    client_id: String,
    client_secret: Redacted<String>,
    scopes: String,
    token_url: String,
    header: String,
    parameters: Vec<(String, String)>,
    style: u8,
    filter: Option<Regex>,
}

fn parse(settings: &Settings) -> (Checked, Vec<Fault>) {
    let mut faults = Vec::new();
    for name in ["clientID", "clientSecret", "tokenURL", "headerName"] {
        settings.require(&[name], &mut faults);
    }
    let text = |name: &str| settings.text(name).unwrap_or_default().to_owned();
    if settings
        .text("tokenURL")
        .is_some_and(|url| !url.starts_with("http://") && !url.starts_with("https://"))
    {
        faults.push(fault("tokenURL", "`tokenURL` must begin with `https://` or `http://`".to_owned(), None));
    }
    if settings.text("headerName").is_some_and(|name| http::HeaderName::try_from(name).is_err()) {
        faults.push(fault("headerName", "`headerName` is no name of a header".to_owned(), None));
    }
    let style = |text: &str| text.parse::<u8>().ok().filter(|style| *style <= 2);
    let filter = |text: &str| regex::RegexBuilder::new(text).size_limit(FILTER_BYTES_MAX).build().ok();
    let checked = Checked {
        client_id: text("clientID"),
        client_secret: Redacted::new(text("clientSecret")),
        scopes: text("scopes").split([',', ' ']).filter(|one| !one.is_empty()).collect::<Vec<_>>().join(" "),
        token_url: text("tokenURL"),
        header: text("headerName"),
        parameters: form_urlencoded::parse(text("endpointParamsQuery").as_bytes()).into_owned().collect(),
        style: settings.read("authStyle", "0, 1 or 2", style, &mut faults).unwrap_or(0),
        filter: settings.read("pathFilter", "a regular expression", filter, &mut faults),
    };
    (checked, faults)
}

struct ClientCredentials {
    settings: Checked,
    client: Client,
    clock: Arc<dyn Clock>,
    /// Held while a token is asked for: one question is enough for all.
    kept: AsyncMutex<Option<Kept>>,
}

struct Kept {
    value: Redacted<String>,
    until_ms: u64,
}

/// What the server says (RFC 6749, section 5.1).
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    #[serde(default)]
    token_type: String,
    #[serde(default)]
    expires_in: Option<serde_json::Value>,
}

impl ClientCredentials {
    /// The header's value.
    async fn value(&self, ctx: &Ctx) -> Result<Redacted<String>> {
        let mut kept = self.kept.lock().await;
        if let Some(kept) = &*kept
            && self.clock.now_ms() < kept.until_ms
        {
            return Ok(kept.value.clone());
        }
        let asked_ms = self.clock.now_ms();
        let granted = self.ask(ctx).await?;
        let kind = match granted.token_type.to_ascii_lowercase().as_str() {
            "" | "bearer" => "Bearer".to_owned(),
            "mac" => "MAC".to_owned(),
            "basic" => "Basic".to_owned(),
            _ => granted.token_type.clone(),
        };
        let value = Redacted::new(format!("{kind} {}", granted.access_token));
        let until_ms = asked_ms + lifetime_ms(granted.expires_in.as_ref());
        *kept = Some(Kept { value: value.clone(), until_ms });
        Ok(value)
    }

    async fn ask(&self, ctx: &Ctx) -> Result<Granted> {
        let in_header = self.settings.style != 1;
        let (mut status, mut body) = self.post(ctx, in_header).await?;
        if self.settings.style == 0 && !status.is_success() {
            (status, body) = self.post(ctx, false).await?;
        }
        if !status.is_success() {
            return Err(unavailable(format!("`{}` answers with {status}", self.settings.token_url)));
        }
        // What the answer holds is not for the log.
        let granted: Granted = serde_json::from_slice(&body)
            .map_err(|_| unavailable(format!("`{}` answers with no token", self.settings.token_url)))?;
        let is_sendable = http::HeaderValue::try_from(&granted.access_token).is_ok();
        if granted.access_token.is_empty() || !is_sendable {
            return Err(unavailable(format!("`{}` answers with no token", self.settings.token_url)));
        }
        Ok(granted)
    }

    async fn post(&self, ctx: &Ctx, in_header: bool) -> Result<(StatusCode, Bytes)> {
        let request = self.question(in_header)?;
        web::call(&self.client, ctx, request, TIMEOUT, ANSWER_BYTES_MAX).await.map_err(unavailable)
    }

    /// The request for a token (RFC 6749, section 4.4.2), with the credentials in a header or in the body.
    fn question(&self, in_header: bool) -> Result<http::Request<Body>> {
        let settings = &self.settings;
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if !settings.scopes.is_empty() {
            form.append_pair("scope", &settings.scopes);
        }
        form.extend_pairs(&settings.parameters);
        let (id, secret) = (&settings.client_id, settings.client_secret.expose());
        let mut request = http::Request::post(&settings.token_url)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json");
        if in_header {
            let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
            let pair = STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret)));
            request = request.header("authorization", format!("Basic {pair}"));
        } else {
            form.append_pair("client_id", id).append_pair("client_secret", secret);
        }
        let request = request.body(Body::from(Bytes::from(form.finish())));
        request.map_err(|_| unavailable(format!("`{}` is no URL", settings.token_url)))
    }
}

/// How long a token is kept. Servers write the number as a text too.
fn lifetime_ms(expires_in: Option<&serde_json::Value>) -> u64 {
    let seconds = expires_in.and_then(|value| value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()));
    let seconds = seconds.filter(|seconds| *seconds > 0.0).unwrap_or(UNSAID_S).min(KEPT_S_MAX);
    let ms = u64::try_from(Duration::from_secs_f64(seconds).as_millis()).unwrap_or_default();
    ms.saturating_sub(MARGIN_MS.min(ms / 10))
}

#[async_trait]
impl Middleware for ClientCredentials {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn request(&self, ctx: &Ctx, request: &mut Request) -> Result<Step> {
        if self.settings.filter.as_ref().is_none_or(|filter| filter.is_match(&request.path)) {
            let value = self.value(ctx).await?;
            request.set_header(&self.settings.header, value.expose());
        }
        Ok(Step::Next)
    }
}

fn unavailable(why: String) -> Error {
    Error::new(&codes::COMPONENT_UNAVAILABLE, "no token for the request can be had").with_internal(why)
}

#[cfg(test)]
mod tests;
