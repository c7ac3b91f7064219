//! schemathesis reads `/openapi.json` and sends what it allows and what it forbids: no answer may be a server error, or
//! a status, type or shape that the document does not declare.

use std::process::Command;
use std::time::Duration;

use super::{House, Outcome, python};
use crate::server::{self, Server};
use crate::{project, shell};

/// Cases an operation.
const EXAMPLES_MAX: &str = "40";
const CHECKS: &str =
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
/// Time budget of the whole run.
const SECONDS_MAX: &str = "180";
/// After that it hangs.
const TIME_MAX: Duration = Duration::from_secs(8 * 60);
/// The same cases every time.
const SEED: &str = "20261121";

pub(super) fn run(house: &House) -> anyhow::Result<Outcome> {
    let programs = match python::environment("openapi")? {
        Ok(programs) => programs,
        Err(reason) => return Ok(Outcome::NotRun(reason)),
    };
    let folder = tempfile::tempdir()?;
    let specs = project::root().join("tests/python/specs");
    // The second is read from the folder that schemathesis runs in.
    for (from, to) in [("openapi.yaml", "mainstay.yaml"), ("schemathesis.toml", "schemathesis.toml")] {
        std::fs::copy(specs.join(from), folder.path().join(to))?;
    }
    let mut command = server::command(house.binary()?, folder.path(), &folder.path().join("models"));
    command.arg("serve").arg(folder.path()).env("TEST_KEY", KEY);
    let server = Server::start(&mut command, Duration::from_secs(30))?;
    let mut test = Command::new(programs.join("schemathesis"));
    test.args(["run", &format!("http://{}/openapi.json", server.address), "--checks", CHECKS]);
    test.args([
        "--max-examples",
        EXAMPLES_MAX,
        "--seed",
        SEED,
        "--request-timeout",
        "20",
        "--max-time",
        SECONDS_MAX,
    ]);
    test.args(["--generation-database", "none", "--continue-on-failure", "--no-color"]);
    test.args(["--header", &format!("Authorization: Bearer {KEY}"), "--phases", "examples,coverage,fuzzing"]);
    test.current_dir(folder.path());
    let outcome = shell::run_within(&mut test, TIME_MAX);
    if outcome.is_err() {
        println!("the server said:\n{}", server.said());
    }
    outcome?;
    Ok(Outcome::Passed(format!("{EXAMPLES_MAX} cases an operation")))
}

/// The key of `tests/python/specs/openapi.yaml`; it opens nothing else.
const KEY: &str = "sk-test-openapi";
