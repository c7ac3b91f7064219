//! ★ The conversation components. To add a type: a file in `conversation/` with a `pub const DEF`, and a line in `ALL`.
//! That line enrols it in the reference page. What is opened is an [`Endpoint`]: most say which endpoint of a model
//! vendor is meant, and the binary joins that with the vendor's provider.

pub mod echo;
pub mod mainstay;
pub mod vendors;

use std::sync::Arc;

use mainstay_core::Redacted;
use mainstay_core::conversation::Conversation;
use serde_json::Value;

/// What answers.
pub enum Endpoint {
    /// The component itself.
    Own(Arc<dyn Conversation>),
    /// A vendor.
    Vendor(Vendor),
    /// A model of the spec, by its name there.
    Model(String),
}

/// An endpoint of a model vendor.
#[derive(Clone, Debug, PartialEq)]
pub struct Vendor {
    /// The kind of provider that speaks its dialect.
    pub provider: &'static str,
    /// That provider's settings; where they need a key, it is referred to as [`Vendor::KEY`].
    pub settings: Value,
    /// The key.
    pub key: Option<Redacted<String>>,
    /// The model's name there.
    pub model: String,
    /// Most tokens of output where a request does not say.
    pub max_tokens: Option<u32>,
}

impl Vendor {
    /// The reference that stands for the key in the settings.
    pub const KEY: &str = "component:key";
}

/// A type of conversation component.
pub type Def = crate::def::Def<Endpoint>;

/// Every type, in the order of the reference page.
pub static ALL: &[Def] = &[
    echo::DEF,
    mainstay::DEF,
    vendors::OPENAI,
    vendors::ANTHROPIC,
    vendors::GOOGLEAI,
    vendors::OLLAMA,
    vendors::MISTRAL,
    vendors::DEEPSEEK,
];

/// The type of this name.
#[must_use]
pub fn find(kind: &str) -> Option<&'static Def> {
    ALL.iter().find(|def| def.is_called(kind))
}
