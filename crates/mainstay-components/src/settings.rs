//! A component's settings as its type reads them: names without regard to case, values as text, with a fault for each
//! that does not fit.

use std::str::FromStr;
use std::time::Duration;

use mainstay_core::{Fault, Redacted, codes, duration};

/// Settings, in the order of the file. A value may be a secret that is not known yet: then it is there, but every
/// reader gives its default and finds no fault.
#[derive(Clone, Debug, Default)]
pub struct Settings(Vec<(String, Option<Redacted<String>>)>);

impl Settings {
    /// Settings from names and values; `None` for a secret that is not known yet.
    pub fn new(settings: impl IntoIterator<Item = (String, Option<String>)>) -> Self {
        Self(settings.into_iter().map(|(name, value)| (name, value.map(Redacted::new))).collect())
    }

    /// Every name, with its value where that is known.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_ref().map(|text| text.expose().as_str())))
    }

    /// Whether it is given and not empty; a secret is, known or not.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some_and(|value| value.is_none_or(|text| !text.is_empty()))
    }

    /// A setting's text, if it is given, known and not empty.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.find(name).flatten().filter(|text| !text.is_empty())
    }

    /// The text of the first of several names for the same setting.
    #[must_use]
    pub fn text_of(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.text(name))
    }

    fn find(&self, name: &str) -> Option<Option<&str>> {
        self.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// A number.
    pub fn number<T: FromStr>(&self, name: &str, faults: &mut Vec<Fault>) -> Option<T> {
        self.read(name, "a whole number in its bounds", |text| text.parse().ok(), faults)
    }

    /// A switch: `true`, `t`, `1`, `yes`, `y` or `on`, and their opposites, in any case.
    pub fn flag(&self, name: &str, faults: &mut Vec<Fault>) -> Option<bool> {
        let flag = |text: &str| match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "1" | "yes" | "y" | "on" => Some(true),
            "false" | "f" | "0" | "no" | "n" | "off" => Some(false),
            _ => None,
        };
        self.read(name, "`true` or `false`", flag, faults)
    }

    /// A duration with a unit (`1m30s`).
    pub fn duration(&self, name: &str, faults: &mut Vec<Fault>) -> Option<Duration> {
        self.read(name, "a duration such as `5s` or `1m30s`", duration::parse, faults)
    }

    /// Whatever `parse` makes of the text; `wanted` says what that is.
    pub fn read<T>(
        &self,
        name: &str,
        wanted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
        faults: &mut Vec<Fault>,
    ) -> Option<T> {
        let text = self.text(name)?.trim();
        let value = parse(text);
        if value.is_none() {
            faults.push(fault(name, format!("`{name}` must be {wanted}"), None));
        }
        value
    }

    /// Finds a fault where none of several names for the same setting is given.
    pub fn require(&self, names: &[&str], faults: &mut Vec<Fault>) {
        if !names.iter().any(|name| self.has(name)) {
            let listed = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ");
            let pointer = names.first().copied().unwrap_or_default();
            faults.push(fault(pointer, format!("{listed} is missing"), Some("add it to `spec.metadata`")));
        }
    }
}

/// A fault of a setting. The message must not repeat a value that can be a secret.
pub fn fault(name: &str, message: String, help: Option<&str>) -> Fault {
    Fault { code: &codes::CONFIG_VALUE, pointer: name.to_owned(), message, help: help.map(str::to_owned) }
}

/// What `parse` makes of settings, and where it finds faults, sorted.
#[cfg(test)]
pub(crate) fn parsed<T>(
    pairs: &[(&str, &str)],
    parse: impl FnOnce(&Settings, &mut Vec<Fault>) -> T,
) -> (T, Vec<String>) {
    let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())));
    let mut faults = Vec::new();
    let made = parse(&Settings::new(pairs), &mut faults);
    let mut at: Vec<_> = faults.into_iter().map(|fault| fault.pointer).collect();
    at.sort_unstable();
    (made, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, Option<&str>)]) -> Settings {
        Settings::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))))
    }

    #[test]
    fn names_have_no_case_and_empty_is_absent() {
        let given = settings(&[("redisHost", Some("a:1")), ("user", Some(""))]);
        assert_eq!(given.text("REDISHOST"), Some("a:1"));
        assert!(!given.has("user") && given.text_of(&["user", "redishost"]) == Some("a:1"));
    }

    #[test]
    fn every_fault_is_found_and_no_value_is_repeated() {
        let given = settings(&[("a", Some("x")), ("b", Some("maybe")), ("c", Some("5"))]);
        let mut faults = Vec::new();
        assert_eq!(given.number::<u16>("a", &mut faults), None);
        assert_eq!(given.flag("b", &mut faults), None);
        assert_eq!(given.duration("c", &mut faults), None);
        given.require(&["host", "url"], &mut faults);
        let found: Vec<_> = faults.iter().map(|fault| fault.message.as_str()).collect();
        let wanted = [
            "`a` must be a whole number in its bounds",
            "`b` must be `true` or `false`",
            "`c` must be a duration such as `5s` or `1m30s`",
            "`host` or `url` is missing",
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_secret_that_is_not_known_yet_is_there_and_no_fault() {
        let given = settings(&[("port", None)]);
        let mut faults = Vec::new();
        given.require(&["port"], &mut faults);
        assert_eq!(given.number::<u16>("port", &mut faults), None);
        assert!(faults.is_empty() && given.has("port"));
        assert!(!format!("{:?}", settings(&[("p", Some("hunter2"))])).contains("hunter2"));
    }
}
