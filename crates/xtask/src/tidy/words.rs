//! Words that must not stand in certain places: what is unfinished, silenced or skipped anywhere; backends and
//! protocols in core; serde's shapes that lose positions in config.

use super::source::line_of;
use super::tree::Tree;
use super::{Finding, Rule};

pub(super) const FORBIDDEN: Rule = Rule { name: "forbidden", check: forbidden };
pub(super) const CORE: Rule = Rule { name: "core-names-nothing", check: core };
pub(super) const CONFIG: Rule = Rule { name: "config-shapes", check: config };

/// In code, outside of comments and strings.
const IN_CODE: &[(&str, &str)] = &[
    ("#[allow(", "silence a lint with `#[expect(…, reason = \"…\")]`, so that it goes when its cause does"),
    ("#![allow(", "silence a lint with `#![expect(…, reason = \"…\")]`, so that it goes when its cause does"),
    ("#[ignore", "a test runs, or is listed as not run with its reason"),
    ("todo!(", "finish it, or leave it out"),
    ("unimplemented!(", "finish it, or return an error of kind `Unsupported`"),
];
/// In any text of ours; written in halves, for this file is text of ours.
const IN_TEXT: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("HA", "CK:")];
/// Files in which `IN_TEXT` is looked for.
const TEXT_ENDINGS: &[&str] = &[".rs", ".py", ".sh", ".toml", ".yaml", ".yml"];
/// What core does not know of.
const OUTSIDE: &[&str] = &[
    "tokio",
    "axum",
    "matchit",
    "hyper",
    "reqwest",
    "tonic",
    "rustls",
    "openai",
    "anthropic",
    "gemini",
    "claude",
    "gguf",
    "redis",
    "postgres",
    "postgresql",
    "sqlite",
    "kafka",
    "rabbitmq",
    "nats",
    "mqtt",
    "dapr",
    "redb",
    "kubernetes",
    "prometheus",
];

fn forbidden(tree: &Tree) -> Vec<Finding> {
    let in_code = tree.sources.iter().flat_map(|(path, source)| {
        let found = IN_CODE.iter().flat_map(|&(word, advice)| {
            source.code.match_indices(word).map(move |(at, _)| (at, word, advice))
        });
        found.map(|(at, word, advice)| {
            Finding::fault(place(path, &source.code, at), format!("`{word}`: {advice}"))
        })
    });
    let texts =
        tree.files.iter().filter(|(path, _)| TEXT_ENDINGS.iter().any(|ending| path.ends_with(ending)));
    let in_text = texts.flat_map(|(path, text)| {
        let found = IN_TEXT.iter().flat_map(|word| words(text, word).map(move |at| (at, word)));
        found.map(|(at, word)| {
            Finding::fault(place(path, text, at), format!("`{word}`: finish it, or file an issue"))
        })
    });
    in_code.chain(in_text).collect()
}

fn core(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files.iter().filter(|(path, _)| path.starts_with("crates/mainstay-core/")) {
        let lower = text.to_lowercase();
        for word in OUTSIDE {
            let found =
                words(&lower, word).map(|at| format!("core knows no `{word}` ({})", place(path, &lower, at)));
            findings.extend(found.map(|message| Finding::fault(path, message)));
        }
    }
    findings
}

fn config(tree: &Tree) -> Vec<Finding> {
    let config = tree.sources.iter().filter(|(path, _)| path.starts_with("crates/mainstay-config/src/"));
    let mut findings = Vec::new();
    for (path, source) in config {
        for (start, _) in source.code.match_indices("#[serde(") {
            let end = source.code[start..].find(']').map_or(source.code.len(), |end| start + end);
            let attribute = &source.code[start..end];
            let bad = ["flatten", "untagged", "tag"]
                .into_iter()
                .find(|word| words(attribute, word).next().is_some());
            let message = |word| {
                format!("serde's `{word}` loses positions and unknown keys: unions are externally tagged")
            };
            findings.extend(bad.map(|word| Finding::fault(place(path, &source.code, start), message(word))));
        }
    }
    findings
}

fn place(path: &str, text: &str, at: usize) -> String {
    format!("{path}:{}", line_of(text, at))
}

/// Where `word` stands as a word of its own.
fn words<'t>(text: &'t str, word: &'t str) -> impl Iterator<Item = usize> + 't {
    let letter = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    text.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let after = text.as_bytes().get(at + word.len()).copied();
        !letter(text[..at].bytes().next_back()) && !letter(after)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rule: fn(&Tree) -> Vec<Finding>, path: &str, text: &str, faults: usize) {
        let found = rule(&Tree::with(path, text));
        assert_eq!(found.len(), faults, "{text}: {found:?}");
    }

    #[test]
    fn silenced_skipped_and_unfinished_code_is_a_fault() {
        for (bad, _) in IN_CODE {
            check(forbidden, "a.rs", &format!("{bad}x)]"), 1);
            check(forbidden, "a.rs", &format!("// {bad}\n\"{bad}\""), 0);
        }
        check(forbidden, "a.py", &format!("# {}: later", IN_TEXT[0]), 1);
        check(forbidden, "a.rs", "let mastodon = TODOS;", 0);
    }

    #[test]
    fn a_vendor_in_core_is_a_fault() {
        check(core, "crates/mainstay-core/src/a.rs", "/// As in OpenAI.", 1);
        check(core, "crates/mainstay-core/Cargo.toml", "tokio = { workspace = true }", 1);
        check(core, "crates/mainstay-core/src/a.rs", "let signature = combinations;", 0);
        check(core, "crates/mainstay-net/src/a.rs", "use tokio;", 0);
    }

    #[test]
    fn flattened_config_is_a_fault() {
        let path = "crates/mainstay-config/src/raw.rs";
        check(config, path, "#[serde(flatten)]\nx: X,", 1);
        check(config, path, "#[serde(default, untagged)]", 1);
        check(config, path, "#[serde(rename = \"tag\", default)]\ntag: String,", 0);
    }
}
