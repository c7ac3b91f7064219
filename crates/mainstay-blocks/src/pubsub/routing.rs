//! Which path of the app a message goes to: the first rule whose condition holds.

use cel::{Context, Program, Value};
use mainstay_core::subscription::Subscription;
use mainstay_core::{Error, Result, codes};

/// A subscription's rules, compiled.
pub(super) struct Routes(Vec<Route>);

struct Route {
    condition: Option<Program>,
    path: String,
}

/// Where a message goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Routed<'a> {
    /// To this path.
    To(&'a str),
    /// Nowhere: no rule is for it.
    Nowhere,
    /// A condition gave no yes or no.
    Failed(String),
}

impl Routes {
    /// Compiles the rules. Errors: `CONFIG_VALUE` for a condition that is none, with its fault.
    pub(super) fn new(subscription: &Subscription) -> Result<Self> {
        let compile = |rule: &mainstay_core::subscription::Rule| {
            let condition = rule.condition.as_deref().filter(|text| !text.trim().is_empty());
            let condition = condition.map(Program::compile).transpose().map_err(|fault| {
                let text = rule.condition.as_deref().unwrap_or_default();
                let message =
                    format!("the condition `{text}` of a subscription to `{}`: {fault}", subscription.topic);
                Error::new(&codes::CONFIG_VALUE, message)
            })?;
            Ok(Route { condition, path: rule.path.clone() })
        };
        subscription.rules.iter().map(compile).collect::<Result<_>>().map(Self)
    }

    /// Chooses the path for an event.
    pub(super) fn route(&self, event: &serde_json::Value) -> Routed<'_> {
        let mut context = None;
        for route in &self.0 {
            let Some(condition) = &route.condition else { return Routed::To(&route.path) };
            if context.is_none() {
                context = match with_event(event) {
                    Ok(context) => Some(context),
                    Err(why) => return Routed::Failed(why),
                };
            }
            let Some(context) = &context else { return Routed::Nowhere };
            match condition.execute(context) {
                Ok(Value::Bool(true)) => return Routed::To(&route.path),
                Ok(Value::Bool(false)) => {}
                Ok(_) => return Routed::Failed("a condition gave neither true nor false".to_owned()),
                Err(fault) => return Routed::Failed(fault.to_string()),
            }
        }
        Routed::Nowhere
    }
}

fn with_event(event: &serde_json::Value) -> std::result::Result<Context<'static, 'static>, String> {
    let mut context = Context::default();
    context.add_variable("event", event).map_err(|fault| fault.to_string())?;
    Ok(context)
}

#[cfg(test)]
mod tests {
    use mainstay_core::subscription::Rule;
    use serde_json::json;

    use super::*;

    fn routes(rules: &[(Option<&str>, &str)]) -> Result<Routes> {
        let rule = |(condition, path): &(Option<&str>, &str)| Rule {
            condition: condition.map(str::to_owned),
            path: (*path).to_owned(),
        };
        Routes::new(&Subscription {
            name: String::new(),
            namespace: None,
            pubsub: "bus".to_owned(),
            topic: "orders".to_owned(),
            rules: rules.iter().map(rule).collect(),
            dead_letter_topic: None,
            metadata: std::collections::BTreeMap::new(),
            bulk: mainstay_core::subscription::Bulk::default(),
            scopes: Vec::new(),
            origin: String::new(),
        })
    }

    fn check(condition: &str, expect: bool) {
        let event = json!({"type": "order.paid", "data": {"n": 7, "price": 1.5, "tags": ["a"], "who": {"name": "x"}}});
        let routes = routes(&[(Some(condition), "/yes"), (None, "/no")]).unwrap();
        let wanted = if expect { "/yes" } else { "/no" };
        assert_eq!(routes.route(&event), Routed::To(wanted), "{condition}");
    }

    #[test]
    fn conditions_see_the_event() {
        check(r#"event.type == "order.paid""#, true);
        check(r#"event.type.startsWith("order.") && event.data.n > 5"#, true);
        check("event.data.n == 7", true);
        check("event.data.n < 7", false);
        check("event.data.price >= 1.5", true);
        check("event.data.n > 6.5", true);
        check("has(event.data.missing)", false);
        check(r#"event.data.who.name in ["x", "y"]"#, true);
        check("size(event.data.tags) == 1", true);
        check(r#"event.type.matches("^order\\..*d$")"#, true);
    }

    #[test]
    fn the_first_rule_that_holds_is_taken() {
        let routes = routes(&[(Some("event.n == 1"), "/one"), (Some("event.n > 0"), "/more")]).unwrap();
        assert_eq!(routes.route(&json!({"n": 1})), Routed::To("/one"));
        assert_eq!(routes.route(&json!({"n": 2})), Routed::To("/more"));
        assert_eq!(routes.route(&json!({"n": 0})), Routed::Nowhere);
        assert!(matches!(routes.route(&json!({})), Routed::Failed(_)));
    }

    #[test]
    fn what_is_no_condition_is_told_when_it_is_read() {
        assert!(
            routes(&[(Some("event.type =="), "/x")]).is_err_and(|error| error.message().contains("orders"))
        );
        let odd = routes(&[(Some("event.n + 1"), "/x")]).unwrap();
        assert!(matches!(odd.route(&json!({"n": 1})), Routed::Failed(_)));
    }
}
