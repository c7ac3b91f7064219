//! ★ What requests can pass through. To add a type: a file in `middleware/` with a `pub const DEF`, and a line in
//! `ALL`. That line enrols it in the conformance suite (`tests/middleware` wants settings for it) and the reference
//! page.
//!
//! A file has five parts in order: `//!` (what, link), `DEF`, pure settings, the `impl`, the error map.

#[cfg(feature = "crypto")]
pub mod bearer;
#[cfg(feature = "crypto")]
pub mod client_credentials;
pub mod rate_limit;
pub mod router_alias;
#[cfg(feature = "crypto")]
mod token;
pub mod uppercase;

use mainstay_core::middleware::{Answer, Middleware, Step};

/// A type of handler.
pub type Def = crate::def::Def<dyn Middleware>;

/// Every type, in the order of the reference page.
pub static ALL: &[Def] = &[
    #[cfg(feature = "crypto")]
    bearer::DEF,
    #[cfg(feature = "crypto")]
    client_credentials::DEF,
    rate_limit::DEF,
    router_alias::DEF,
    uppercase::DEF,
];

/// The type of this name.
#[must_use]
pub fn find(kind: &str) -> Option<&'static Def> {
    ALL.iter().find(|def| def.is_called(kind))
}

/// An answer of a line of text.
fn refusal(status: u16, text: &'static str) -> Step {
    let headers = vec![("content-type".to_owned(), "text/plain; charset=utf-8".to_owned())];
    Step::Answer(Answer { status, headers, body: bytes::Bytes::from_static(text.as_bytes()) })
}
