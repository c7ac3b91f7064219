//! What an app says it subscribes to, as JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_core::subscription::{Bulk, Rule, Subscription};
use mainstay_core::{Error, Result, codes};
use serde::{Deserialize, Deserializer};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    pubsubname: String,
    topic: String,
    #[serde(default, deserialize_with = "or_default")]
    route: String,
    routes: Option<Routes>,
    #[serde(default, deserialize_with = "or_default")]
    dead_letter_topic: String,
    metadata: Option<BTreeMap<String, String>>,
    bulk_subscribe: Option<WireBulk>,
}

#[derive(Deserialize)]
struct Routes {
    #[serde(default, deserialize_with = "or_default")]
    rules: Vec<WireRule>,
    #[serde(default, deserialize_with = "or_default")]
    default: String,
}

#[derive(Deserialize)]
struct WireRule {
    #[serde(default, rename = "match", deserialize_with = "or_default")]
    condition: String,
    path: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireBulk {
    #[serde(default, deserialize_with = "or_default")]
    enabled: bool,
    max_messages_count: Option<u32>,
    max_await_duration_ms: Option<u64>,
}

/// `null` is as good as nothing: apps written in other languages send it for what is not set.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(reader: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(reader)?.unwrap_or_default())
}

/// Reads the list. One that names no path is passed over. Errors: `APP_REJECTED` for what is no list of subscriptions.
pub(super) fn read(body: &[u8]) -> Result<Vec<Subscription>> {
    let items: Option<Vec<Item>> = serde_json::from_slice(body).map_err(|fault| {
        let message = format!("read what the app subscribes to: {fault}");
        Error::new(&codes::APP_REJECTED, message)
            .with_help("its answer to `GET /dapr/subscribe` must be a list")
    })?;
    Ok(items.unwrap_or_default().into_iter().filter_map(subscription).collect())
}

fn subscription(item: Item) -> Option<Subscription> {
    let rules = rules(item.routes, item.route);
    if rules.is_empty() {
        tracing::warn!(topic = %item.topic, "a subscription of the app names no path: it is passed over");
        return None;
    }
    let bulk = item.bulk_subscribe.map_or_else(Bulk::default, |bulk| Bulk {
        enabled: bulk.enabled,
        messages_max: bulk.max_messages_count,
        wait_max: bulk.max_await_duration_ms.map(Duration::from_millis),
    });
    Some(Subscription {
        name: String::new(),
        namespace: None,
        pubsub: item.pubsubname,
        topic: item.topic,
        rules,
        dead_letter_topic: Some(item.dead_letter_topic).filter(|topic| !topic.is_empty()),
        metadata: item.metadata.unwrap_or_default(),
        bulk,
        scopes: Vec::new(),
        origin: "the app".to_owned(),
    })
}

/// The rules in their order; the path without a condition comes last.
fn rules(routes: Option<Routes>, route: String) -> Vec<Rule> {
    let (mut rules, mut last) = (Vec::new(), route);
    if let Some(routes) = routes {
        for rule in routes.rules {
            let condition = Some(rule.condition).filter(|text| !text.is_empty());
            rules.push(Rule { condition, path: rule.path });
        }
        if !routes.default.is_empty() {
            last = routes.default;
        }
    }
    if !last.is_empty() {
        rules.push(Rule { condition: None, path: last });
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(subscription: &Subscription) -> Vec<(Option<&str>, &str)> {
        subscription.rules.iter().map(|rule| (rule.condition.as_deref(), rule.path.as_str())).collect()
    }

    #[test]
    fn both_forms_of_routes_are_read() {
        let read = read(
            br#"[{"pubsubname":"bus","topic":"a","route":"/a","metadata":{"rawPayload":"true"}},
                {"pubsubname":"bus","topic":"b","routes":{"rules":[{"match":"event.type == 'x'","path":"/x"}],
                 "default":"/b"},"deadLetterTopic":"dead","bulkSubscribe":{"enabled":true,"maxMessagesCount":9}},
                {"pubsubname":"bus","topic":"c","route":null,"routes":null,"deadLetterTopic":null,"metadata":null}]"#,
        );
        let found = read.unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(paths(&found[0]), [(None, "/a")]);
        assert_eq!(found[0].metadata["rawPayload"], "true");
        assert_eq!(paths(&found[1]), [(Some("event.type == 'x'"), "/x"), (None, "/b")]);
        assert_eq!(found[1].dead_letter_topic.as_deref(), Some("dead"));
        assert!(found[1].bulk.enabled && found[1].bulk.messages_max == Some(9));
    }

    #[test]
    fn nothing_is_a_list_too_and_what_is_none_is_refused() {
        assert_eq!(read(b"null").unwrap().len() + read(b"[]").unwrap().len(), 0);
        for bad in [&b""[..], b"{}", b"[{}]", b"<html>"] {
            assert_eq!(read(bad).unwrap_err().code(), &codes::APP_REJECTED);
        }
    }
}
