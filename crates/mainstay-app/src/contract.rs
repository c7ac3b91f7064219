//! The contract with an app, without the network: what it is asked, and what its answers mean.
//!
//! Lenient where services differ in names alone, strict where a mistake would pass for an answer: a stream without an
//! end, JSON without an answer, an error inside a 200.

pub(crate) mod events;
pub(crate) mod question;
pub(crate) mod refusal;
pub(crate) mod reply;

use mainstay_core::{Error, codes};

/// The app answered, but not by the contract; `why` fits "the app's answer …".
pub(crate) fn broken(why: &str) -> Error {
    Error::new(&codes::APP_FAILED, format!("the app's answer {why}"))
        .with_help("the contract is in `docs/guide/app-agents.md`")
}
