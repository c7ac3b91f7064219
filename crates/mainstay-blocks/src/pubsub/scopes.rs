//! Which app may publish to and subscribe to which topics of a broker, by the settings of its component.

use std::collections::{BTreeMap, BTreeSet};

/// The rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes {
    /// Topics that there are; every topic when empty.
    allowed: BTreeSet<String>,
    /// Topics that only apps with a scope of their own reach.
    protected: BTreeSet<String>,
    /// Topics that an app may publish to; an app that is not listed may publish to all that are not protected.
    publishing: BTreeMap<String, BTreeSet<String>>,
    /// The same for subscribing.
    subscription: BTreeMap<String, BTreeSet<String>>,
    /// The group of every subscription, where the component names one.
    group: Option<String>,
}

impl Scopes {
    /// Reads the settings `allowedTopics`, `protectedTopics`, `publishingScopes`, `subscriptionScopes` and
    /// `consumerID`.
    #[must_use]
    pub fn of<'a>(setting: impl Fn(&str) -> Option<&'a str>) -> Self {
        let list = |name: &str| words(setting(name).unwrap_or_default(), ',');
        let scopes = |name: &str| {
            let each = setting(name).unwrap_or_default().split(';').filter_map(|scope| scope.split_once('='));
            each.map(|(app, topics)| (app.trim().to_owned(), words(topics, ','))).collect()
        };
        Self {
            allowed: list("allowedTopics"),
            protected: list("protectedTopics"),
            publishing: scopes("publishingScopes"),
            subscription: scopes("subscriptionScopes"),
            group: setting("consumerID").filter(|id| !id.is_empty()).map(str::to_owned),
        }
    }

    /// Whether `app` may publish to `topic`.
    #[must_use]
    pub fn may_publish(&self, app: &str, topic: &str) -> bool {
        self.may(&self.publishing, app, topic)
    }

    /// Whether `app` may subscribe to `topic`.
    #[must_use]
    pub fn may_subscribe(&self, app: &str, topic: &str) -> bool {
        self.may(&self.subscription, app, topic)
    }

    /// The group that an app's subscriptions belong to: the app's own, unless the component names another.
    #[must_use]
    pub fn group(&self, app: &str) -> String {
        self.group.clone().unwrap_or_else(|| app.to_owned())
    }

    fn may(&self, scopes: &BTreeMap<String, BTreeSet<String>>, app: &str, topic: &str) -> bool {
        if !self.allowed.is_empty() && !self.allowed.contains(topic) {
            return false;
        }
        match scopes.get(app) {
            Some(topics) => topics.contains(topic),
            None => !self.protected.contains(topic),
        }
    }
}

fn words(text: &str, between: char) -> BTreeSet<String> {
    text.split(between).map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_allowed_protected_and_scoped() {
        let settings = BTreeMap::from([
            ("allowedTopics", "a, b,secret"),
            ("protectedTopics", "secret"),
            ("publishingScopes", "one=a;two=;three=secret"),
        ]);
        let scopes = Scopes::of(|name| settings.get(name).copied());
        let check = |app: &str, expect: [bool; 4]| {
            let found = ["a", "b", "secret", "other"].map(|topic| scopes.may_publish(app, topic));
            assert_eq!(found, expect, "{app}");
        };
        check("unlisted", [true, true, false, false]);
        check("one", [true, false, false, false]);
        check("two", [false, false, false, false]);
        check("three", [false, false, true, false]);
        assert!(scopes.may_subscribe("one", "b") && !scopes.may_subscribe("one", "secret"));
        assert!(Scopes::default().may_publish("any", "topic"));
    }
}
