//! Subscriptions, in both of their versions: with one route, and with rules.

use std::time::Duration;

use mainstay_core::codes;
use mainstay_core::subscription::{Bulk, Rule, Subscription};

use super::condition;
use super::head::{BESIDE_SPEC, Head, Kind};
use super::section::Section;

/// Reads a subscription; `None` when it lacks what it cannot be without.
pub(super) fn read(
    head: Head,
    document: &Section<'_, '_>,
    spec: Option<Section<'_, '_>>,
) -> Option<Subscription> {
    let Some(mut spec) = spec else {
        super::lacks_spec(document, "a subscription has its component and topic there");
        return None;
    };
    let pubsub = spec.required_text("pubsubname", "the component that the topic is of");
    let topic = spec.required_text("topic", "what to subscribe to");
    let rules = if head.kind == Kind::Subscription { route(&mut spec) } else { rules(&mut spec) };
    if rules.is_empty() {
        let message =
            "the subscription has no route; an app that is called over HTTP gets nothing".to_owned();
        spec.warn(spec.key, &codes::CONFIG_MISSING_KEY, message, None);
    }
    let dead_letter_topic = spec.text("deadLetterTopic").map(|said| said.value);
    let metadata = spec.texts_by_name("metadata").into_iter();
    let metadata = metadata.map(|(name, said)| (name.to_owned(), said.value)).collect();
    let bulk = spec.section("bulkSubscribe").map(bulk).unwrap_or_default();
    spec.finish_beside(&BESIDE_SPEC);
    Some(Subscription {
        name: head.name.map(|said| said.value).unwrap_or_default(),
        namespace: head.namespace,
        pubsub: pubsub?.value,
        topic: topic?.value,
        rules,
        dead_letter_topic,
        metadata,
        bulk,
        scopes: head.scopes,
        origin: String::new(),
    })
}

fn route(spec: &mut Section<'_, '_>) -> Vec<Rule> {
    if let Some(entry) = spec.entry("routes") {
        let message = "`spec.routes` has no effect in this version, which has one `route`".to_owned();
        let help = "write `apiVersion: dapr.io/v2alpha1`".to_owned();
        spec.warn(entry.key_span, &codes::CONFIG_VALUE, message, Some(help));
    }
    spec.text("route").map(|said| Rule { condition: None, path: said.value }).into_iter().collect()
}

fn rules(spec: &mut Section<'_, '_>) -> Vec<Rule> {
    if let Some(entry) = spec.entry("route") {
        let message = "`spec.route` has no effect in this version, which has `routes`".to_owned();
        let help = "write `routes: { default: PATH }`".to_owned();
        spec.warn(entry.key_span, &codes::CONFIG_VALUE, message, Some(help));
    }
    let Some(mut routes) = spec.section("routes") else { return Vec::new() };
    let mut rules = Vec::new();
    for mut rule in
        routes.sections("rules", Some("write a list of `- match: CONDITION` with `path: PATH` under it"))
    {
        let condition = rule.text("match");
        condition::check(&rule, "match", condition.as_ref());
        let condition = condition.map(|said| said.value);
        let path = rule.required_text("path", "the app's path for messages that fit");
        rule.finish();
        rules.extend(path.map(|path| Rule { condition, path: path.value }));
    }
    let default = routes.text("default");
    routes.finish();
    rules.extend(default.map(|said| Rule { condition: None, path: said.value }));
    rules
}

fn bulk(mut section: Section<'_, '_>) -> Bulk {
    let enabled = section.flag("enabled").unwrap_or(false);
    let positive = |count: Option<u32>| count.filter(|count| *count > 0);
    let messages_max = positive(section.count("maxMessagesCount", 0));
    let wait_max = positive(section.count("maxAwaitDurationMs", 0));
    section.finish();
    Bulk { enabled, messages_max, wait_max: wait_max.map(|ms| Duration::from_millis(ms.into())) }
}
