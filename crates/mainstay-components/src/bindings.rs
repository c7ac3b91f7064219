//! ★ The bindings. To add a type: a file in `bindings/` with a `pub const DEF`, and a line in `ALL`. That line enrols
//! it in the conformance suite (`tests/bindings` wants a rig for it) and the reference page.
//!
//! A file has five parts in order: `//!` (what, tested versions, link), `DEF`, pure settings, the `impl`, the error
//! map.

pub mod cron;
pub mod http;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod localstorage;
#[cfg(feature = "postgres")]
pub mod postgresql;
#[cfg(feature = "redis")]
pub mod redis;

use mainstay_core::binding::{Binding, Operation};
use mainstay_core::{Error, Result, codes};

/// A type of binding.
pub type Def = crate::def::Def<dyn Binding>;

/// Every type, in the order of the reference page.
pub static ALL: &[Def] = &[
    cron::DEF,
    http::DEF,
    #[cfg(feature = "kafka")]
    kafka::DEF,
    localstorage::DEF,
    #[cfg(feature = "postgres")]
    postgresql::DEF,
    #[cfg(feature = "redis")]
    redis::DEF,
];

/// The type of this name.
#[must_use]
pub fn find(kind: &str) -> Option<&'static Def> {
    ALL.iter().find(|def| def.is_called(kind))
}

/// Operations as a binding declares them.
fn operations(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Metadata that an operation cannot do without. Errors: `INVALID_FIELD`.
fn required<'a>(operation: &'a Operation, name: &str) -> Result<&'a str> {
    let value = operation.metadata.get(name).map(String::as_str).filter(|value| !value.is_empty());
    value.ok_or_else(|| {
        let message = format!("{}: `metadata.{name}` is missing", operation.name);
        Error::new(&codes::INVALID_FIELD, message).with_field(format!("metadata.{name}"))
    })
}

/// The failure of a client that a state store or a broker shares, as a binding's.
#[cfg(any(feature = "kafka", feature = "redis", feature = "postgres"))]
fn of_client(error: Error) -> Error {
    if ![&codes::STORE_UNAVAILABLE, &codes::BROKER_UNAVAILABLE].contains(&error.code()) {
        return error;
    }
    Error::new(&codes::BINDING_FAILED, error.message())
        .with_internal(error.internal().unwrap_or_default())
        .with_retry(error.retry())
        .with_source(error)
}

/// The failure of the other side, with what only the log may see.
fn failed(what: impl Into<String>, internal: impl Into<String>) -> Error {
    Error::new(&codes::BINDING_FAILED, what).with_internal(internal)
}
