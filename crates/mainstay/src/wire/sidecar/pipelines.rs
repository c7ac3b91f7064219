//! The pipelines of a configuration, from the handlers that it names and the components that are open.

use std::sync::Arc;

use mainstay_blocks::Table;
use mainstay_blocks::middleware::Pipeline;
use mainstay_components::middleware;
use mainstay_config::nearest;
use mainstay_core::component::Component;
use mainstay_core::middleware::Middleware;
use mainstay_core::runtime_config::{Handler, RuntimeConfig};
use mainstay_core::{Error, Result, codes};

/// Puts both pipelines into the table. Errors: `CONFIG_REFERENCE` for a handler that is not there; a pipeline never
/// goes without one of its handlers, for each may be what keeps somebody out.
pub(super) fn build(runtime: &RuntimeConfig, components: &[&Component], table: &mut Table) -> Result<()> {
    let of = |key: &str, handlers: &[Handler]| {
        let handlers = handlers.iter().map(|handler| find(key, handler, components, table));
        handlers.collect::<Result<Vec<_>>>().map(Pipeline::new)
    };
    let (inbound, toward_app) =
        (of("httpPipeline", &runtime.inbound)?, of("appHttpPipeline", &runtime.toward_app)?);
    (table.inbound, table.toward_app) = (inbound, toward_app);
    Ok(())
}

fn find(
    key: &str,
    handler: &Handler,
    components: &[&Component],
    table: &Table,
) -> Result<Arc<dyn Middleware>> {
    let (name, kind) = (&handler.name, &handler.kind);
    let fault = |why: String, help: Option<String>| {
        let error = Error::new(&codes::CONFIG_REFERENCE, format!("the handler `{name}` of `{key}`: {why}"));
        Err(match help {
            Some(help) => error.with_help(help),
            None => error,
        })
    };
    let Some(def) = middleware::find(kind) else {
        let known = nearest(kind, middleware::ALL.iter().map(|def| def.kind));
        let help = known.map(|known| format!("did you mean `{known}`?"));
        return fault(format!("no middleware has the type `{kind}`"), help);
    };
    let version = if handler.version.is_empty() { "v1" } else { &handler.version };
    if !def.versions.iter().any(|known| known.eq_ignore_ascii_case(version)) {
        return fault(format!("`{kind}` has no version `{version}`"), None);
    }
    let is_of_type = |one: &&&Component| def.is_called(&one.kind);
    let Some(component) = components.iter().filter(is_of_type).find(|one| one.name == *name) else {
        let known = nearest(name, components.iter().filter(is_of_type).map(|one| one.name.as_str()));
        let help = known.map_or_else(
            || format!("a component's file with `name: {name}` and `type: {kind}` makes it"),
            |known| format!("did you mean `{known}`?"),
        );
        return fault(format!("no component of the type `{kind}` is called so"), Some(help));
    };
    match table.middleware.get(&component.name) {
        Some(open) => Ok(Arc::clone(open)),
        None => fault("it could not be opened, and nothing else does its work".to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mainstay_core::middleware::{Capabilities, Request, Step};
    use mainstay_core::{Ctx, Result};

    use super::*;

    struct Nothing;

    #[async_trait::async_trait]
    impl Middleware for Nothing {
        fn capabilities(&self) -> Capabilities {
            Capabilities::default()
        }

        async fn request(&self, _: &Ctx, _: &mut Request) -> Result<Step> {
            Ok(Step::Next)
        }
    }

    fn component(name: &str, kind: &str) -> Component {
        Component {
            name: name.to_owned(),
            namespace: None,
            kind: kind.to_owned(),
            version: String::new(),
            settings: Vec::new(),
            secret_store: None,
            scopes: Vec::new(),
            ignore_errors: true,
            init_timeout: Duration::from_secs(5),
            origin: String::new(),
        }
    }

    fn handler(name: &str, kind: &str, version: &str) -> Handler {
        Handler { name: name.to_owned(), kind: kind.to_owned(), version: version.to_owned() }
    }

    #[test]
    fn a_handler_is_an_open_component_of_its_name_and_type() {
        let files =
            [component("shout", "middleware.http.uppercase"), component("slow", "middleware.http.ratelimit")];
        let files: Vec<&Component> = files.iter().collect();
        let mut table = Table::default();
        table.middleware.insert("shout".to_owned(), Arc::new(Nothing));
        let mut check = |handler: Handler, expect: Option<&str>| {
            let runtime = RuntimeConfig { inbound: vec![handler], ..RuntimeConfig::default() };
            let built = build(&runtime, &files, &mut table);
            let said = built.err().map(|error| format!("{error} {}", error.help().unwrap_or_default()));
            match (said, expect) {
                (None, None) => {}
                (Some(said), Some(part)) => assert!(said.contains(part), "{said}"),
                (said, expect) => panic!("{said:?} for {expect:?}"),
            }
        };
        check(handler("shout", "middleware.http.uppercase", ""), None);
        check(handler("shout", "Middleware.HTTP.Uppercase", "v1"), None);
        check(
            handler("shout", "middleware.http.upercase", ""),
            Some("did you mean `middleware.http.uppercase`?"),
        );
        check(handler("shuot", "middleware.http.uppercase", ""), Some("did you mean `shout`?"));
        check(handler("shout", "middleware.http.ratelimit", ""), Some("no component of the type"));
        check(handler("shout", "middleware.http.uppercase", "v2"), Some("no version `v2`"));
        check(handler("slow", "middleware.http.ratelimit", ""), Some("could not be opened"));
    }
}
