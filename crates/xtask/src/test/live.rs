//! The production checklist on running examples: their specs as they are shipped, but for what stands in for servers
//! elsewhere, and a second caller. `tests/vaia` does the same for `examples/vaia`.

mod desk;
mod task_api;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use super::{House, Outcome};
use crate::server::Server;

/// Longest wait for a service to listen.
const PATIENCE: Duration = Duration::from_secs(60);

/// A variable of the process and its value.
type Variable = (&'static str, &'static str);

/// What is said of an example: the items that pass, and those that are not shown.
type Said = anyhow::Result<Result<String, String>>;

/// Asks every example. One that cannot run here says why, as an error inside what it gives.
pub(super) fn run(house: &House) -> anyhow::Result<Outcome> {
    let (mut passed, mut not_run) = (Vec::new(), Vec::new());
    for (name, ask) in [("desk", desk::ask as fn(&House) -> Said), ("task-api", task_api::ask)] {
        match ask(house).with_context(|| format!("examples/{name}"))? {
            Ok(what) => passed.push(format!("{name}: {what}")),
            Err(why) => not_run.push(format!("{name}: {why}")),
        }
    }
    if let Some(why) = not_run.first() {
        return Ok(Outcome::NotRun(format!("the rest passed, but not {why}")));
    }
    Ok(Outcome::Passed(passed.join("; ")))
}

/// Writes a spec with something in the place of what it says.
fn changed(spec: &Path, changes: &[(&str, String)]) -> anyhow::Result<()> {
    let mut text = std::fs::read_to_string(spec)?;
    for (old, new) in changes {
        anyhow::ensure!(text.contains(old), "{} has no `{old}` any more", spec.display());
        text = text.replace(old, new);
    }
    Ok(std::fs::write(spec, text)?)
}

/// The report of the checklist, which uses the first of two callers' keys up and ends the service.
fn asked(
    house: &House,
    folder: &Path,
    server: &Server,
    keys: [Variable; 2],
    more: &[String],
) -> anyhow::Result<Value> {
    let mut check = Command::new(house.binary()?);
    check.args(["check", "--production", "--format", "json", "--exhaust"]).arg(folder).args(more);
    check.arg("--url").arg(format!("http://{}", server.address)).arg("--drain").arg(server.id().to_string());
    check.envs(keys).env("MAINSTAY_API_KEY", keys[0].1).env("MAINSTAY_OTHER_API_KEY", keys[1].1);
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
