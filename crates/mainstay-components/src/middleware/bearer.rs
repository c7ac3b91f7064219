//! Lets in who bears a token of an issuer (OpenID Connect): signed with one of its keys, for this audience, and valid
//! now. Everybody else is answered with 401.
//! <https://docs.dapr.io/reference/components-reference/supported-middleware/middleware-bearer/>

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mainstay_core::middleware::{Capabilities, Middleware, Request, Step};
use mainstay_core::{Clock, Ctx, Error, Fault, Result, codes};
use mainstay_net::client::Client;
use serde::Deserialize;

use super::refusal;
use super::token::{Token, Wanted};
use crate::def::{Def, SettingDef};
use crate::keys::set::{KeySet, Place, Refresh};
use crate::settings::{Settings, fault};
use crate::web;

/// The type.
pub const DEF: Def<dyn Middleware> = Def {
    kind: "middleware.http.bearer",
    aliases: &[],
    versions: &["v1"],
    about: "Lets in who bears a token (JWT) of an OpenID Connect issuer; everybody else is answered with 401. Tokens are \
            signed with RS256, PS256, ES256, their longer kin, or EdDSA.",
    settings: &[
        SettingDef {
            name: "issuer",
            about: "The issuer, as its tokens say it in `iss`. Also called `issuerURL`. Required.",
            required: false,
            secret: false,
        },
        SettingDef { name: "issuerURL", about: "The same as `issuer`.", required: false, secret: false },
        SettingDef {
            name: "audience",
            about: "Whom tokens must be for, in `aud`: usually a client's id. Also called `clientID`. Required.",
            required: false,
            secret: false,
        },
        SettingDef { name: "clientID", about: "The same as `audience`.", required: false, secret: false },
        SettingDef {
            name: "jwksURL",
            about: "Where the issuer's keys are. By default what `<issuer>/.well-known/openid-configuration` says.",
            required: false,
            secret: false,
        },
    ],
    check: |settings| parse(settings).1,
    open: |opening| {
        let (settings, _) = parse(opening.settings);
        let (client, clock) = (opening.client.clone(), Arc::clone(opening.clock));
        Box::pin(open(settings, client, clock))
    },
};

/// How the issuer's keys are kept. A key that is not known is asked for sooner: issuers change them without notice.
const REFRESH: Refresh = Refresh {
    after: Duration::from_secs(600),
    missing_after: Duration::from_secs(30),
    timeout: Duration::from_secs(10),
};
/// Bytes of an issuer's document.
const DOCUMENT_BYTES_MAX: usize = 256 << 10;
/// Keys that a token is tried with, where it names none.
const KEYS_TRIED_MAX: usize = 16;

struct Checked {
    issuer: String,
    audience: String,
    keys_url: Option<String>,
}

fn parse(settings: &Settings) -> (Checked, Vec<Fault>) {
    let mut faults = Vec::new();
    settings.require(&["issuer", "issuerURL"], &mut faults);
    settings.require(&["audience", "clientID"], &mut faults);
    let text = |names: &[&str]| settings.text_of(names).unwrap_or_default().to_owned();
    let checked = Checked {
        issuer: text(&["issuer", "issuerURL"]),
        audience: text(&["audience", "clientID"]),
        keys_url: settings.text("jwksURL").map(str::to_owned),
    };
    let is_url = |text: &str| text.starts_with("http://") || text.starts_with("https://");
    match &checked.keys_url {
        Some(url) if !is_url(url) => {
            faults.push(fault(
                "jwksURL",
                "`jwksURL` must begin with `https://` or `http://`".to_owned(),
                None,
            ));
        }
        None if !checked.issuer.is_empty() && !is_url(&checked.issuer) => {
            let message = "`issuer` must begin with `https://` where `jwksURL` is not given".to_owned();
            faults.push(fault("issuer", message, None));
        }
        _ => {}
    }
    (checked, faults)
}

/// What an issuer says of itself (OpenID Connect Discovery 1.0, section 3).
#[derive(Deserialize)]
struct Document {
    issuer: String,
    jwks_uri: String,
}

async fn discover(client: &Client, ctx: &Ctx, issuer: &str) -> Result<String> {
    let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let text = web::get(client, ctx, &url, REFRESH.timeout, DOCUMENT_BYTES_MAX).await.map_err(unavailable)?;
    let document: Document =
        serde_json::from_slice(&text).map_err(|error| unavailable(format!("`{url}`: {error}")))?;
    if document.issuer != issuer {
        return Err(unavailable(format!("`{url}` speaks of another issuer, `{}`", document.issuer)));
    }
    Ok(document.jwks_uri)
}

async fn open(settings: Checked, client: Client, clock: Arc<dyn Clock>) -> Result<Arc<dyn Middleware>> {
    let ctx = Ctx::system();
    let url = match &settings.keys_url {
        Some(url) => url.clone(),
        None => discover(&client, &ctx, &settings.issuer).await?,
    };
    let keys = KeySet::new(Place::Url(url), REFRESH, &client, &clock);
    // An issuer that is not there now lets nobody in, so the start says it.
    keys.load(&ctx).await.map_err(|error| unavailable(error.internal().unwrap_or_default().to_owned()))?;
    Ok(Arc::new(Bearer { settings, keys, clock }))
}

struct Bearer {
    settings: Checked,
    keys: KeySet,
    clock: Arc<dyn Clock>,
}

impl Bearer {
    async fn admits(&self, ctx: &Ctx, text: &str) -> bool {
        let Some(token) = Token::read(text) else { return false };
        let wanted = Wanted { issuer: &self.settings.issuer, audience: &self.settings.audience };
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of this age are exact")]
        let now_s = self.clock.now_ms() as f64 / 1000.0;
        // What cannot be right whoever signed it asks no server.
        if !token.fits(&wanted, now_s) {
            return false;
        }
        let keys = self.keys.find(ctx, |key| token.may_be_of(key)).await;
        keys.iter().take(KEYS_TRIED_MAX).any(|key| token.is_of(key))
    }
}

#[async_trait]
impl Middleware for Bearer {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn request(&self, ctx: &Ctx, request: &mut Request) -> Result<Step> {
        // Of two, whoever comes behind us might believe the other.
        let header = request.header("authorization").filter(|_| request.count("authorization") <= 1);
        let token = header.and_then(|text| {
            let (scheme, token) = text.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        match token {
            Some(token) if self.admits(ctx, token).await => Ok(Step::Next),
            _ => Ok(refusal(401, "Unauthorized\n")),
        }
    }
}

fn unavailable(why: String) -> Error {
    Error::new(&codes::COMPONENT_UNAVAILABLE, "the issuer of tokens cannot be read").with_internal(why)
}

#[cfg(test)]
mod tests;
