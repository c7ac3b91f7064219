//! The sources against a folder of files and the environment that every test has.

use std::fs;

use super::*;

fn secrets() -> (tempfile::TempDir, Secrets) {
    let folder = tempfile::tempdir().unwrap();
    let secrets = Secrets::new(folder.path());
    (folder, secrets)
}

fn resolve(secrets: &Secrets, reference: &str) -> Result<String> {
    secrets.resolve(&SecretRef::parse(reference).unwrap()).map(|secret| secret.expose().clone())
}

/// The error's message and help; it must be a `SECRET_UNAVAILABLE` that names the reference.
fn failure(secrets: &Secrets, reference: &str) -> (String, String) {
    let error = resolve(secrets, reference).unwrap_err();
    assert_eq!(error.code().id, "SECRET_UNAVAILABLE");
    assert!(error.message().contains(&format!("`{reference}`")), "{error}");
    (error.message().to_owned(), error.help().unwrap().to_owned())
}

#[test]
fn a_variable_is_read_from_the_environment() {
    let (_folder, secrets) = secrets();
    assert_eq!(resolve(&secrets, "env:CARGO_PKG_NAME").unwrap(), env!("CARGO_PKG_NAME"));
}

#[test]
fn a_variable_that_is_not_set_is_named() {
    let (_folder, secrets) = secrets();
    let (message, help) = failure(&secrets, "env:MAINSTAY_NO_SUCH_VARIABLE");
    assert!(message.ends_with("is not set in the environment"), "{message}");
    assert!(help.contains("export MAINSTAY_NO_SUCH_VARIABLE="), "{help}");
}

#[test]
fn a_file_loses_one_newline_at_its_end_and_no_more() {
    let (folder, secrets) = secrets();
    let cases =
        [("key", "key"), ("key\n", "key"), ("key\r\n", "key"), ("key\n\n", "key\n"), (" key ", " key ")];
    for (content, expect) in cases {
        fs::write(folder.path().join("secret"), content).unwrap();
        assert_eq!(resolve(&secrets, "file:secret").unwrap(), expect, "{content:?}");
    }
}

#[test]
fn an_absolute_path_is_taken_as_it_stands() {
    let (_folder, secrets) = secrets();
    let elsewhere = tempfile::tempdir().unwrap();
    let path = elsewhere.path().join("secret");
    fs::write(&path, "key").unwrap();
    assert_eq!(resolve(&secrets, &format!("file:{}", path.display())).unwrap(), "key");
}

#[test]
fn a_file_that_cannot_be_a_secret_is_refused_with_the_reason() {
    let (folder, secrets) = secrets();
    fs::write(folder.path().join("empty"), "\n").unwrap();
    fs::write(folder.path().join("large"), "ü".repeat(SECRET_BYTES_MAX)).unwrap();
    fs::write(folder.path().join("one-more"), "x".repeat(SECRET_BYTES_MAX + 1)).unwrap();
    fs::write(folder.path().join("binary"), b"hunter2\xff").unwrap();
    fs::create_dir(folder.path().join("folder")).unwrap();
    let cases = [
        ("file:missing", "there is no such file"),
        ("file:empty", "is empty"),
        ("file:large", "is larger than 65536 bytes"),
        ("file:one-more", "is larger than 65536 bytes"),
        ("file:binary", "is not UTF-8 text"),
        ("file:folder", "not a regular file"),
    ];
    for (reference, why) in cases {
        let (message, help) = failure(&secrets, reference);
        assert!(message.contains(why), "{message}");
        assert!(!message.contains("hunter2") && !help.contains("hunter2"), "a value was shown");
    }
}

#[test]
fn the_largest_secret_is_read_whole() {
    let (folder, secrets) = secrets();
    fs::write(folder.path().join("largest"), format!("{}\r\n", "x".repeat(SECRET_BYTES_MAX))).unwrap();
    assert_eq!(resolve(&secrets, "file:largest").unwrap().len(), SECRET_BYTES_MAX);
}

#[test]
fn an_unknown_source_names_the_nearest_known_one() {
    let (_folder, secrets) = secrets();
    let check = |reference: &str, expect: &str| assert_eq!(failure(&secrets, reference).1, expect);
    check("evn:KEY", "did you mean `env:KEY`?");
    check("files:key", "did you mean `file:key`?");
    check("vault:key", "there are `env:`, `file:`");
}

#[test]
fn every_source_can_be_written_as_a_reference() {
    for def in ALL {
        assert!(SecretRef::parse(&format!("{}:x", def.source)).is_some(), "{}", def.source);
        assert!(std::ptr::eq(find(def.source).unwrap(), def), "`{}` stands twice", def.source);
    }
}

#[test]
fn the_variables_that_settings_refer_to_are_found_wherever_they_stand() {
    let settings = serde_json::json!({
        "api_key": "env:A",
        "headers": { "x": "Bearer ${env:B}", "y": "${file:k}${env:C}-${env:D}", "z": "file:env" },
        "list": [1, null, ["env:E"]],
        "description": "env is short for environment; ${env:unclosed",
    });
    assert_eq!(env::variables_in(&settings), ["A", "B", "C", "D", "E"].map(str::to_owned).into());
}
