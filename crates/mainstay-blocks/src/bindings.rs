//! The bindings block: which operations an app may make, where events of the outside go in the app, and what follows
//! from its answers.

mod listener;
#[cfg(test)]
mod tests;

use mainstay_core::binding::{Binding as Port, Operation, Outcome};
use mainstay_core::{Ctx, Error, Result, codes};

use crate::Blocks;
use crate::hub::{Opened, not_found};
use crate::metering::Begun;
pub use listener::Listener;
use mainstay_core::meter::Block;

/// A binding that is open.
pub type Binding = Opened<dyn Port, Rules>;

/// The rules of a binding, by the settings of its component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The app's path for its events.
    pub route: String,
    /// Whether events are taken from it.
    pub is_input: bool,
    /// Whether the app gets its events unasked.
    pub is_wanted: bool,
    /// Whether operations go to it.
    pub is_output: bool,
}

impl Rules {
    /// Reads the settings `route` and `direction`.
    #[must_use]
    pub fn of(name: &str, route: Option<&str>, direction: Option<&str>) -> Self {
        let says = |word: &str| {
            let mut words = direction.unwrap_or_default().split(',').map(str::trim);
            words.any(|said| said.eq_ignore_ascii_case(word))
        };
        let route = route.filter(|route| !route.is_empty()).unwrap_or(name).to_owned();
        Self {
            route,
            is_input: direction.is_none() || says("input"),
            is_wanted: says("input"),
            is_output: direction.is_none() || says("output"),
        }
    }
}

/// Makes an operation of a binding; `None` where it gives nothing. Errors: `COMPONENT_NOT_FOUND`; `INVALID_FIELD` with
/// the field `operation` where none is named; `UNSUPPORTED`; those of the port.
pub async fn invoke(
    blocks: &Blocks,
    ctx: &Ctx,
    name: &str,
    mut operation: Operation,
) -> Result<Option<Outcome>> {
    if operation.name.is_empty() {
        let message = "operation field is missing from request";
        return Err(Error::new(&codes::INVALID_FIELD, message).with_field("operation"));
    }
    let found = blocks.table().bindings.get(name).cloned().filter(|binding| binding.rules.is_output);
    let able = found.as_ref().map(|binding| binding.port.capabilities().operations).unwrap_or_default();
    let Some(binding) = found.filter(|_| !able.is_empty()) else {
        return Err(not_found("output binding", name));
    };
    if !able.contains(&operation.name) {
        let message = format!(
            "binding {name} does not support operation {}. supported operations:{}",
            operation.name,
            able.join(" ")
        );
        return Err(Error::new(&codes::UNSUPPORTED, message));
    }
    for (name, value) in [("traceparent", ctx.traceparent()), ("tracestate", ctx.tracestate())] {
        if let Some(value) = value {
            operation.metadata.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
    }
    let (port, word) = (&binding.port, operation.name.clone());
    let begun = Begun::new(blocks, Block::OutputBinding, name, &word);
    let call = |ctx| {
        let (port, operation) = (port.clone(), operation.clone());
        async move { port.invoke(&ctx, operation).await }
    };
    begun.ended(binding.guard.run(ctx, call).await)
}
