//! `models`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quantity::Time;

/// A name that agents and callers ask for.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Model {
    /// Where it is served, as `PROVIDER/MODEL`, in order of preference: the next is tried when one fails before its
    /// first byte. The model's own name may contain slashes.
    #[schemars(length(min = 1, max = 16), extend("uniqueItems" = true))]
    pub(crate) targets: Vec<String>,
    /// Longest wait for the first byte of an answer, at each target.
    #[serde(default = "first_byte_timeout")]
    #[schemars(extend("x-minimum" = "100ms", "x-maximum" = "1h"))]
    pub(crate) first_byte_timeout: Time,
    /// Longest silence of the provider inside an answer that has begun; then the stream ends with an error. Pings and
    /// comments of the provider break the silence too.
    #[serde(default = "idle_timeout")]
    #[schemars(extend("x-minimum" = "100ms", "x-maximum" = "1h"))]
    pub(crate) idle_timeout: Time,
    /// Output tokens to ask for where a provider demands a number and the caller gave none.
    #[serde(default = "max_tokens_default")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) max_tokens_default: u32,
}

pub(crate) fn first_byte_timeout() -> Time {
    Time::seconds(60)
}

pub(crate) fn idle_timeout() -> Time {
    Time::seconds(120)
}

pub(crate) fn max_tokens_default() -> u32 {
    4096
}
