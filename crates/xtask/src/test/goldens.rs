//! The examples' specs are sound, their deployment files are current, and the production checklist passes on them.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use serde_json::Value;

use super::{House, Outcome};
use crate::{goldens, project, shell};

/// Every example's spec is sound, and the files are those that the specs give.
pub(super) fn current(house: &House) -> anyhow::Result<Outcome> {
    for spec in specs()? {
        shell::output(Command::new(house.binary()?).arg("check").arg(&spec))
            .with_context(|| format!("check {}", spec.display()))?;
    }
    let stale = goldens::check(house.binary()?)?;
    anyhow::ensure!(stale.is_empty(), "{} files are not current; run `cargo xtask goldens`", stale.len());
    Ok(Outcome::Passed(goldens::SHIPPED.join(", ")))
}

/// The specs of the examples, those that have another name than `mainstay.yaml` too.
fn specs() -> anyhow::Result<Vec<PathBuf>> {
    let mut specs = Vec::new();
    for folder in std::fs::read_dir(project::root().join("examples"))? {
        let folder = folder?.path();
        let named = ["mainstay.yaml", "offline.yaml"].map(|name| folder.join(name));
        specs.extend(named.into_iter().filter(|spec| spec.is_file()));
    }
    anyhow::ensure!(specs.len() > goldens::SHIPPED.len(), "examples are missing: {specs:?}");
    Ok(specs)
}

/// The examples, with their deployment files as they are committed, pass every item of the checklist that can be judged
/// on paper and whose feature there is. Nothing is waived, and what is missing is said to be.
pub(super) fn ready(house: &House) -> anyhow::Result<Outcome> {
    let mut told = Vec::new();
    for name in goldens::SHIPPED {
        let mut check = Command::new(house.binary()?);
        check.args(["check", "--production", "--format", "json"]).arg(goldens::folder(name));
        let said = check.output().context("run the checklist")?;
        let text = String::from_utf8_lossy(&said.stdout);
        let report: Value = serde_json::from_str(&text).with_context(|| format!("{name}: {text}"))?;
        let counted = judged(&report).with_context(|| format!("examples/{name}"))?;
        told.push(format!("{name}: {counted}"));
    }
    Ok(Outcome::Passed(told.join("; ")))
}

/// How many items pass and are missing. Errors: an item that neither passes nor is missing.
fn judged(report: &Value) -> anyhow::Result<String> {
    let items = report["items"].as_array().context("a report without items")?;
    let (mut passed, mut missing) = (0, 0);
    for item in items.iter().filter(|item| item["layer"] == "paper") {
        match (item["verdict"].as_str(), item["missing"].is_null()) {
            (Some("pass"), _) => passed += 1,
            (Some("unknown"), false) => missing += 1,
            (verdict, _) => anyhow::bail!("{} is {verdict:?}: {}", item["id"], item["evidence"]),
        }
    }
    anyhow::ensure!(passed > 0, "nothing was judged");
    Ok(format!("{passed} pass, {missing} not there yet"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_item_that_fails_is_waived_or_is_unknown_without_a_reason_is_a_fault() {
        let item = |verdict: &str, missing: Value| json!({ "id": "x", "layer": "paper", "verdict": verdict, "missing": missing, "evidence": [] });
        let live = json!({ "id": "y", "layer": "live", "verdict": "unknown", "missing": null });
        let good = json!({ "items": [item("pass", Value::Null), item("unknown", json!("a cache")), live] });
        assert_eq!(judged(&good).unwrap(), "1 pass, 1 not there yet");
        for verdict in ["fail", "waived", "unknown"] {
            let bad = json!({ "items": [item("pass", Value::Null), item(verdict, Value::Null)] });
            assert!(judged(&bad).is_err(), "{verdict}");
        }
        assert!(judged(&json!({ "items": [] })).is_err(), "nothing is not enough");
    }
}
