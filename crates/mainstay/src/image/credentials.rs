//! What a registry wants to see, from Docker's configuration: an entry of `auths`, or a helper program that is asked.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mainstay_core::Redacted;
use serde_json::Value;

use crate::environment;

/// A name and a password.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: Redacted<String>,
}

/// What the registry at `host` is shown; nothing where the configuration says nothing of it. Errors: a configuration
/// that cannot be read, a helper that fails.
pub(crate) fn of(host: &str) -> anyhow::Result<Option<Credentials>> {
    let Some(folder) = environment::docker_config() else { return Ok(None) };
    let path: PathBuf = folder.join("config.json");
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(None) };
    let config: Value = serde_json::from_str(&text).with_context(|| format!("read `{}`", path.display()))?;
    let helper = config["credHelpers"][host].as_str().or_else(|| config["credsStore"].as_str());
    // Docker Hub is known under an address of its own.
    let keys = if host == "registry-1.docker.io" {
        ["https://index.docker.io/v1/", "docker.io"]
    } else {
        [host, host]
    };
    if let Some(found) = keys.iter().find_map(|key| entry(&config["auths"][*key])) {
        return Ok(Some(found));
    }
    helper.map_or(Ok(None), |helper| ask(helper, keys[0]))
}

fn entry(entry: &Value) -> Option<Credentials> {
    let bytes = STANDARD.decode(entry["auth"].as_str()?).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    Some(Credentials { user: user.to_owned(), password: Redacted::new(password.to_owned()) })
}

/// Asks `docker-credential-HELPER get`.
fn ask(helper: &str, key: &str) -> anyhow::Result<Option<Credentials>> {
    let program = format!("docker-credential-{helper}");
    let mut child = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("start `{program}`, which Docker's configuration names"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(key.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        // A helper that knows nothing of a registry ends so.
        return Ok(None);
    }
    let found: Value =
        serde_json::from_slice(&output.stdout).with_context(|| format!("read what `{program}` says"))?;
    let text = |key: &str| found[key].as_str().map(str::to_owned);
    Ok(text("Username")
        .zip(text("Secret"))
        .map(|(user, secret)| Credentials { user, password: Redacted::new(secret) }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_entry_holds_a_name_and_a_password_that_may_have_colons() {
        let found = entry(&json!({ "auth": STANDARD.encode("me:a:b") })).unwrap();
        assert_eq!((found.user.as_str(), found.password.expose().as_str()), ("me", "a:b"));
        assert!(!format!("{found:?}").contains("a:b"));
        for bad in [json!({}), json!({ "auth": "%" }), json!({ "auth": STANDARD.encode("nothing") })] {
            assert!(entry(&bad).is_none(), "{bad}");
        }
    }
}
