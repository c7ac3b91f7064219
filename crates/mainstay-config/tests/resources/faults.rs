//! Bad files and what is said of them: `faults/*.yaml`, each with its `.txt` beside it. `UPDATE_GOLDENS=1` writes the
//! texts anew; read the difference before you commit it.

use std::fs;
use std::path::{Path, PathBuf};

use mainstay_core::component::SettingValue;

use crate::fakes::{load_files, said};

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/resources/faults");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the goldens' folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect();
    files.sort();
    files
}

#[test]
fn every_bad_file_is_reported_as_its_golden_says() {
    let mut wrong = Vec::new();
    for file in files() {
        let name = file.file_name().unwrap().to_str().unwrap();
        let loaded = load_files(&[(name, &fs::read_to_string(&file).unwrap())]);
        let said = said(&loaded);
        assert!(!said.is_empty(), "{name} is not bad");
        let golden = file.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDENS").is_some() {
            fs::write(&golden, &said).unwrap();
        }
        if fs::read_to_string(&golden).unwrap_or_default() != said {
            wrong.push(format!("== {name}\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn secrets_are_shown_in_no_form() {
    let texts: Vec<String> = files().iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let with_secrets: Vec<&String> = texts.iter().filter(|text| text.contains("hunter2")).collect();
    assert!(with_secrets.len() > 2, "files must hold what is not to be shown");
    for text in with_secrets {
        let loaded = load_files(&[("file.yaml", text)]);
        let debug = format!("{:?}", loaded.resources);
        assert!(!debug.contains("hunter2"), "{debug}");
        for found in loaded.faults.iter().chain(&loaded.warnings) {
            for form in [found.render(false), found.to_string(), found.to_json().to_string()] {
                assert!(!form.contains("hunter2"), "{form}");
            }
        }
    }
}

const GOOD: &str = "\
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: good }
spec: { type: bindings.cron, version: v1, metadata: [{ name: schedule, value: '@every 1s' }] }
";

#[test]
fn a_bad_document_does_not_hide_a_good_one() {
    let text = format!("kind: [\n---\n{GOOD}---\nkind: Component\n");
    let loaded = load_files(&[("a.yaml", "apiVersion: ]"), ("b.yaml", &text)]);
    assert_eq!(loaded.faults.len(), 2);
    assert_eq!(loaded.resources.components.len(), 1);
    assert_eq!(loaded.resources.components[0].origin, "b.yaml:3");
}

#[test]
fn two_components_of_a_name_are_a_fault_that_names_both_places() {
    let loaded = load_files(&[("a.yaml", GOOD), ("b.yaml", GOOD)]);
    let said = said(&loaded);
    assert!(said.contains("--> b.yaml:3:19") && said.contains("stands at a.yaml:3"), "{said}");
    assert_eq!(loaded.resources.components.len(), 1);
}

#[test]
fn two_components_of_a_name_for_different_apps_are_no_fault() {
    let first = format!("{GOOD}scopes: [a, b]\n");
    let second = format!("{GOOD}scopes: [c]\n");
    let loaded = load_files(&[("a.yaml", &first), ("b.yaml", &second)]);
    assert_eq!((said(&loaded).as_str(), loaded.resources.components.len()), ("", 2));
    let third = format!("{GOOD}scopes: [b]\n");
    assert_eq!(load_files(&[("a.yaml", &first), ("b.yaml", &third)]).faults.len(), 1);
    let elsewhere = GOOD.replace("name: good", "name: good, namespace: prod");
    assert_eq!(said(&load_files(&[("a.yaml", GOOD), ("b.yaml", &elsewhere)])), "");
}

#[test]
fn what_a_component_may_fail_for_is_a_warning_if_its_errors_are_to_be_ignored() {
    let bad = GOOD.replace("bindings.cron", "bindings.corn").replace("version: v1", "ignoreErrors: true");
    let loaded = load_files(&[("a.yaml", &bad)]);
    assert_eq!((loaded.faults.len(), loaded.warnings.len()), (0, 1));
    assert!(loaded.resources.components.is_empty());
    assert!(said(&loaded).contains("did you mean `bindings.cron`?"));
    let untyped = load_files(&[("a.yaml", &bad.replace("type:", "tipe:"))]);
    assert_eq!((untyped.faults.len(), untyped.warnings.len()), (0, 1));
}

#[test]
fn versions_and_types_are_compared_as_there() {
    for (kind, version) in
        [("bindings.CRON", "v1"), ("bindings.cron", ""), ("bindings.cron", "v0"), ("state.Postgres", "V2")]
    {
        let text =
            GOOD.replace("bindings.cron", kind).replace("version: v1", &format!("version: '{version}'"));
        assert_eq!(said(&load_files(&[("a.yaml", &text)])), "", "{kind} {version}");
    }
}

#[test]
fn a_value_that_is_not_known_yet_is_not_checked() {
    let with = |value: &str| {
        format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{ name: x }}\n\
             spec: {{ type: state.redis, metadata: [{{ name: redisHost, {value} }}] }}\n"
        )
    };
    for value in ["secretKeyRef: { name: h }", "envRef: HOST", "value: 'redis-{podName}'"] {
        let loaded = load_files(&[("a.yaml", &with(value))]);
        assert_eq!((said(&loaded).as_str(), loaded.resources.components.len()), ("", 1), "{value}");
    }
    assert!(!load_files(&[("a.yaml", &with("value: plain"))]).faults.is_empty());
}

#[test]
fn a_file_that_is_too_large_is_refused() {
    let text = "#".repeat(mainstay_config::BYTES_MAX + 1);
    assert!(said(&load_files(&[("a.yaml", &text)])).contains("larger than"));
}

#[test]
fn a_secret_comes_before_a_value_and_a_value_before_a_variable() {
    let of = |item: &str| {
        let text = GOOD.replace("value: '@every 1s'", item);
        let loaded = load_files(&[("a.yaml", &text)]);
        assert_eq!((loaded.faults.len(), loaded.warnings.len()), (0, 1), "{}", said(&loaded));
        loaded.resources.components[0].settings[0].value.clone()
    };
    let secret = SettingValue::Secret { name: "s".to_owned(), key: "s".to_owned() };
    assert_eq!(of("value: a, secretKeyRef: { name: s }"), secret);
    assert_eq!(of("value: a, envRef: E"), SettingValue::Text("a".to_owned()));
    assert_eq!(of("envRef: E, secretKeyRef: { name: s }"), SettingValue::Env("E".to_owned()));
}

#[test]
fn a_component_does_not_get_the_variables_of_the_runtime() {
    for variable in ["DAPR_API_TOKEN", "app_api_token", "MAINSTAY_API_KEY", "A B"] {
        let loaded =
            load_files(&[("a.yaml", &GOOD.replace("value: '@every 1s'", &format!("envRef: {variable}")))]);
        assert_eq!((loaded.faults.len(), loaded.warnings.len()), (0, 1), "{variable}");
        assert_eq!(loaded.resources.components[0].settings[0].value, SettingValue::Text(String::new()));
    }
}
