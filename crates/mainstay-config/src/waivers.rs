//! The file of waivers: items of the production checklist that someone lets pass until a day, and why. Text in, waivers
//! or faults out; whether the day has passed is for others to say.

use std::collections::BTreeMap;

use mainstay_core::codes;
use serde_json::{Value, json};

use crate::faults::Faults;
use crate::{Diagnostics, node, pointer, validate};

/// The file's name, beside the spec.
pub const WAIVERS_FILE_NAME: &str = "mainstay-waivers.yaml";

/// Waivers in a file.
const WAIVERS_MAX: usize = 1000;

/// An item that is let pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiver {
    /// The item's id.
    pub id: String,
    /// Why.
    pub reason: String,
    /// The last day: `YYYY-MM-DD`.
    pub expires: String,
}

/// Reads a file of waivers: a list of `{ id, reason, expires }`. `name` is for messages, `ids` are the items that there
/// are.
///
/// # Errors
/// Every fault with its place: an id that is no item's or stands twice, a missing reason or day, a day that is none.
pub fn waivers(name: &str, text: &str, ids: &[&str]) -> Result<Vec<Waiver>, Diagnostics> {
    let mut faults = Faults::default();
    let mut found = Vec::new();
    if let Some(root) = node::parse(text, &mut faults) {
        let checked = validate::check(&root, &schema(ids), &mut faults);
        let mut seen: BTreeMap<String, ()> = BTreeMap::new();
        for (n, entry) in checked.value.as_ref().and_then(Value::as_array).into_iter().flatten().enumerate() {
            let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
            let waiver = Waiver { id: text("id"), reason: text("reason"), expires: text("expires") };
            let at = pointer::join(&pointer::join("", &n.to_string()), "id");
            if seen.insert(waiver.id.clone(), ()).is_some()
                && let Some(place) = checked.places.get(&at)
            {
                let message = format!("`{}` is waived twice", waiver.id);
                faults.at(place.value, &codes::CONFIG_VALUE, message, Some("keep one of them".to_owned()));
            }
            found.push(waiver);
        }
    }
    if faults.is_empty() { Ok(found) } else { Err(Diagnostics::new(name, text, faults)) }
}

fn schema(ids: &[&str]) -> Value {
    json!({
        "type": "array",
        "maxItems": WAIVERS_MAX,
        "items": {
            "type": "object",
            "additionalProperties": false,
            "required": ["id", "reason", "expires"],
            "properties": {
                "id": { "type": "string", "enum": ids },
                "reason": { "type": "string", "minLength": 1, "maxLength": 1000, "pattern": "[^ ]" },
                "expires": {
                    "type": "string",
                    "pattern": "^20[0-9][0-9]-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$",
                    "examples": ["2027-03-31"],
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [&str; 2] = ["container/size", "security/tls"];

    fn check(text: &str, parts: &[&str]) {
        let faults = waivers("w.yaml", text, &IDS).map_err(|faults| faults.render(false));
        let said = faults.expect_err("it has faults");
        for part in parts {
            assert!(said.contains(part), "no `{part}`: {said}");
        }
    }

    #[test]
    fn a_waiver_has_an_item_a_reason_and_a_day() {
        let text = "- { id: security/tls, reason: the mesh does it, expires: 2027-01-31 }\n";
        let expect = Waiver {
            id: "security/tls".to_owned(),
            reason: "the mesh does it".to_owned(),
            expires: "2027-01-31".to_owned(),
        };
        assert_eq!(waivers("w.yaml", text, &IDS).expect("it is fine"), [expect]);
        assert_eq!(waivers("w.yaml", "[]\n", &IDS).expect("it is fine"), []);
    }

    #[test]
    fn faults_have_their_place() {
        check(
            "- { id: security/tlss, reason: x, expires: 2027-01-31 }\n",
            &["w.yaml:1:9", "did you mean `security/tls`?"],
        );
        check("- id: security/tls\n  expires: 2027-01-31\n", &["w.yaml:1", "`reason`"]);
        check("- { id: security/tls, reason: x }\n", &["`expires`"]);
        check("- { id: security/tls, reason: x, expires: 2027-13-31 }\n", &["w.yaml:1:43", "2027-13-31"]);
        check("- { id: security/tls, reason: x, expires: soon }\n", &["`soon`"]);
        let twice = "- { id: security/tls, reason: x, expires: 2027-01-31 }\n".repeat(2);
        check(&twice, &["w.yaml:2", "is waived twice"]);
    }
}
