//! What an app says it subscribes to, as messages.

use std::time::Duration;

use mainstay_core::subscription::{Bulk, Rule, Subscription};
use mainstay_proto::runtime::v1 as wire;

/// Reads the list. One without any route takes every message: it has one method for all of them.
pub(super) fn read(said: wire::ListTopicSubscriptionsResponse) -> Vec<Subscription> {
    said.subscriptions.into_iter().map(subscription).collect()
}

fn subscription(said: wire::TopicSubscription) -> Subscription {
    let routes = said.routes.unwrap_or_default();
    let rule = |rule: wire::TopicRule| Rule {
        condition: Some(rule.r#match).filter(|text| !text.is_empty()),
        path: rule.path,
    };
    let mut rules: Vec<Rule> = routes.rules.into_iter().map(rule).collect();
    if rules.is_empty() || !routes.default.is_empty() {
        rules.push(Rule { condition: None, path: routes.default });
    }
    let at_least_one = |number: i32| u32::try_from(number).ok().filter(|number| *number > 0);
    let bulk = said.bulk_subscribe.unwrap_or_default();
    let wait_ms = at_least_one(bulk.max_await_duration_ms);
    Subscription {
        name: String::new(),
        namespace: None,
        pubsub: said.pubsub_name,
        topic: said.topic,
        rules,
        dead_letter_topic: Some(said.dead_letter_topic).filter(|topic| !topic.is_empty()),
        metadata: said.metadata,
        bulk: Bulk {
            enabled: bulk.enabled,
            messages_max: at_least_one(bulk.max_messages_count),
            wait_max: wait_ms.map(|ms| Duration::from_millis(ms.into())),
        },
        scopes: Vec::new(),
        origin: "the app".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_without_routes_takes_everything() {
        let bare = wire::TopicSubscription { topic: "t".to_owned(), ..Default::default() };
        let rule = wire::TopicRule { r#match: "event.x".to_owned(), path: "/x".to_owned() };
        let routes = wire::TopicRoutes { rules: vec![rule], default: "/d".to_owned() };
        let routed = wire::TopicSubscription { routes: Some(routes), ..bare.clone() };
        let read = read(wire::ListTopicSubscriptionsResponse { subscriptions: vec![bare, routed] });
        let paths = |at: usize| {
            let rules: &Vec<Rule> = &read[at].rules;
            rules.iter().map(|rule| (rule.condition.as_deref(), rule.path.as_str())).collect::<Vec<_>>()
        };
        assert_eq!(paths(0), [(None, "")]);
        assert_eq!(paths(1), [(Some("event.x"), "/x"), (None, "/d")]);
    }

    #[test]
    fn what_is_said_of_bulk_is_read_and_a_bound_that_is_none_is_the_default() {
        let read = |bulk: Option<wire::BulkSubscribeConfig>| {
            let said = wire::TopicSubscription { bulk_subscribe: bulk, ..Default::default() };
            read(wire::ListTopicSubscriptionsResponse { subscriptions: vec![said] }).remove(0).bulk
        };
        let config = |enabled, max_messages_count, max_await_duration_ms| {
            Some(wire::BulkSubscribeConfig { enabled, max_messages_count, max_await_duration_ms })
        };
        let of = |enabled, messages_max, wait_ms: Option<u64>| Bulk {
            enabled,
            messages_max,
            wait_max: wait_ms.map(Duration::from_millis),
        };
        assert_eq!(read(config(true, 7, 250)), of(true, Some(7), Some(250)));
        assert_eq!(read(config(true, 0, -1)), of(true, None, None));
        assert_eq!(read(None), of(false, None, None));
    }
}
