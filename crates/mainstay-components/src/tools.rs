//! ★ The tools. To add a kind: a file in `tools/` with a `pub const DEF`, and a line in `ALL`. That line enrols it in
//! the conformance suite (`tests/tools.rs` wants a peer for it), the schema, the reference page and the spec.
//!
//! A file has five parts in order: `//!` (what, link), `DEF`, pure settings, the `impl`, the error map.

pub mod chroma;
pub mod http;

use std::sync::Arc;

use mainstay_core::embedding::Embedder;
use mainstay_core::secret::SecretSource;
use mainstay_core::tool::ToolSource;
use mainstay_core::{KindDef, Name, Result};
use serde_json::Value;

/// A kind of tool.
#[derive(Clone, Copy, Debug)]
pub struct Def {
    /// Its name, settings and checks.
    pub kind: KindDef,
    /// Opens one. Quick: no network. Errors: `SECRET_UNAVAILABLE`.
    pub open: fn(Opening<'_>) -> Result<Arc<dyn ToolSource>>,
}

/// What opening takes.
#[derive(Clone, Copy)]
pub struct Opening<'a> {
    /// The tool's name in the spec.
    pub name: &'a Name,
    /// Its settings, checked.
    pub settings: &'a Value,
    /// Where secrets come from; read at opening.
    pub secrets: &'a dyn SecretSource,
    /// What texts are embedded with, where a tool looks for their meaning.
    pub embedder: &'a Arc<dyn Embedder>,
}

impl std::fmt::Debug for Opening<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opening").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Every kind, in the order of the reference page.
pub static ALL: &[Def] = &[http::DEF, chroma::DEF];

/// The kind of this name.
#[must_use]
pub fn find(kind: &str) -> Option<&'static Def> {
    ALL.iter().find(|def| def.kind.kind == kind)
}
