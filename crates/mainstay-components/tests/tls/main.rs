//! Every backend over TLS, on its real server: with a certificate of an authority that is trusted, with one of another,
//! and with a certificate of ours where the server asks for one. Kafka's tests of it are beside its others. A backend
//! whose server is not installed is shown as not run.
//!
//! What has no setting for whom it trusts trusts the host's roots: these tests run in a process of their own whose
//! roots are those of their own authority.

#![expect(clippy::unwrap_used, reason = "a test binary, in which no function bears the attribute of a test")]

mod authority;
#[cfg(feature = "jetstream")]
mod jetstream;
#[cfg(feature = "mqtt")]
mod mqtt3;
#[cfg(feature = "postgres")]
mod postgresql;
#[cfg(feature = "rabbitmq")]
mod rabbitmq;
#[cfg(feature = "redis")]
mod redis;
mod story;

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use libtest_mimic::Trial;
use mainstay_testkit::conformance::members;
use mainstay_testkit::servers::Recipe;

use crate::authority::Authority;

fn main() {
    if std::env::var_os(FOLDER).is_none() {
        std::process::exit(again());
    }
    let mut trials: Vec<Trial> = Vec::new();
    #[cfg(feature = "jetstream")]
    trials.extend(jetstream::trials());
    #[cfg(feature = "mqtt")]
    trials.extend(mqtt3::trials());
    #[cfg(feature = "postgres")]
    trials.extend(postgresql::trials());
    #[cfg(feature = "rabbitmq")]
    trials.extend(rabbitmq::trials());
    #[cfg(feature = "redis")]
    trials.extend(redis::trials());
    members::run(trials, None);
}

/// The variable that names the folder of the authority that this process trusts.
const FOLDER: &str = "MAINSTAY_TEST_AUTHORITY";
/// What it is called.
const NAME: &str = "the host's";

/// Runs this program again where the host's roots are those of an authority of our own.
fn again() -> i32 {
    let folder = tempfile::tempdir().unwrap();
    let roots = Authority::new(NAME).write(folder.path());
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(std::env::args_os().skip(1)).env(FOLDER, folder.path()).env("SSL_CERT_FILE", roots);
    again.env_remove("SSL_CERT_DIR").status().unwrap().code().unwrap_or(1)
}

/// The authority that this host trusts.
static HOST: LazyLock<Authority> = LazyLock::new(|| {
    let folder = std::env::var_os(FOLDER).expect("it was run again");
    Authority::read(NAME, &PathBuf::from(folder))
});
/// One that it does not know.
static STRANGER: LazyLock<Authority> = LazyLock::new(|| Authority::new("a stranger's"));

/// A backend's tests; one line with the reason where its server is missing.
fn trials(member: &str, recipe: &'static Recipe, tests: Vec<Trial>) -> Vec<Trial> {
    match recipe.missing() {
        Some(missing) => vec![members::not_run(format!("{member}::not_run"), missing)],
        None => tests,
    }
}
