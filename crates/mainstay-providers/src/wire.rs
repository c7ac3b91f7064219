//! Calling a vendor's endpoint over HTTP in one of the dialects: what the vendors' files share.
//!
//! A call is one request and one answer; it is not repeated. Dropping the answer closes the connection.

mod complete;
mod embed;
mod failure;
mod forward;

use std::fmt::Write as _;

pub(crate) use complete::after_dropped;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http_body_util::{BodyExt, Limited};
use mainstay_core::provider::ModelCard;
use mainstay_core::{Ctx, Error, Fault, Result, codes};
use mainstay_dialects::Codec;
use mainstay_dialects::codec::EncodeOptions;
use mainstay_net::client::AnswerBody;
use mainstay_net::client::{Body, Client};

/// Bytes of an answer that comes whole.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Bytes kept of a failed answer.
const FAILURE_BYTES_MAX: usize = 256 << 10;
/// Pages of a list of models that are read.
const MODEL_PAGES_MAX: usize = 20;

/// A vendor's endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) client: Client,
    pub(crate) codec: &'static Codec,
    /// Without a slash at the end.
    pub(crate) base_url: String,
    /// Credentials, versions and the spec's own headers, sent with every call.
    pub(crate) headers: HeaderMap,
    pub(crate) options: EncodeOptions,
}

impl Endpoint {
    /// Sends a body and waits for the answer's head. Errors: `PROVIDER_UNAVAILABLE`.
    async fn post(
        &self,
        ctx: &Ctx,
        path: &str,
        body: Body,
        passed: &[(&'static str, String)],
        stream: bool,
    ) -> Result<http::Response<AnswerBody>> {
        let mut request = http::Request::post(self.uri(path)?).body(body).map_err(unsound)?;
        let headers = request.headers_mut();
        headers.reserve(self.headers.len() + passed.len() + 3);
        for (name, value) in passed {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.append(HeaderName::from_static(name), value);
            }
        }
        // What the spec says holds over what a caller says.
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            ACCEPT,
            HeaderValue::from_static(if stream { "text/event-stream" } else { "application/json" }),
        );
        trace(ctx, headers);
        self.client.send(request).await.map_err(failure::unreachable)
    }

    async fn get(&self, ctx: &Ctx, path: &str) -> Result<http::Response<AnswerBody>> {
        let mut request = http::Request::get(self.uri(path)?).body(Body::default()).map_err(unsound)?;
        let headers = request.headers_mut();
        headers.extend(self.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        trace(ctx, headers);
        self.client.send(request).await.map_err(failure::unreachable)
    }

    fn uri(&self, path: &str) -> Result<http::Uri> {
        // A query of the address itself stands behind the path.
        let (base, query) = self.base_url.split_at(self.base_url.find('?').unwrap_or(self.base_url.len()));
        let mut text = String::with_capacity(self.base_url.len() + path.len());
        text.push_str(base);
        text.push_str(path);
        text.push_str(query);
        http::Uri::try_from(text).map_err(unsound)
    }

    /// Lists the models on offer, page after page. `next` makes the query of a further page from
    /// its escaped token.
    pub(crate) async fn models(
        &self,
        ctx: &Ctx,
        path: &str,
        next: impl Fn(&str) -> String,
    ) -> Result<Vec<ModelCard>> {
        let mut models = Vec::new();
        let mut query = String::new();
        for _ in 0..MODEL_PAGES_MAX {
            let answer = self.get(ctx, &format!("{path}{query}")).await?;
            if !answer.status().is_success() {
                return Err(failure::of_answer(self.codec, answer).await.0);
            }
            let page = (self.codec.decode_models)(&whole(answer.into_body()).await?)?;
            models.extend(page.models);
            match page.next {
                Some(token) => query = next(&escaped(&token)),
                None => break,
            }
        }
        Ok(models)
    }
}

/// Text as it may stand in a path's segment or in a query's value (RFC 3986, section 2.3).
pub(crate) fn escaped(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

fn trace(ctx: &Ctx, headers: &mut HeaderMap) {
    if let Some(value) = ctx.traceparent().and_then(|text| HeaderValue::from_str(text).ok()) {
        headers.insert("traceparent", value);
    }
}

fn unsound(error: impl Into<http::Error>) -> Error {
    Error::bug("a request to a provider could not be built").with_source(error.into())
}

/// Reads an answer that comes whole. Errors: `PROVIDER_BAD_RESPONSE` when it is cut or too large.
async fn whole(body: AnswerBody) -> Result<Bytes> {
    let read = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    read.map(http_body_util::Collected::to_bytes).map_err(|e| {
        Error::new(&codes::PROVIDER_BAD_RESPONSE, "read the provider's answer: it was cut or is too large")
            .with_source(e)
    })
}

/// The connection ended in the middle of a stream.
fn broke_off(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(&codes::PROVIDER_BAD_RESPONSE, "read the provider's stream: it broke off").with_source(error)
}

/// Whether an answer is a stream of events.
fn is_event_stream(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"))
}

/// Whether an answer is a page for people.
fn is_page(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/html"))
}

/// Adds the spec's own headers. Faults: a name or value that HTTP does not allow.
pub(crate) fn add_headers(headers: &mut HeaderMap, extra: &std::collections::BTreeMap<String, String>) {
    for (name, value) in extra {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::from_str(value)) {
            headers.insert(name, value);
        }
    }
}

/// A secret as a header's value, kept out of debug output. Errors: `SECRET_UNAVAILABLE` for what no header can hold.
pub(crate) fn secret_header(text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        Error::new(
            &codes::SECRET_UNAVAILABLE,
            "use the provider's key: it holds characters that a header cannot carry",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// What the vendors' settings have in common, checked.
pub(crate) fn check_common(
    base_url: &str,
    headers: &std::collections::BTreeMap<String, String>,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    let fault = |pointer: String, message: String, help: &str| Fault {
        code: &codes::CONFIG_VALUE,
        pointer,
        message,
        help: Some(help.to_owned()),
    };
    let sound = base_url.parse::<http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && uri.query().is_none()
    });
    if !sound {
        let help = "write it as `https://host/path`, without a query";
        faults.push(fault("/base_url".into(), format!("`{base_url}` is not the base URL of a server"), help));
    }
    for (name, value) in headers {
        if HeaderName::try_from(name.as_str()).is_err() || HeaderValue::from_str(value).is_err() {
            let pointer = format!("/headers/{}", name.replace('~', "~0").replace('/', "~1"));
            faults.push(fault(pointer, format!("`{name}` cannot be sent as a header"), "use visible ASCII"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_into_an_address_cannot_change_it() {
        assert_eq!(escaped("gemini-2.5_pro~x"), "gemini-2.5_pro~x");
        assert_eq!(escaped("../a?b=c#d e:é"), "..%2Fa%3Fb%3Dc%23d%20e%3A%C3%A9");
    }

    #[test]
    fn a_secret_is_not_shown_in_debug_output() {
        let value = secret_header("Bearer key").unwrap();
        assert!(!format!("{value:?}").contains("key"));
        assert_eq!(secret_header("line\nend").unwrap_err().code().id, "SECRET_UNAVAILABLE");
    }
}
