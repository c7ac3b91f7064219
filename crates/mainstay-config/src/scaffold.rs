//! The files of a new service, as `mainstay new` writes them. Writes none itself.

use std::path::PathBuf;

use mainstay_core::Name;

/// The files of a service called `name`, relative to its folder. They load without a fault.
#[must_use]
pub fn scaffold(name: &Name) -> Vec<(PathBuf, String)> {
    vec![
        (PathBuf::from(crate::FILE_NAME), SPEC.replace("NAME", name.as_str())),
        (PathBuf::from("prompts/assistant.md"), PROMPT.to_owned()),
        (PathBuf::from(".gitignore"), IGNORED.to_owned()),
    ]
}

const SPEC: &str = r#"# The spec of this service. `mainstay check` reports every fault in it, `mainstay dev` runs it.
# Every key with its default and bound: docs/reference/spec.md
name: NAME

agents:
  assistant:
    description: Answers questions.
    declared:
      # A file beside this one, or the text itself.
      instructions: prompts/assistant.md
      # Most model calls in a run.
      steps_max: 8

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
