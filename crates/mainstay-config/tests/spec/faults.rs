//! Bad specs and what is said of them: `faults/*.yaml`, each with its `.txt` beside it. `UPDATE_GOLDENS=1` writes the
//! texts anew; read the difference before you commit it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use mainstay_config::Overrides;
use mainstay_core::codes;

use crate::fakes::{load, load_with};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/spec/faults")
}

fn specs() -> Vec<PathBuf> {
    let mut specs: Vec<PathBuf> = fs::read_dir(folder())
        .expect("the goldens' folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect();
    specs.sort();
    specs
}

#[test]
fn every_bad_spec_is_reported_as_its_golden_says() {
    let mut wrong = Vec::new();
    for spec in specs() {
        let said = load(&fs::read_to_string(&spec).unwrap()).expect_err("the spec is bad").render(false);
        let golden = spec.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDENS").is_some() {
            fs::write(&golden, &said).unwrap();
        }
        if fs::read_to_string(&golden).unwrap_or_default() != said {
            wrong.push(format!("== {}\n{said}", spec.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_code_of_the_configuration_is_among_the_goldens() {
    let seen: BTreeSet<&str> = specs()
        .iter()
        .flat_map(|spec| load(&fs::read_to_string(spec).unwrap()).unwrap_err().faults().to_vec())
        .map(|fault| fault.code.id)
        .collect();
    let all: BTreeSet<&str> =
        codes::ALL.iter().map(|code| code.id).filter(|id| id.starts_with("CONFIG_")).collect();
    assert_eq!(seen, all);
}

#[test]
fn secrets_are_shown_in_no_form() {
    let texts = specs().into_iter().map(|spec| fs::read_to_string(spec).unwrap());
    let texts: Vec<String> = texts.filter(|text| text.contains("hunter2")).collect();
    assert!(texts.len() > 3, "specs must hold what is not to be shown");
    for text in texts {
        let faults = load(&text).unwrap_err();
        for form in
            [faults.render(false), faults.render(true), faults.to_string(), faults.to_json().to_string()]
        {
            assert!(!form.contains("hunter2"), "{form}");
        }
    }
}

#[test]
fn the_form_for_programs_has_positions() {
    let faults = load("name: x\nserver: { drian: 30s }\n").unwrap_err();
    let expected = serde_json::json!({
        "file": "mainstay.yaml",
        "count": 1,
        "faults": [{
            "code": "CONFIG_UNKNOWN_KEY",
            "message": "unknown key `drian` in `server`",
            "help": "did you mean `drain`?",
            "file": "mainstay.yaml",
            "line": 2, "column": 11, "end_line": 2, "end_column": 16,
            "override": null,
        }],
    });
    assert_eq!(faults.to_json(), expected);
}

#[test]
fn a_log_gets_one_line_a_fault_without_quotes_of_the_spec() {
    let faults = load("name: x\nserver: { drian: 30s, drain: 5 }\n").unwrap_err();
    let lines: Vec<String> = faults.to_string().lines().map(str::to_owned).collect();
    assert_eq!(
        lines,
        [
            "mainstay.yaml:2:11: CONFIG_UNKNOWN_KEY: unknown key `drian` in `server`",
            "mainstay.yaml:2:30: CONFIG_VALUE: `server.drain` must be a duration, and here is a number",
        ]
    );
}

#[test]
fn colours_change_nothing_but_the_colour() {
    let faults = load("name: x\nserver: { drian: 30s }\n").unwrap_err();
    let mut plain = faults.render(true);
    for code in ["\x1b[1;31m", "\x1b[1;34m", "\x1b[1m", "\x1b[0m"] {
        assert!(plain.contains(code));
        plain = plain.replace(code, "");
    }
    assert_eq!(plain, faults.render(false));
}

#[test]
fn a_bad_override_is_reported_as_what_it_is() {
    let overrides = Overrides { listen: Some("8080".to_owned()), ..Overrides::default() };
    let said = load_with("name: x\n", &overrides).unwrap_err().render(false);
    assert!(said.contains("--> `--listen` or `MAINSTAY_LISTEN`"), "{said}");
    assert!(said.contains("help: write `127.0.0.1:8080`"), "{said}");

    let overrides = Overrides { listen: Some("0.0.0.0:8080".to_owned()), ..Overrides::default() };
    let faults = load_with("name: x\n", &overrides).unwrap_err();
    assert_eq!(faults.faults()[0].code.id, "CONFIG_UNSAFE_LISTEN");
}

#[test]
fn a_flood_of_faults_is_counted_and_cut() {
    let keys: String = (0..1000).map(|n| format!("unknown_{n}: 1\n")).collect();
    let faults = load(&format!("name: x\n{keys}")).unwrap_err();
    assert_eq!((faults.count(), faults.faults().len()), (1000, 200));
    assert!(faults.render(false).contains("1000 faults in mainstay.yaml; the first 200 are shown\n"));
}

#[test]
fn faults_of_resource_files_come_after_those_of_the_spec() {
    let faults = load("name: x\ncomponents: bad\nserver: { drian: 30s }\n").unwrap_err();
    let places: Vec<String> = faults
        .to_string()
        .lines()
        .map(|line| line.split(": ").take(2).collect::<Vec<_>>().join(" "))
        .collect();
    let expected = [
        "mainstay.yaml:3:11 CONFIG_UNKNOWN_KEY",
        "bad/a.yaml:1:1 CONFIG_MISSING_KEY",
        "bad/b.yml:4:15 CONFIG_REFERENCE",
    ];
    assert_eq!(places, expected);
    assert_eq!(faults.count(), 3);
    assert_eq!(faults.to_json()["faults"][2]["file"], "bad/b.yml");
    assert!(faults.render(false).contains("1 fault in bad/b.yml"));

    let faults = load("name: x\ncomponents: bad\n").unwrap_err();
    assert!(
        !faults.is_empty() && faults.faults().is_empty() && !faults.render(false).contains("mainstay.yaml")
    );
}
