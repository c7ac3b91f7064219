//! Chat templates as model files carry them (Jinja, with what the field's own renderer adds), rendered within bounds.

use mainstay_core::{Error, Result, codes};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value, ValueKind};
use minijinja::{Environment, ErrorKind, State, context};

use crate::gguf::unusable;

/// Steps that one rendering may take: a conversation of a thousand messages needs a tenth of it.
const FUEL: u64 = 1_000_000;
const NAME: &str = "chat";

/// A compiled template.
#[derive(Debug)]
pub(crate) struct Template {
    environment: Environment<'static>,
    /// Whether the template itself shows tools to the model.
    pub(crate) shows_tools: bool,
    /// Whether it has a form for calls that the model made.
    pub(crate) shows_tool_calls: bool,
    /// Whether it knows messages from tools.
    pub(crate) knows_tool_role: bool,
}

impl Template {
    /// Compiles the template of the model file `file`.
    pub(crate) fn new(file: &str, source: &str) -> Result<Self> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|e| Error::bug(e.to_string()))?);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.add_filter("tojson", to_json);
        environment.add_function("raise_exception", |message: String| -> Result<Value, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.set_unknown_method_callback(python_method);
        environment
            .add_template_owned(NAME, source.to_owned())
            .map_err(|e| unusable(file, "its chat template cannot be read").with_source(e))?;
        let variables =
            environment.get_template(NAME).map(|t| t.undeclared_variables(false)).unwrap_or_default();
        Ok(Self {
            shows_tools: variables.contains("tools"),
            shows_tool_calls: source.contains("tool_calls"),
            knows_tool_role: source.contains("'tool'") || source.contains("\"tool\""),
            environment,
        })
    }

    /// The conversation as the model reads it, up to where the assistant begins to speak.
    pub(crate) fn render(
        &self,
        messages: &[serde_json::Value],
        tools: Option<&serde_json::Value>,
        (begin, end): (&str, &str),
    ) -> Result<String> {
        let template = self.environment.get_template(NAME).map_err(|e| Error::bug(e.to_string()))?;
        let values = context! {
            messages => Value::from(Serde(messages)),
            tools => tools.map_or(Value::from(()), |tools| Value::from(Serde(tools))),
            add_generation_prompt => true,
            bos_token => begin,
            eos_token => end,
        };
        template.render(values).map_err(|e| {
            let refusal = "the model's chat template refuses this conversation";
            Error::new(&codes::PROVIDER_INVALID_REQUEST, refusal).with_internal(e.kind().to_string())
        })
    }
}

/// JSON without HTML's escapes, and with `indent`, as templates expect it.
fn to_json(value: Value, options: Kwargs) -> Result<String, minijinja::Error> {
    let failed = |e: serde_json::Error| minijinja::Error::new(ErrorKind::BadSerialization, e.to_string());
    let indent: Option<usize> = options.get("indent")?;
    match indent {
        None => serde_json::to_string(&value).map_err(failed),
        Some(width) => {
            let indent = " ".repeat(width.min(16));
            let formatter = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
            let mut out = Vec::new();
            serde::Serialize::serialize(
                &value,
                &mut serde_json::Serializer::with_formatter(&mut out, formatter),
            )
            .map_err(failed)?;
            Ok(String::from_utf8_lossy(&out).into_owned())
        }
    }
}

/// The methods of Python's text and dictionaries that templates in use call.
fn python_method(
    _: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    arguments: &[Value],
) -> Result<Value, minijinja::Error> {
    let unknown = || minijinja::Error::from(ErrorKind::UnknownMethod);
    let text = |index: usize| arguments.get(index).and_then(Value::as_str);
    if let Some(own) = value.as_str() {
        let characters = |c: char| text(0).map_or(c.is_whitespace(), |set| set.contains(c));
        return Ok(match (method, text(0), text(1)) {
            ("strip", ..) => own.trim_matches(characters).into(),
            ("lstrip", ..) => own.trim_start_matches(characters).into(),
            ("rstrip", ..) => own.trim_end_matches(characters).into(),
            ("upper", ..) => own.to_uppercase().into(),
            ("lower", ..) => own.to_lowercase().into(),
            ("startswith", Some(start), _) => own.starts_with(start).into(),
            ("endswith", Some(end), _) => own.ends_with(end).into(),
            ("split", Some(by), _) => own.split(by).map(Value::from).collect::<Vec<_>>().into(),
            ("replace", Some(from), Some(to)) => own.replace(from, to).into(),
            _ => return Err(unknown()),
        });
    }
    match (value.kind(), method) {
        (ValueKind::Map, "get") => {
            let found = arguments.first().map(|key| value.get_item(key)).transpose()?.unwrap_or_default();
            Ok(if found.is_undefined() {
                arguments.get(1).cloned().unwrap_or(Value::from(()))
            } else {
                found
            })
        }
        (ValueKind::Map, "items") => {
            let pairs = value.try_iter()?.map(|key| Ok(vec![key.clone(), value.get_item(&key)?]));
            Ok(pairs.collect::<Result<Vec<_>, minijinja::Error>>()?.into())
        }
        _ => Err(unknown()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(source: &str, messages: serde_json::Value) -> Result<String> {
        let messages = messages.as_array().cloned().unwrap_or_default();
        Template::new("test.gguf", source)?.render(&messages, None, ("<s>", "</s>"))
    }

    #[test]
    fn a_conversation_is_rendered_up_to_the_assistant_s_turn() {
        let source = "{% for m in messages %}<{{ m['role'] }}>{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
        let text = render(source, json!([{"role": "user", "content": "a < b & c"}])).unwrap();
        assert_eq!(text, "<user>a < b & c\n<assistant>");
    }

    #[test]
    fn what_the_field_s_templates_use_works() {
        let source = "{{ bos_token }}{{ messages[0].content.strip() }}|{{ {'a': '<'} | tojson }}|{{ {'k': 1}.get('x', 'no') }}";
        assert_eq!(render(source, json!([{"content": " x "}])).unwrap(), "<s>x|{\"a\":\"<\"}|no");
    }

    #[test]
    fn a_template_s_refusal_is_the_caller_s_error() {
        let error = render("{{ raise_exception('roles must alternate') }}", json!([])).unwrap_err();
        assert_eq!(error.code().id, "PROVIDER_INVALID_REQUEST");
    }

    #[test]
    fn an_endless_template_is_cut_off() {
        let source = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        assert!(render(source, json!([])).is_err());
    }

    #[test]
    fn a_broken_template_is_the_file_s_error() {
        assert_eq!(render("{% for %}", json!([])).unwrap_err().code().id, "MODEL_FILE_UNAVAILABLE");
    }
}
