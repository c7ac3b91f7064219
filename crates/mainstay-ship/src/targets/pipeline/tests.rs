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
    let Build::App(source) = shipment.workload.build else { return None };
    let files = shipment.project.files;
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
    Some(Tests { source, script, present })
}

/// pytest where it is among the packages, else what Python itself has.
fn python(with: &str) -> String {
    format!(
        "if {with}python -c 'import pytest'; then\n  {with}python -m pytest tests\nelse\n  \
         {with}python -m unittest discover --start-directory tests --top-level-directory .\nfi\n"
    )
}

fn compile(with: &str) -> String {
    format!("{with}python -m compileall -q -x '[.]venv' .\n")
}
