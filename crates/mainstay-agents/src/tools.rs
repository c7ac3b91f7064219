//! The tools of a declared agent: what is on offer, whether a call's arguments fit, and the call itself. What goes
//! wrong becomes a result that the model reads; nothing here ends a run.

use std::collections::HashMap;
use std::sync::Arc;

use jsonschema::Validator;
use mainstay_core::message::{ToolCall, ToolResult};
use mainstay_core::telemetry::{Telemetry, ToolReport};
use mainstay_core::tool::{ToolInvocation, ToolOutput, ToolSource, ToolSpec};
use mainstay_core::{Ctx, Error, Result, RunId, codes, metric};
use serde_json::{Map, Value};
use tokio::time::Instant;

/// Faults of the arguments that the model is told of, at most.
const FAULTS_MAX: usize = 5;

/// Bytes of one such fault, at most: a fault quotes the value at fault.
const FAULT_BYTES_MAX: usize = 300;

/// Tools of an agent, at most.
const TOOLS_MAX: usize = 512;

/// The tools on offer, compiled.
pub(crate) struct Catalog {
    specs: Vec<ToolSpec>,
    tools: HashMap<String, Tool>,
}

struct Tool {
    source: Arc<dyn ToolSource>,
    arguments: Validator,
}

/// A call to be made: whose, which, and how the other side knows it again.
pub(crate) struct Errand<'a> {
    pub(crate) run: &'a RunId,
    pub(crate) call: &'a ToolCall,
    pub(crate) idempotency_key: String,
}

impl Catalog {
    /// Asks the sources what they offer and compiles the schemas. Errors: `TOOL_UNAVAILABLE` when a source does not
    /// answer, a schema is not valid, or two tools share a name.
    pub(crate) async fn list(ctx: &Ctx, sources: Vec<Arc<dyn ToolSource>>) -> Result<Self> {
        let mut catalog = Self { specs: Vec::new(), tools: HashMap::new() };
        for source in sources {
            for spec in source.tools(ctx).await? {
                catalog.add(spec, &source)?;
            }
        }
        Ok(catalog)
    }

    fn add(&mut self, spec: ToolSpec, source: &Arc<dyn ToolSource>) -> Result<()> {
        let unavailable =
            |why: &str| Error::new(&codes::TOOL_UNAVAILABLE, format!("tool `{}` {why}", spec.name));
        if self.specs.len() == TOOLS_MAX {
            return Err(unavailable("is one too many for its agent"));
        }
        let arguments = jsonschema::validator_for(&spec.parameters).map_err(|fault| {
            unavailable("has a schema that is not valid").with_internal(fault.to_string())
        })?;
        let tool = Tool { source: source.clone(), arguments };
        if self.tools.insert(spec.name.clone(), tool).is_some() {
            return Err(unavailable("is offered twice to its agent"));
        }
        self.specs.push(spec);
        Ok(())
    }

    /// The tools as the model sees them.
    pub(crate) fn specs(&self) -> &[ToolSpec] {
        &self.specs
    }

    /// Makes the call and reports it.
    pub(crate) async fn call(&self, ctx: &Ctx, telemetry: &dyn Telemetry, errand: Errand<'_>) -> ToolResult {
        let started = Instant::now();
        let outcome = self.attempt(ctx, &errand).await;
        let name = &errand.call.name;
        let report = ToolReport {
            // A name that the model made up must not become a label.
            tool: if self.tools.contains_key(name) { name } else { "unknown" },
            outcome: match &outcome {
                Ok(output) if output.is_error => "error",
                Ok(_) => metric::OUTCOME_OK,
                Err(error) => error.code().id,
            },
            elapsed: started.elapsed(),
        };
        telemetry.tool(report);
        let output = outcome.unwrap_or_else(|error| told(&error));
        let (call_id, name) = (errand.call.id.clone(), Some(name.clone()));
        ToolResult { call_id, name, content: output.content, is_error: output.is_error }
    }

    async fn attempt(&self, ctx: &Ctx, errand: &Errand<'_>) -> Result<ToolOutput> {
        let name = &errand.call.name;
        let tool = self.tools.get(name).ok_or_else(|| self.unknown(name))?;
        let arguments = fit(errand.call, &tool.arguments)?;
        let invocation = ToolInvocation {
            run: errand.run.clone(),
            name: name.clone(),
            arguments,
            idempotency_key: errand.idempotency_key.clone(),
        };
        let outcome = tool.source.call(ctx, &invocation).await;
        if let Err(error) = &outcome {
            let (code, internal) = (error.code().id, error.internal());
            tracing::warn!(run = %errand.run, tool = %name, code, internal, "a tool call failed");
        }
        outcome
    }

    fn unknown(&self, name: &str) -> Error {
        let known: Vec<&str> = self.specs.iter().map(|spec| spec.name.as_str()).collect();
        Error::new(&codes::TOOL_NOT_FOUND, format!("no tool is called `{name}`"))
            .with_help(format!("the tools are: {}", known.join(", ")))
    }
}

/// The arguments, if they fit. Errors: `TOOL_ARGUMENTS`, saying what does not.
fn fit(call: &ToolCall, schema: &Validator) -> Result<Map<String, Value>> {
    let misfit = |why: String| Error::new(&codes::TOOL_ARGUMENTS, why);
    let object = call.arguments_object();
    let arguments = object.ok_or_else(|| misfit("the arguments are not a JSON object".to_owned()))?;
    let arguments = Value::Object(arguments);
    let faults: Vec<String> =
        schema.iter_errors(&arguments).take(FAULTS_MAX).map(|fault| shown(&fault)).collect();
    match arguments {
        Value::Object(arguments) if faults.is_empty() => Ok(arguments),
        _ => Err(misfit(format!("the arguments do not fit the tool's schema: {}", faults.join("; ")))),
    }
}

fn shown(fault: &jsonschema::ValidationError<'_>) -> String {
    let mut text = format!("at `{}`: {fault}", fault.instance_path());
    if text.len() > FAULT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(FAULT_BYTES_MAX));
        text.push('…');
    }
    text
}

/// A failed call as the model reads it: the code and the external message.
fn told(error: &Error) -> ToolOutput {
    let help = error.help().map(|help| format!(" ({help})")).unwrap_or_default();
    ToolOutput { content: format!("{}: {error}{help}", error.code().id), is_error: true }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(arguments: &str, expect: Result<Value, &str>) {
        let schema = json!({
            "type": "object",
            "properties": { "city": { "type": "string" }, "days": { "type": "integer" } },
            "required": ["city"],
            "additionalProperties": false,
        });
        let schema = jsonschema::validator_for(&schema).unwrap();
        let call =
            ToolCall { id: "1".into(), name: "weather".into(), arguments: arguments.into(), opaque: None };
        match (fit(&call, &schema), expect) {
            (Ok(got), Ok(expect)) => assert_eq!(Value::Object(got), expect),
            (Err(error), Err(part)) => {
                assert_eq!(error.code().id, "TOOL_ARGUMENTS");
                assert!(error.message().contains(part), "{}", error.message());
            }
            (got, expect) => panic!("{arguments}: {got:?}, expected {expect:?}"),
        }
    }

    #[test]
    fn arguments_that_do_not_fit_are_named_for_the_model() {
        check(r#"{"city":"Oslo"}"#, Ok(json!({"city": "Oslo"})));
        check("{\"city\":", Err("not a JSON object"));
        check("[1]", Err("not a JSON object"));
        check("", Err("city"));
        check(r#"{"city":"Oslo","days":"two"}"#, Err("/days"));
        check(r#"{"city":"Oslo","when":1}"#, Err("when"));
    }

    #[test]
    fn a_fault_that_quotes_a_huge_value_is_cut() {
        let huge = format!(r#"{{"city":["{}"]}}"#, "ü".repeat(5_000));
        let schema = jsonschema::validator_for(&json!({"properties": {"city": {"type": "string"}}})).unwrap();
        let call = ToolCall { id: "1".into(), name: "t".into(), arguments: huge, opaque: None };
        assert!(fit(&call, &schema).unwrap_err().message().len() < FAULT_BYTES_MAX + 100);
    }
}
