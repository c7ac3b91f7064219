//! What a handler gets: the request, read whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use mainstay_blocks::Blocks;
use mainstay_core::{Ctx, Principal, RequestId};
use mainstay_dapr::Fault;
use serde::de::{Deserialize, DeserializeOwned, Deserializer};

use crate::answer::Answer;
use crate::surface::Shared;

/// What a handler gives.
pub(crate) type Result<T = Answer> = std::result::Result<T, Fault>;

/// The context of a request.
pub(crate) fn context(parts: &Parts) -> Ctx {
    let ctx = Ctx::new(RequestId::generate(), Principal::Anonymous);
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    ctx.with_traceparent(text("traceparent")).with_tracestate(text("tracestate"))
}

/// A request that was let in.
pub(crate) struct Call {
    pub(crate) shared: Arc<Shared>,
    pub(crate) ctx: Ctx,
    pub(crate) parts: Parts,
    pub(crate) body: Bytes,
    /// Parameters of the path, decoded.
    pub(crate) params: Vec<(String, String)>,
}

impl Call {
    pub(crate) fn blocks(&self) -> &Blocks {
        &self.shared.blocks
    }

    /// The app's id.
    pub(crate) fn app(&self) -> &str {
        &self.shared.blocks.app().id
    }

    /// A parameter of the path; empty when it is not there.
    pub(crate) fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// A header, if it is there and is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// A parameter of the query.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        let query = self.parts.uri.query().unwrap_or_default();
        form_urlencoded::parse(query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// Every parameter of the query of this name.
    pub(crate) fn queries(&self, name: &str) -> Vec<String> {
        let query = self.parts.uri.query().unwrap_or_default();
        let found = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
        found.map(|(_, value)| value.into_owned()).collect()
    }

    /// The parameters of the query that are called `metadata.<name>`, by their name.
    pub(crate) fn metadata(&self) -> BTreeMap<String, String> {
        let query = self.parts.uri.query().unwrap_or_default();
        form_urlencoded::parse(query.as_bytes())
            .filter_map(|(key, value)| Some((key.strip_prefix("metadata.")?.to_owned(), value.into_owned())))
            .collect()
    }

    /// The body as `T`. Errors: `ERR_MALFORMED_REQUEST`.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Fault::malformed(&format!("failed deserializing HTTP body: {error}")))
    }
}

/// Reads a whole number as protobuf's JSON has it: as a number, or as text.
pub(crate) fn number<'de, D: Deserializer<'de>>(reader: D) -> std::result::Result<i64, D::Error> {
    use serde::de::Error as _;
    match serde_json::Value::deserialize(reader)? {
        serde_json::Value::Null => Ok(0),
        serde_json::Value::Number(number) => {
            number.as_i64().ok_or_else(|| D::Error::custom("it is no whole number"))
        }
        serde_json::Value::String(text) => text.parse().map_err(D::Error::custom),
        _ => Err(D::Error::custom("it is no number")),
    }
}

/// Reads a value for which `null` is as good as nothing: clients written in other languages send it for what is not
/// set.
pub(crate) fn or_default<'de, D, T>(reader: D) -> std::result::Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(reader)?.unwrap_or_default())
}
