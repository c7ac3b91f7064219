//! The production checklist on the running `examples/desk`: its spec as it is shipped, but for a scripted model in the place
//! of the provider's, and a second caller. `tests/vaia` does the same for `examples/vaia`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use super::{House, Outcome};
use crate::project;
use crate::server::{self, Server};

/// Longest wait for the service to listen.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is said slowly enough to be told to stop meanwhile.
const SCRIPTED: &str = "openai: { scripted: { tokens_per_second: 20, replies: [{ text: \"delivery, because the kettle has not arrived \
                        and the ticket asks where it is and when it will come, which delivery alone can know and tell\" }] } }";
/// What is put in the place of what, in the spec.
const CHANGES: &[(&str, &str)] = &[
    ("openai: { openai: { api_key: \"env:OPENAI_API_KEY\" } }", SCRIPTED),
    (
        "requests_per_minute: 600 }]",
        "requests_per_minute: 600 }, { name: other, key: \"env:OTHER_KEY\", requests_per_minute: 600 }]",
    ),
];
/// The callers' keys.
const KEYS: [(&str, &str); 2] =
    [("WEB_KEY", "sk-of-the-web-of-desk"), ("OTHER_KEY", "sk-of-another-of-desk")];
/// Items that cannot be shown here, and why.
const NOT_SHOWN: &[(&str, &str)] = &[(
    "resilience/live-dependency",
    "it needs nothing but its own disk: readiness does not ask the provider, and `fallback` answers for it",
)];

pub(super) fn desk(house: &House) -> anyhow::Result<Outcome> {
    let home = tempfile::tempdir()?;
    let folder = home.path().join("desk");
    std::fs::create_dir_all(folder.join("prompts"))?;
    let from = project::root().join("examples/desk");
    std::fs::copy(from.join("prompts/triage.md"), folder.join("prompts/triage.md"))?;
    let mut spec = std::fs::read_to_string(from.join("mainstay.yaml"))?;
    for (old, new) in CHANGES {
        anyhow::ensure!(spec.contains(old), "examples/desk has no `{old}` any more");
        spec = spec.replace(old, new);
    }
    std::fs::write(folder.join("mainstay.yaml"), spec)?;
    let mut serve = server::command(house.binary()?, home.path(), &home.path().join("models"));
    let server = Server::start(serve.arg("serve").arg(&folder).envs(KEYS), PATIENCE)?;
    let report = asked(house, &folder, &server).with_context(|| server.said())?;
    judged(&report, NOT_SHOWN).map(Outcome::Passed)
}

/// The report of the checklist, which uses the key up and ends the service.
fn asked(house: &House, folder: &Path, server: &Server) -> anyhow::Result<Value> {
    let mut check = Command::new(house.binary()?);
    check.args(["check", "--production", "--format", "json", "--exhaust"]).arg(folder);
    check.arg("--url").arg(format!("http://{}", server.address)).arg("--drain").arg(server.id().to_string());
    check.envs(KEYS).env("MAINSTAY_API_KEY", KEYS[0].1).env("MAINSTAY_OTHER_API_KEY", KEYS[1].1);
    // Items on paper are judged elsewhere: how it ends says nothing here.
    let said = check.output().context("run the checklist")?;
    let text = String::from_utf8_lossy(&said.stdout);
    let complained = String::from_utf8_lossy(&said.stderr);
    serde_json::from_str(&text).with_context(|| format!("the report is no JSON: {text}{complained}"))
}

/// Every live item passes, but those that cannot be shown, which are unknown. Errors: any other verdict.
fn judged(report: &Value, not_shown: &[(&str, &str)]) -> anyhow::Result<String> {
    let items = report["items"].as_array().context("a report without items")?;
    let live: BTreeMap<&str, &Value> = items
        .iter()
        .filter(|item| item["layer"] == "live")
        .filter_map(|item| Some((item["id"].as_str()?, item)))
        .collect();
    let mut passed = 0;
    for (id, item) in &live {
        let wanted = if not_shown.iter().any(|(not, _)| not == id) { "unknown" } else { "pass" };
        anyhow::ensure!(item["verdict"] == wanted, "{id} is not `{wanted}`: {item:#}");
        passed += usize::from(wanted == "pass");
    }
    for (id, _) in not_shown {
        anyhow::ensure!(live.contains_key(id), "there is no item {id}");
    }
    anyhow::ensure!(passed > 0, "nothing was judged");
    let rest: Vec<String> = not_shown.iter().map(|(id, why)| format!("not {id}: {why}")).collect();
    Ok([vec![format!("{passed} live items pass")], rest].concat().join("; "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_item_passes_but_those_that_are_named() {
        let item = |id: &str, verdict: &str| json!({ "id": id, "layer": "live", "verdict": verdict });
        let paper = json!({ "id": "p", "layer": "paper", "verdict": "fail" });
        let report = |items: &[Value]| json!({ "items": ([items, std::slice::from_ref(&paper)].concat()) });
        let good = report(&[item("a", "pass"), item("b", "unknown")]);
        assert_eq!(
            judged(&good, &[("b", "it is not there")]).unwrap(),
            "1 live items pass; not b: it is not there"
        );
        assert!(judged(&good, &[]).is_err(), "an item that is unknown must be named");
        assert!(judged(&good, &[("b", ""), ("c", "")]).is_err(), "what is named must be there");
        let changed = report(&[item("a", "pass"), item("b", "pass")]);
        assert!(judged(&changed, &[("b", "")]).is_err(), "what passes must not be named");
        assert!(judged(&report(&[item("a", "fail")]), &[]).is_err());
        assert!(judged(&report(&[]), &[]).is_err(), "nothing is not enough");
    }
}
