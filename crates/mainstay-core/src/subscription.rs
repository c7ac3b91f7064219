//! A subscription that a file declares: which topic goes to which paths of the app.
//!
//! Conditions are texts here; the building block compiles them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::component::admits;

/// A declared subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Its name; may be empty.
    pub name: String,
    /// The namespace that it is for; any when `None`.
    pub namespace: Option<String>,
    /// The broker's component.
    pub pubsub: String,
    /// The topic.
    pub topic: String,
    /// Where messages go, in the order they are tried. The one without a condition is the last.
    pub rules: Vec<Rule>,
    /// The topic that what cannot be worked on goes to.
    pub dead_letter_topic: Option<String>,
    /// Settings of the subscription, as the broker's type documents them.
    pub metadata: BTreeMap<String, String>,
    /// Delivery of many messages in one call.
    pub bulk: Bulk,
    /// The apps that it is for; all when empty.
    pub scopes: Vec<String>,
    /// The file it comes from, with the line: for messages.
    pub origin: String,
}

impl Subscription {
    /// Whether it is for an app in a namespace.
    #[must_use]
    pub fn is_for(&self, app: &str, namespace: &str) -> bool {
        let here = self.namespace.as_deref().is_none_or(|own| own == namespace);
        here && admits(&self.scopes, app)
    }
}

/// A condition and a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The condition over `event`, as written; `None` fits every message.
    pub condition: Option<String>,
    /// The app's path.
    pub path: String,
}

/// Delivery of many messages in one call. What is `None` is the building block's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bulk {
    /// Whether the app wants it.
    pub enabled: bool,
    /// Messages in one call.
    pub messages_max: Option<u32>,
    /// How long the first of them waits for more.
    pub wait_max: Option<Duration>,
}
