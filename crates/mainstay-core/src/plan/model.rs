//! Models: names that agents ask for.

use std::time::Duration;

use crate::Name;

/// A name that agents and callers ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Where it is served, in order of preference: the next is tried when one fails before its first byte.
    pub targets: Vec<Target>,
    /// Longest wait for the first byte of an answer.
    pub first_byte_timeout: Duration,
    /// Longest silence of the provider inside an answer that has begun.
    pub idle_timeout: Duration,
    /// Output tokens to ask for where a dialect demands a number and the caller gave none.
    pub max_tokens_default: u32,
}

/// One model of one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The provider's name in the spec.
    pub provider: Name,
    /// The provider's name for the model.
    pub model: String,
}
