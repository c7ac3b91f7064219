//! What the suites share: promises as tests, each on a runtime of its own and within a time.

use std::time::Duration;

use futures_util::future::BoxFuture;
use libtest_mimic::Trial;

/// Longest time of a check.
const TIME_MAX: Duration = Duration::from_secs(90);

/// One promise of a port; `O` opens what is under test.
pub struct Check<O> {
    /// The promise, as a test's name.
    pub name: &'static str,
    /// Panics when the promise is broken.
    pub run: fn(O) -> BoxFuture<'static, ()>,
}

impl<O> Clone for Check<O> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<O> Copy for Check<O> {}

impl<O> std::fmt::Debug for Check<O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Check").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Checks as tests named `<member>::<promise>`. `not_run` names the checks that cannot be run for this member, with the
/// reason; they are shown as ignored.
///
/// # Panics
/// Where `not_run` names a check that does not exist.
pub(super) fn trials<O: Clone + Send + 'static>(
    member: &str,
    open: &O,
    checks: impl IntoIterator<Item = Check<O>>,
    not_run: &[(&str, &'static str)],
) -> Vec<Trial> {
    let checks: Vec<Check<O>> = checks.into_iter().collect();
    for (name, _) in not_run {
        assert!(checks.iter().any(|check| check.name == *name), "no check is called `{name}`");
    }
    let trial = |check: Check<O>| {
        let name = format!("{member}::{}", check.name);
        if let Some((_, reason)) = not_run.iter().find(|(name, _)| *name == check.name) {
            return Trial::test(name, || Ok(())).with_kind(*reason).with_ignored_flag(true);
        }
        let open = open.clone();
        Trial::test(name, move || {
            prove(check, open);
            Ok(())
        })
    };
    checks.into_iter().map(trial).collect()
}

/// Runs one check on a runtime of two threads.
///
/// # Panics
/// When the promise is broken, or the check does not end in its time.
pub fn prove<O>(check: Check<O>, open: O) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime of two threads starts").block_on(async {
        let bounded = tokio::time::timeout(TIME_MAX, (check.run)(open)).await;
        bounded.unwrap_or_else(|_| panic!("`{}` ends within {} s", check.name, TIME_MAX.as_secs()));
    });
}
