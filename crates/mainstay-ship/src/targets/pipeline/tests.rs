//! How an app is tested: with what its image is built from, locked.

use crate::{Build, Shipment, Source};

/// How an app is tested.
pub(in crate::targets) struct Tests {
    /// What it is built from.
    pub(in crate::targets) source: Source,
    /// The commands, for a POSIX shell.
    pub(in crate::targets) script: String,
    /// Whether there are tests, as far as the names of files say.
    pub(in crate::targets) present: bool,
}

/// Versions of the languages, as in the images.
pub(in crate::targets) const PYTHON: &str = "3.11";
pub(in crate::targets) const NODE: &str = "22";

/// Packages for testing alone, beside those that are served.
const FOR_TESTS: [&str; 2] = ["requirements-dev.txt", "requirements-test.txt"];

/// The tests of the app, if one is built.
pub(in crate::targets) fn of(shipment: &Shipment<'_>) -> Option<Tests> {
    match shipment.workload.build {
        Build::App(source) => Some(from(source, shipment.project.files)),
        Build::Bare => None,
    }
}

fn from(source: Source, files: &[String]) -> Tests {
    let has = |name: &str| files.iter().any(|file| file == name);
    let present = match source {
        // Their own tools find the tests, or say that there are none.
        Source::Npm | Source::Cargo => true,
        Source::Uv | Source::Pip => has("tests"),
    };
    let script = match source {
        Source::Npm => "npm ci\nnpm run test --if-present\n".to_owned(),
        Source::Cargo => "cargo test --locked\n".to_owned(),
        Source::Uv => {
            let run = if present { python("uv run --locked ") } else { compile("uv run --locked ") };
            format!("python -m pip install 'uv>=0.9,<0.10'\nuv sync --locked\n{run}")
        }
        Source::Pip => {
            let named = FOR_TESTS.into_iter().filter(|name| has(name));
            let further: String = named.map(|name| format!(" --requirement {name}")).collect();
            let run = if present { python("") } else { compile("") };
            format!("python -m pip install --requirement requirements.txt{further}\n{run}")
        }
    };
    Tests { source, script, present }
}

/// pytest where it is among the packages, else what Python itself has.
fn python(with: &str) -> String {
    format!(
        "if {with}python -c 'import pytest'; then\n  {with}python -m pytest tests\nelse\n  \
         {with}python -m unittest discover --start-directory tests\nfi\n"
    )
}

fn compile(with: &str) -> String {
    format!("{with}python -m compileall -q -x '[.]venv' .\n")
}

#[cfg(test)]
mod unit {
    use super::*;

    fn script(source: Source, files: &[&str]) -> (String, bool) {
        let files: Vec<String> = files.iter().map(|&file| file.to_owned()).collect();
        let Tests { script, present, .. } = from(source, &files);
        (script, present)
    }

    #[test]
    fn what_is_locked_is_installed_and_tests_run_where_there_are_some() {
        let (pip, present) = script(Source::Pip, &["requirements-dev.txt", "requirements.txt", "tests"]);
        assert!(
            present && pip.contains("--requirement requirements.txt --requirement requirements-dev.txt"),
            "{pip}"
        );
        assert!(pip.contains("pytest tests") && pip.contains("unittest discover"), "{pip}");
        let (uv, _) = script(Source::Uv, &["tests", "uv.lock"]);
        assert!(uv.contains("uv sync --locked") && uv.contains("uv run --locked python -m pytest"), "{uv}");
        assert!(script(Source::Npm, &[]).0.starts_with("npm ci\n"));
        assert!(script(Source::Cargo, &[]).0.contains("--locked"));
    }

    #[test]
    fn without_tests_the_sources_are_read_at_least() {
        for source in [Source::Pip, Source::Uv] {
            let (script, present) = script(source, &["app.py"]);
            assert!(!present && script.contains("compileall"), "{script}");
        }
    }
}
