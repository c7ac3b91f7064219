//! Who may call which method of the app beside us: the policies of a file, asked for each call of another app.

use std::borrow::Cow;

use mainstay_core::runtime_config::{AccessControl, AccessPolicy, Action, Operation};

/// The trust domain of apps that say none.
pub const TRUST_DOMAIN: &str = "public";

/// Another app that calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller<'a> {
    /// Its id.
    pub app: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its trust domain.
    pub trust_domain: &'a str,
}

/// The policies. The default lets everybody in.
#[derive(Clone, Debug, Default)]
pub struct Access(Option<AccessControl>);

impl Access {
    /// The policies of a file.
    #[must_use]
    pub fn new(control: Option<AccessControl>) -> Self {
        Self(control)
    }

    /// Whether a call may be made. `operation` is the path or the method's full name as it came; `verb` is that of a
    /// call to an app that answers requests, `None` for one whose methods are called.
    #[must_use]
    pub fn allows(&self, caller: Caller<'_>, operation: &str, verb: Option<&str>) -> bool {
        let Some(control) = &self.0 else { return true };
        self.action(control, caller, operation, verb) == Action::Allow
    }

    fn action(
        &self,
        control: &AccessControl,
        caller: Caller<'_>,
        operation: &str,
        verb: Option<&str>,
    ) -> Action {
        // Of several for the same caller the last counts.
        let is_callers =
            |policy: &&AccessPolicy| policy.app == caller.app && policy.namespace == caller.namespace;
        let policy = control.policies.iter().rfind(is_callers);
        let Some(policy) = policy.filter(|policy| policy.trust_domain == caller.trust_domain) else {
            return control.default;
        };
        let default = policy.default.unwrap_or(control.default);
        let Some(path) = canonical(operation) else { return Action::Deny };
        let is_request = verb.is_some();
        let Some(rule) = policy.operations.iter().find(|rule| fits(&rule.path, &path, is_request)) else {
            return default;
        };
        match verb {
            None => rule.action,
            Some(verb) if names(rule, verb) => rule.action,
            Some(_) => default,
        }
    }
}

/// Whether a rule is for a verb.
fn names(rule: &Operation, verb: &str) -> bool {
    rule.methods.iter().any(|method| method == "*" || method.eq_ignore_ascii_case(verb))
}

/// The parts of a path: decoded, so that no encoding hides one, with `.` and `..` resolved. `None` for one that has
/// characters which no method's name has.
fn canonical(operation: &str) -> Option<Vec<String>> {
    let decoded: Cow<'_, str> = percent_encoding::percent_decode_str(operation).decode_utf8_lossy();
    if decoded.chars().any(|c| c.is_control() || matches!(c, '#' | '?')) {
        return None;
    }
    let mut parts = Vec::new();
    for part in decoded.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part.to_owned()),
        }
    }
    Some(parts)
}

/// Whether a rule's path fits: `*` ends a part that begins like it, `**` ends it with all parts that follow. Paths of
/// requests are compared without case.
fn fits(rule: &str, path: &[String], without_case: bool) -> bool {
    let same = |one: &str, other: &str| one == other || without_case && one.eq_ignore_ascii_case(other);
    let begins = |part: &str, with: &str| part.get(..with.len()).is_some_and(|start| same(start, with));
    let mut path = path.iter();
    for wanted in rule.split('/').filter(|part| !part.is_empty()) {
        let Some(part) = path.next() else { return false };
        if let Some(start) = wanted.strip_suffix("**") {
            return begins(part, start);
        }
        let fits = match wanted.strip_suffix('*') {
            Some(start) => begins(part, start),
            None => same(part, wanted),
        };
        if !fits {
            return false;
        }
    }
    path.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(path: &str, methods: &[&str], action: Action) -> Operation {
        let methods = methods.iter().map(|&method| method.to_owned()).collect();
        Operation { path: path.to_owned(), methods, action }
    }

    fn access() -> Access {
        let operations = vec![
            rule("/orders/*", &["GET"], Action::Allow),
            rule("/open/**", &["*"], Action::Allow),
            rule("/both", &["POST", "PUT"], Action::Allow),
            rule("/pkg.Service/Read", &[], Action::Allow),
            rule("/silent", &[], Action::Allow),
        ];
        let policy = AccessPolicy {
            app: "shop".to_owned(),
            default: Some(Action::Deny),
            trust_domain: "public".to_owned(),
            namespace: "default".to_owned(),
            operations,
        };
        let friend =
            AccessPolicy { app: "friend".to_owned(), default: None, operations: vec![], ..policy.clone() };
        let control = AccessControl {
            default: Action::Deny,
            policies: vec![policy, friend],
            ..AccessControl::default()
        };
        Access::new(Some(control))
    }

    const SHOP: Caller<'_> = Caller { app: "shop", namespace: "default", trust_domain: "public" };

    #[track_caller]
    fn check(operation: &str, verb: Option<&str>, expect: bool) {
        assert_eq!(access().allows(SHOP, operation, verb), expect, "{verb:?} {operation}");
    }

    #[test]
    fn a_rule_is_for_its_paths_and_verbs() {
        check("/orders/7", Some("GET"), true);
        check("orders/7", Some("get"), true);
        check("/ORDERS/7/", Some("GET"), true);
        check("/orders/7", Some("DELETE"), false);
        check("/orders", Some("GET"), false);
        check("/orders/7/items", Some("GET"), false);
        check("/open/a/b/c", Some("DELETE"), true);
        check("/both", Some("PUT"), true);
        check("/other", Some("GET"), false);
        check("/silent", Some("GET"), false);
        check("/pkg.Service/Read", None, true);
        check("/pkg.service/read", None, false);
        check("/pkg.Service/Write", None, false);
    }

    #[test]
    fn no_spelling_of_a_path_gets_around_a_rule() {
        check("/open/../secret", Some("GET"), false);
        check("/open/%2e%2e/secret", Some("GET"), false);
        check("/open/%2E%2E%2Fsecret", Some("GET"), false);
        check("//open//x", Some("GET"), true);
        check("/open/x%00", Some("GET"), false);
        check("/open/x%3Fy", Some("GET"), false);
    }

    #[test]
    fn who_has_no_policy_gets_the_default() {
        let of = |caller: Caller<'_>| access().allows(caller, "/open/x", Some("GET"));
        assert!(of(SHOP));
        assert!(!of(Caller { app: "other", ..SHOP }));
        assert!(!of(Caller { app: "friend", ..SHOP }));
        assert!(!of(Caller { namespace: "else", ..SHOP }));
        assert!(!of(Caller { trust_domain: "else", ..SHOP }));
        assert!(Access::default().allows(Caller { app: "", ..SHOP }, "/x", None));
    }
}
