//! What is judged of Terraform's files: their lines, since a user's own may have any form that Terraform takes.

use super::subject::{Artifact, Subject};
use super::{Finding, Place};

/// Resources whose value is a secret: who writes one here has it in the files, in their history and in the state.
const VALUES: [&str; 5] = [
    "aws_secretsmanager_secret_version",
    "aws_ssm_parameter",
    "azurerm_key_vault_secret",
    "google_secret_manager_secret_version",
    "kubernetes_secret",
];

/// The files that are code or values.
fn files<'s>(subject: &'s Subject<'_>) -> impl Iterator<Item = &'s Artifact> {
    let written = |path: &str| path.ends_with(".tf") || path.ends_with(".tfvars");
    subject.of_target("terraform").filter(move |artifact| written(&artifact.file.path))
}

fn finding(artifact: &Artifact, line: usize, what: String) -> Finding {
    Finding { place: Some(Place { file: artifact.file.path.clone(), line: Some(line + 1) }), what }
}

/// The text that a line gives to one of these keys.
fn given<'l>(line: &'l str, keys: &[&str]) -> Option<&'l str> {
    let (key, value) = line.split_once('=')?;
    let text = value.trim().strip_prefix('"')?.split('"').next()?;
    keys.contains(&key.trim()).then_some(text)
}

/// Images that are named in plain, for which `fault` has something to say.
pub(super) fn images(
    subject: &Subject<'_>,
    fault: impl Fn(&Artifact, &str) -> Option<String>,
) -> Vec<Finding> {
    let mut found = Vec::new();
    for artifact in files(subject) {
        let mut of_image = false;
        for (n, line) in artifact.file.text.lines().enumerate() {
            if line.starts_with("variable ") {
                of_image = line.contains("\"image\"");
            }
            let keys: &[&str] = if of_image { &["default", "image"] } else { &["image"] };
            if let Some(what) = given(line, keys).and_then(|image| fault(artifact, image)) {
                found.push(finding(artifact, n, what));
            }
        }
    }
    found
}

/// Resources that hold a secret's value.
pub(super) fn secrets(subject: &Subject<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for artifact in files(subject) {
        for (n, line) in artifact.file.text.lines().enumerate() {
            let Some(rest) = line.trim_start().strip_prefix("resource \"") else { continue };
            let kind = rest.split('"').next().unwrap_or_default();
            if VALUES.contains(&kind) {
                found.push(finding(
                    artifact,
                    n,
                    format!("`{kind}` holds a secret's value, and so does the state"),
                ));
            }
        }
    }
    found
}

/// Ways in that do not ask for TLS.
pub(super) fn in_the_clear(subject: &Subject<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for artifact in files(subject) {
        for (n, line) in artifact.file.text.lines().enumerate() {
            let open = line.split_once('=').is_some_and(|(key, value)| {
                key.trim() == "allow_insecure_connections" && value.trim() == "true"
            });
            if open {
                found.push(finding(artifact, n, "callers may come without TLS".to_owned()));
            }
        }
    }
    found
}
