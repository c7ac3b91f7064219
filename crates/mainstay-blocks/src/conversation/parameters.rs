//! Settings of the model by the names that its APIs have for them. What is not known here goes along as it is, for a
//! provider that knows it.

use std::collections::BTreeMap;

use mainstay_core::model::ModelRequest;
use mainstay_core::{Error, Result, codes};
use serde_json::Value;

/// Sets what parameters ask for. Errors: `INVALID_FIELD` for a value of another kind.
pub(super) fn apply(parameters: BTreeMap<String, Value>, asked: &mut ModelRequest) -> Result<()> {
    for (name, value) in parameters {
        let fits = match name.as_str() {
            "max_tokens" | "maxTokens" | "max_completion_tokens" | "max_output_tokens" => {
                set(&mut asked.max_tokens, whole(&value).and_then(|count| u32::try_from(count).ok()))
            }
            "temperature" => set(&mut asked.temperature, number(&value)),
            "top_p" | "topP" => set(&mut asked.top_p, number(&value)),
            "seed" => set(&mut asked.seed, whole(&value)),
            "stop" | "stop_sequences" => texts(&value).map(|texts| asked.stop = texts).is_some(),
            "parallel_tool_calls" => set(&mut asked.parallel_tool_calls, value.as_bool()),
            "reasoning_effort" => set(&mut asked.reasoning_effort, value.as_str().map(str::to_owned)),
            _ => {
                asked.rest.fields.insert(name.clone(), value);
                true
            }
        };
        if !fits {
            let message = format!("the parameter `{name}` has a value that does not fit");
            return Err(Error::new(&codes::INVALID_FIELD, message).with_field(format!("parameters.{name}")));
        }
    }
    Ok(())
}

fn set<T>(place: &mut Option<T>, value: Option<T>) -> bool {
    let fits = value.is_some();
    if fits {
        *place = value;
    }
    fits
}

/// A number, also as text: 64-bit numbers are texts in the protocol's JSON.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

fn whole(value: &Value) -> Option<i64> {
    let text = value.as_str().and_then(|text| text.parse().ok());
    let round = value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 9e15);
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and fits")]
    value.as_i64().or(text).or(round.map(|number| number as i64))
}

fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(texts) => texts.iter().map(|text| text.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}
