//! Registries and files for tests, shaped like the real ones.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use mainstay_config::resources::{TypeDef, Types};
use mainstay_config::{Diagnostics, Files, Kinds, Overrides, Source};
use mainstay_core::{Fault, KindDef, Plan, codes};
use schemars::JsonSchema;
use serde_json::{Value, json};

/// Settings of a fake vendor.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct Openai {
    /// Where the key is.
    #[schemars(extend("x-form" = "secret"))]
    api_key: String,
    /// The endpoint.
    base_url: Option<String>,
    /// Headers to add.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Weight, 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    weight: Option<f64>,
    /// Attempts.
    attempts: Option<u8>,
}

/// Settings of a fake scripted provider.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct Scripted {
    /// What it says.
    #[serde(default)]
    replies: Vec<Reply>,
}

/// A reply.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct Reply {
    /// The text.
    text: Option<String>,
    /// How it fails.
    trouble: Option<Trouble>,
    /// Anything.
    #[serde(default)]
    arguments: Value,
}

/// A way to fail.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "only its schema is used")]
enum Trouble {
    /// Never answers.
    Hang,
    /// Breaks off.
    Cut {
        /// Tokens before the break.
        after_tokens: u32,
    },
    /// Slows down.
    Slow {
        /// Tokens a second.
        #[serde(default)]
        tokens_per_second: u32,
    },
}

fn openai_schema() -> Value {
    schemars::schema_for!(Openai).to_value()
}

fn scripted_schema() -> Value {
    schemars::schema_for!(Scripted).to_value()
}

fn local_schema() -> Value {
    json!({ "type": "object", "properties": {}, "additionalProperties": false })
}

fn http_schema() -> Value {
    json!({
        "type": "object",
        "required": ["url"],
        "additionalProperties": false,
        "properties": {
            "url": { "type": "string", "description": "The address." },
            "method": { "type": "string", "enum": ["GET", "POST"], "default": "GET", "description": "The method." },
            "parameters": { "type": "object", "description": "JSON Schema of the arguments." },
            "model": { "type": "string", "x-names": "models", "description": "A model's name." },
            "body": {
                "description": "What to send.",
                "anyOf": [
                    { "type": "string", "description": "text as it is" },
                    { "type": "object", "description": "a JSON object" },
                ],
            },
        },
    })
}

fn nothing(_: &Value) -> Vec<Fault> {
    Vec::new()
}

/// Faults of several kinds, to see that each is shown where it belongs.
fn check_openai(settings: &Value) -> Vec<Fault> {
    let fault = |code, pointer: &str, message: &str| Fault {
        code,
        pointer: pointer.to_owned(),
        message: message.to_owned(),
        help: None,
    };
    let mut found = Vec::new();
    if settings["base_url"].as_str().is_some_and(|url| !url.starts_with("http")) {
        found.push(fault(&codes::CONFIG_VALUE, "/base_url", "the base URL is no URL"));
    }
    if settings["headers"]["X-Api"].is_string() {
        found.push(fault(&codes::CONFIG_SECRET_LITERAL, "/headers/X-Api", "the header looks like a secret"));
    }
    if settings["base_url"].is_null() && settings["weight"].is_number() {
        found.push(fault(&codes::CONFIG_MISSING_KEY, "/base_url", "`weight` needs `base_url`"));
    }
    found
}

/// Kinds of provider.
pub(crate) const PROVIDERS: [KindDef; 3] = [
    KindDef { kind: "openai", about: "Speaks to a vendor.", schema: openai_schema, check: check_openai },
    KindDef { kind: "local", about: "Runs a model in the process.", schema: local_schema, check: nothing },
    KindDef { kind: "scripted", about: "Says what it is told.", schema: scripted_schema, check: nothing },
];

/// Kinds of tool.
pub(crate) const TOOLS: [KindDef; 1] =
    [KindDef { kind: "http", about: "Calls an address.", schema: http_schema, check: nothing }];

/// All registries.
pub(crate) const KINDS: Kinds<'static> = Kinds {
    providers: &PROVIDERS,
    tools: &TOOLS,
    metric_aliases: &["agent", "vaia"],
    services: &["cache", "search"],
    platforms: &["here", "there"],
    components: Some(COMPONENTS),
};

const COMPONENT: &str = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: { name: orders }\nspec: { type: state.embedded }\n";

const COMPONENTS: Types<'static> = Types {
    types: &[TypeDef { kind: "state.embedded", aliases: &[], versions: &["v1"], settings: &[] }],
    check: &|_, _, _| Vec::new(),
};

/// Files in memory, under the folder `/srv`.
#[derive(Default)]
pub(crate) struct Memory(pub(crate) BTreeMap<PathBuf, String>);

impl Files for Memory {
    fn read(&self, path: &Path) -> io::Result<String> {
        self.0.get(path).cloned().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such file"))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let inside: Vec<PathBuf> =
            self.0.keys().rev().filter(|path| path.parent() == Some(folder)).cloned().collect();
        if inside.is_empty() {
            Err(io::Error::new(io::ErrorKind::NotFound, "no such folder"))
        } else {
            Ok(inside)
        }
    }
}

/// The files that the specs of these tests may name.
pub(crate) fn files() -> Memory {
    let file = |path: &str, text: &str| (Path::new("/srv").join(path), text.to_owned());
    Memory(BTreeMap::from([
        file("prompts/triage.md", "Sort the ticket."),
        file("prompts/empty.md", " \n"),
        file("prompts/long.md", &"x".repeat(256 * 1024 + 1)),
        file("components/orders.yaml", COMPONENT),
        file("components/README.md", "Not a resource."),
        file("bad/b.yml", &COMPONENT.replace("state", "stat")),
        file("bad/a.yaml", &COMPONENT.replace("spec", "sepc")),
    ]))
}

/// Loads a spec with everything else as usual.
pub(crate) fn load(text: &str) -> Result<Plan, Diagnostics> {
    load_with(text, &Overrides::default())
}

/// Loads a spec under overrides.
pub(crate) fn load_with(text: &str, overrides: &Overrides) -> Result<Plan, Diagnostics> {
    let source = Source { name: "mainstay.yaml", text, folder: Path::new("/srv") };
    mainstay_config::load(source, &KINDS, &files(), overrides)
}
