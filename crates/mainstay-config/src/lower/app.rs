//! `apps`: names that no agent has, and routes that nobody else has.

use std::collections::BTreeMap;

use mainstay_core::plan::{App, RESERVED};
use mainstay_core::{Name, codes};

use super::process::Written;
use super::{Lowering, Named};
use crate::diagnostic::short;
use crate::{pointer, raw};

const ROUTE_HELP: &str = "write it like `/tasks` or `/shop/orders`";

impl Lowering<'_, '_> {
    /// The apps; `service` is what the whole is called.
    pub(super) fn apps(&mut self, raw: BTreeMap<String, raw::OpenApp>, service: Option<&str>) -> Named<App> {
        let mut apps = Named::new();
        let mut taken = BTreeMap::new();
        for (name, app) in raw {
            let base = pointer::join("/apps", &name);
            self.own_name(&base, &name, service);
            self.routes(&base, &name, &app.routes, &mut taken);
            let written = Written {
                url: app.url,
                command: app.command,
                env: app.env,
                health_path: app.health_path,
                start_timeout: app.start_timeout,
            };
            let process = self.process(&base, written);
            if let (Some(process), Some(name)) = (process, Name::parse(&name)) {
                let (description, routes, timeout) = (app.description, app.routes, app.timeout.0);
                apps.insert(name, App { process, description, routes, timeout });
            }
        }
        apps
    }

    /// A name means one thing: to callers, in records, and to the apps that look for each other.
    fn own_name(&mut self, base: &str, name: &str, service: Option<&str>) {
        if self.defined("agents").iter().any(|agent| agent == name) {
            let message = format!("an agent is called `{}`, too", short(name));
            let help = Some("give the app another name".to_owned());
            self.fault_at_key(base, &codes::CONFIG_VALUE, message, help);
        } else if service == Some(name) && self.agents_have_an_app() && self.given("/components") {
            let message =
                format!("`{}` is the id that the app of the agents has for the others", short(name));
            let help = Some("give the app another name than the service".to_owned());
            self.fault_at_key(base, &codes::CONFIG_VALUE, message, help);
        }
    }

    fn agents_have_an_app(&self) -> bool {
        let agents = self.inputs.root.entry("agents").map(|entry| entry.node.entries()).unwrap_or_default();
        agents.iter().any(|agent| agent.node.entry("app").is_some())
    }

    /// Checks the routes of an app; `taken` are those that others have, and whose.
    fn routes(&mut self, base: &str, name: &str, routes: &[String], taken: &mut BTreeMap<String, String>) {
        for (n, route) in routes.iter().enumerate() {
            let pointer = format!("{base}/routes/{n}");
            if let Err((message, help)) = fits(route) {
                let message = format!("`{}` {message}", short(route));
                self.fault(&pointer, &codes::CONFIG_VALUE, message, Some(help));
            } else if let Some(other) = taken.insert(route.clone(), name.to_owned())
                && other != name
            {
                let message = format!("`{}` is a route of `{}`, too", short(route), short(&other));
                let help = Some("a path leads to one app; the longest route that fits decides".to_owned());
                self.fault(&pointer, &codes::CONFIG_VALUE, message, help);
            }
        }
    }
}

/// Whether a path can be a route. The error says why it cannot, to follow the path, and what to do.
fn fits(route: &str) -> Result<(), (&'static str, String)> {
    let wrong = |why| Err((why, ROUTE_HELP.to_owned()));
    let Some(rest) = route.strip_prefix('/') else { return wrong("is no path: it must begin with `/`") };
    if rest.is_empty() {
        let help = "the service has paths of its own there; name those of the app, e.g. `/tasks`".to_owned();
        return Err(("leaves nothing to the service itself", help));
    }
    let mut segments = rest.split('/');
    if rest.ends_with('/') {
        return wrong("ends with `/`; a route has everything below it anyway");
    }
    if segments.clone().any(str::is_empty) {
        return wrong("has an empty segment");
    }
    if segments.clone().any(|segment| matches!(segment, "." | "..")) {
        return wrong("has a segment of dots, which leads elsewhere");
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~');
    if !segments.clone().all(|segment| segment.chars().all(plain)) {
        let help = "use letters, digits, `-`, `.`, `_` and `~`, which have one way to be written".to_owned();
        return Err(("has a character that routes do not have", help));
    }
    if segments.next().is_some_and(|first| RESERVED.contains(&first)) {
        let taken: Vec<String> = RESERVED.iter().map(|first| format!("`/{first}`")).collect();
        let help = format!("paths of the service itself begin with {}", taken.join(", "));
        return Err(("is a path of the service itself", help));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_plain_segments() {
        for good in ["/tasks", "/shop/orders", "/a.b/_c~d-e", "/v2", "/V1", "/health-of-tasks"] {
            assert!(fits(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn what_means_two_things_or_is_ours_is_refused_with_a_reason() {
        for (bad, reason) in [
            ("tasks", "begin with"),
            ("", "begin with"),
            ("/", "leaves nothing"),
            ("/tasks/", "ends with"),
            ("//tasks", "empty"),
            ("/a//b", "empty"),
            ("/a/../b", "dots"),
            ("/./a", "dots"),
            ("/a%2fb", "character"),
            ("/a?b", "character"),
            ("/a\\b", "character"),
            ("/tasks/*", "character"),
            ("/v1/agents", "service itself"),
            ("/health", "service itself"),
            ("/metrics/x", "service itself"),
            ("/invoke", "service itself"),
        ] {
            let (why, _) = fits(bad).unwrap_err();
            assert!(why.contains(reason), "{bad}: {why}");
        }
    }
}
