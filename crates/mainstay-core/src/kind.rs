//! What a registry says of a kind of member (of provider, of tool, …), so that config, docs, schema and CLI can read
//! it without knowing any member.

use serde_json::Value;

use crate::Code;

/// A kind of member.
#[derive(Clone, Copy, Debug)]
pub struct KindDef {
    /// The kind's name in the spec.
    pub kind: &'static str,
    /// What it is, in one sentence.
    pub about: &'static str,
    /// JSON Schema (2020-12) of its settings; doc comments are descriptions.
    pub schema: fn() -> Value,
    /// Checks settings that fit the schema for what a schema cannot say. Pure; reports every fault.
    pub check: fn(&Value) -> Vec<Fault>,
}

/// A fault in the spec, at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its code, `CONFIG_*`.
    pub code: &'static Code,
    /// JSON Pointer to the value at fault, relative to what was checked; empty for the whole.
    pub pointer: String,
    /// What is wrong, a lowercase fragment with values in backticks.
    pub message: String,
    /// The next step.
    pub help: Option<String>,
}
