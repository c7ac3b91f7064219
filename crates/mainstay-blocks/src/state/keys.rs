//! What stands before an app's keys, so that apps that share a store do not share keys.

use mainstay_core::{Error, Result, codes};

use crate::App;

/// Between the prefix and the key.
pub const SEPARATOR: &str = "||";

/// The prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// The prefix that a component's setting `keyPrefix` asks for: `appid` (the default), `name`, `namespace`, `none`,
    /// or itself.
    #[must_use]
    pub fn of(setting: Option<&str>, component: &str, app: &App) -> Self {
        let text = match setting.unwrap_or("appid") {
            "none" => return Self(String::new()),
            "name" => component.to_owned(),
            "appid" | "" => app.id.clone(),
            "namespace" => match &app.namespace {
                Some(namespace) => format!("{namespace}.{}", app.id),
                None => app.id.clone(),
            },
            literal => literal.to_owned(),
        };
        if text.is_empty() { Self(text) } else { Self(text + SEPARATOR) }
    }

    /// What stands before each key, the separator included.
    #[must_use]
    pub fn before(&self) -> &str {
        &self.0
    }

    /// The key as the store has it. Errors: `INVALID_FIELD` for an empty key and for one that holds the separator, with
    /// which an app could reach the keys of another.
    pub fn key(&self, key: &str) -> Result<String> {
        if key.is_empty() {
            return Err(Error::new(&codes::INVALID_FIELD, "\"key\" is a required field").with_field("key"));
        }
        if key.contains(SEPARATOR) {
            let message = format!("input key/keyPrefix '{key}' can't contain '{SEPARATOR}'");
            return Err(Error::new(&codes::INVALID_FIELD, message).with_field("key"));
        }
        Ok(format!("{}{key}", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_chooses_what_stands_before_a_key() {
        let check = |setting: Option<&str>, namespace: Option<&str>, expect: &str| {
            let app = App { id: "shop".to_owned(), namespace: namespace.map(str::to_owned) };
            assert_eq!(Prefix::of(setting, "orders", &app).key("k").unwrap(), expect);
        };
        check(None, None, "shop||k");
        check(Some("appid"), Some("prod"), "shop||k");
        check(Some("name"), None, "orders||k");
        check(Some("namespace"), Some("prod"), "prod.shop||k");
        check(Some("namespace"), None, "shop||k");
        check(Some("none"), None, "k");
        check(Some("team-a"), None, "team-a||k");
    }

    #[test]
    fn no_key_reaches_those_of_another_app() {
        for key in ["", "a||b", "||", "other||k"] {
            assert_eq!(Prefix::default().key(key).unwrap_err().field(), Some("key"), "{key:?}");
        }
    }
}
