//! The files of a new service, as `mainstay new` writes them. Writes none itself.

use std::path::PathBuf;

use mainstay_core::Name;

/// The model of a new service.
#[derive(Clone, Copy, Debug)]
pub struct ScaffoldModel<'a> {
    /// The provider's kind, which is also its name.
    pub provider: &'a str,
    /// The model's name at the provider.
    pub model: &'a str,
    /// A reference to the provider's key, if it takes one.
    pub key: Option<&'a str>,
}

/// The files of a service called `name`, relative to its folder. They load without a fault. With a model, they are what
/// a service in production begins with: a key for callers, and what `ship` wants to know.
#[must_use]
pub fn scaffold(name: &Name, model: Option<ScaffoldModel<'_>>) -> Vec<(PathBuf, String)> {
    let rest = model.map_or_else(|| WITHOUT_MODEL.to_owned(), with_model);
    let spec = format!("{HEAD}{rest}").replace("NAME", name.as_str());
    vec![
        (PathBuf::from(crate::FILE_NAME), spec),
        (PathBuf::from("prompts/assistant.md"), PROMPT.to_owned()),
        (PathBuf::from(".gitignore"), IGNORED.to_owned()),
    ]
}

fn with_model(ScaffoldModel { provider, model, key }: ScaffoldModel<'_>) -> String {
    let target = format!("{provider}/{model}");
    let settings = key.map_or_else(|| "{}".to_owned(), |key| format!("{{ api_key: {key:?} }}"));
    format!(
        r#"    # Said instead of an error while the provider is away or its quota is used up.
    fallback:
      - {{ on: [PROVIDER_UNAVAILABLE, PROVIDER_QUOTA], answer: "I cannot answer right now. Please try again later." }}

providers:
  {provider}: {{ {provider}: {settings} }}
models:
  default: {{ targets: [{target:?}] }}

# Who may call, and how often. The key's value is in the variable WEB_KEY.
access:
  keys:
    - {{ name: web, key: "env:WEB_KEY", requests_per_minute: 600 }}
{DEPLOY}"#
    )
}

const HEAD: &str = r"# The spec of this service. `mainstay check` reports every fault in it, `mainstay dev` runs it.
# Every key with its default and bound: docs/reference/spec.md
name: NAME

agents:
  assistant:
    description: Answers questions.
    declared:
      # A file beside this one, or the text itself.
      instructions: prompts/assistant.md
      # Most model calls in a run, and most tokens of an answer.
      steps_max: 8
      max_tokens: 1024
";

const WITHOUT_MODEL: &str = r#"
# Without `providers` and `models`, a small model answers inside the process; no key is needed.
# With a provider of your own:
#
# providers:
#   openai: { openai: { api_key: "env:OPENAI_API_KEY" } }
# models:
#   default: { targets: [openai/gpt-5-mini] }

# Listening beyond this machine needs a key:
#
# server: { listen: "0.0.0.0:8080" }
# access:
#   keys:
#     - { name: web, key: "env:WEB_KEY", requests_per_minute: 600 }
"#;

const DEPLOY: &str = r"
# What `mainstay ship` writes deployment files from.
deploy:
  # Where the image is pushed; without it, what was built on a machine runs there.
  # image: ghcr.io/acme/NAME
  version: 0.1.0
  services: [prometheus]
  base:
    # A volume for what is recorded of runs.
    storage: 1GiB
";

const PROMPT: &str = "\
You are a helpful assistant. Answer briefly and plainly.
If you do not know something, say so.
";

const IGNORED: &str = "\
# Runs and sessions.
/.mainstay/
# Secrets.
/.env
";
