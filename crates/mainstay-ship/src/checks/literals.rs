//! Secrets that stand where everybody who has the files can read them. Values are never shown: a finding names the
//! place and the kind.

use std::sync::LazyLock;

use regex::Regex;

use super::subject::Text;
use super::verdict::{Finding, Place};

/// Keys as their issuers write them, and what each is.
static PATTERNS: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(|| {
    let patterns = [
        ("a private key", r"-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY-----"),
        ("a key of Anthropic's", r"\bsk-ant-[A-Za-z0-9_-]{20,}"),
        ("a key of OpenAI's form", r"\bsk-(proj-|svcacct-)?[A-Za-z0-9_-]{20,}"),
        ("a key of Google's", r"\bAIza[0-9A-Za-z_-]{35}"),
        ("a key of AWS", r"\b(AKIA|ASIA)[0-9A-Z]{16}\b"),
        ("a token of GitHub's", r"\b(gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{40})"),
        ("a token of GitLab's", r"\bglpat-[A-Za-z0-9_-]{20,}"),
        ("a token of Slack's", r"\bxox[abeprs]-[A-Za-z0-9-]{10,}"),
        ("a token of Hugging Face", r"\bhf_[A-Za-z0-9]{30,}"),
        ("a key of Groq's", r"\bgsk_[A-Za-z0-9]{40,}"),
        ("a key of Stripe's", r"\b[rs]k_live_[A-Za-z0-9]{16,}"),
        (
            "an address with a password",
            r"\b[a-z][a-z0-9+.-]*://[^\s/:@$<>{}']+:[^\s/:@$<>{}']{3,}@[A-Za-z0-9\[]",
        ),
    ];
    let compiled = patterns.into_iter().map(|(kind, text)| (kind, Regex::new(text)));
    compiled.map(|(kind, regex)| (kind, regex.expect("a test compiles each"))).collect()
});

/// A key that says that its value is a secret, and the value, in lines of settings; both in small letters.
static ASSIGNED: LazyLock<Regex> = LazyLock::new(|| {
    let text = concat!(
        r#"^[\s\-{,]*(?:export\s+)?["']?([a-z0-9_.\-]*(?:password|passwd|passphrase|secret|token|api[_-]?key|"#,
        r#"access[_-]?key|private[_-]?key|signing[_-]?key))["']?\s*[:=]\s*["']?([^\s"'#,}]+)"#
    );
    Regex::new(text).expect("a test compiles it")
});

/// Endings of files whose lines are settings.
const SETTINGS: [&str; 11] =
    [".yaml", ".yml", ".json", ".toml", ".ini", ".cfg", ".conf", ".properties", ".tf", ".tfvars", ".env"];

/// Bytes of a line that is looked at; the rest of a longer one is data.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// Whether a value under this name is a secret in plain.
pub(super) fn is_literal(name: &str, value: &str) -> bool {
    let line = format!("{name}={value}");
    kind_of(value).is_some() || assigned(&line)
}

/// Whether the name of a setting says that its value is a secret.
pub(super) fn is_telling(name: &str) -> bool {
    assigned(&format!("{name}=hunter2"))
}

fn kind_of(text: &str) -> Option<&'static str> {
    PATTERNS.iter().find(|(_, regex)| regex.is_match(text)).map(|(kind, _)| *kind)
}

fn assigned(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    let Some(found) = ASSIGNED.captures(&line) else { return false };
    let value = found.get(2).map_or("", |value| value.as_str());
    !is_harmless(value)
}

/// References, holes of templates, numbers, truths and rights of a pipeline are no secrets.
fn is_harmless(value: &str) -> bool {
    let reference = ["env:", "file:", "$", "{", "[", "<", "%", "&", "*", "!", "|", ">", "/", "("];
    // What a cloud calls a secret by, and what Terraform calls a value by.
    let named = value.starts_with("arn:") || value.contains("/secrets/");
    let named = named || ["var.", "local.", "each."].iter().any(|start| value.starts_with(start));
    named
        || value.len() < 4
        || reference.iter().any(|start| value.starts_with(start))
        || matches!(value, "true" | "false" | "null" | "none" | "string" | "required" | "read" | "write")
        || value.parse::<f64>().is_ok()
}

/// Secrets in files. Each place is named once.
pub(super) fn within<'t>(files: impl IntoIterator<Item = &'t Text>) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in files {
        let lower = file.path.to_ascii_lowercase();
        let settings = SETTINGS.iter().any(|end| lower.ends_with(end));
        for (n, line) in file.text.lines().enumerate() {
            let line = line.get(..LINE_BYTES_MAX).unwrap_or(line);
            let kind = kind_of(line).or_else(|| (settings && assigned(line)).then_some("a secret in plain"));
            if let Some(kind) = kind {
                let place = Some(Place { file: file.path.clone(), line: Some(n + 1) });
                found.push(Finding { place, what: format!("{kind} stands here") });
            }
        }
    }
    found
}

/// Whether a file is one to look at by its path: what tools leave behind and what is of no repository is not.
#[must_use]
pub fn covers(path: &str) -> bool {
    const FOLDERS: [&str; 11] = [
        ".git",
        ".mainstay",
        ".venv",
        "venv",
        "node_modules",
        "target",
        "__pycache__",
        ".pytest_cache",
        ".tox",
        ".terraform",
        ".idea",
    ];
    let mut names = path.split('/');
    let file = names.next_back().unwrap_or_default();
    !names.any(|name| FOLDERS.contains(&name)) && !FOLDERS.contains(&file) && !is_private(file)
}

/// A file that holds secrets on purpose and belongs into no repository.
fn is_private(name: &str) -> bool {
    name == ".env" || (name.starts_with(".env.") && !name.ends_with("example"))
}

/// The text of a file's bytes; `None` for one that is none.
#[must_use]
pub fn readable(bytes: Vec<u8>) -> Option<String> {
    if bytes.contains(&0) { None } else { String::from_utf8(bytes).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, line: &str) -> bool {
        let file = Text { path: path.to_owned(), text: format!("first\n{line}\n") };
        let found = within([&file]);
        assert!(found.iter().all(|one| one.place.as_ref().is_some_and(|place| place.line == Some(2))));
        !found.is_empty()
    }

    #[test]
    fn secrets_in_plain_are_found() {
        let letters = "a1B2".repeat(12);
        for (path, line) in [
            ("app.py", format!("KEY = \"sk-{letters}\"")),
            ("app.py", format!("x = 'sk-ant-{letters}'")),
            ("a.js", format!("const k = \"AIza{}\"", &letters[..35])),
            ("a.txt", format!("ghp_{}", &letters[..36])),
            ("key", format!("-----BEGIN RSA {} KEY-----", "PRIVATE")),
            ("a.py", "redis://user:hunter2@redis:6379".to_owned()),
            ("a.yaml", "  password: hunter2".to_owned()),
            ("a.json", "  \"api_key\": \"hunter2\",".to_owned()),
            ("a.toml", "signing_key = \"changeme\"".to_owned()),
            ("a.env", "export DB_PASSWORD=postgres".to_owned()),
            ("a.yaml", "- { name: web, token: hunter2 }".replace("name: web, ", "")),
        ] {
            assert!(check(path, &line), "{path}: {line}");
        }
    }

    #[test]
    fn references_and_other_values_are_none() {
        for (path, line) in [
            ("a.yaml", "password: env:DB_PASSWORD"),
            ("a.yaml", "password: ${DB_PASSWORD:?set it}"),
            ("a.yaml", "secretName: desk-secrets"),
            ("a.yaml", "automountServiceAccountToken: false"),
            ("a.yaml", "max_token: 4096"),
            ("a.yaml", "id-token: write"),
            ("a.yaml", "token: \"{{ .Values.token }}\""),
            ("a.yaml", "secret:"),
            ("a.py", "password = get_password()"),
            ("a.py", "url = f'redis://{user}:{password}@redis'"),
            ("a.md", "set the password: as you like"),
            ("a.env", "POSTGRES_PASSWORD="),
            ("a.yaml", "risk-free-and-quite-a-long-word-after-it"),
        ] {
            assert!(!check(path, line), "{path}: {line}");
        }
    }

    #[test]
    fn what_tools_leave_behind_is_not_looked_at() {
        assert!(covers("app.py") && covers("components/state.yaml") && covers("deploy/compose/env.example"));
        for path in [".git/config", "node_modules/x/y.js", ".env", ".env.local", "web/.venv/a.py", "target"] {
            assert!(!covers(path), "{path}");
        }
    }
}
