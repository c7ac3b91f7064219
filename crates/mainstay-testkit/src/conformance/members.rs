//! What a test binary makes of a list of types: the suite against each way in which a type works, tests of its own, and
//! a line for what cannot be run here. A type without a rig fails.

use libtest_mimic::{Arguments, Trial};

use super::suite::Check;

/// A check that cannot be run, with the reason.
pub type NotRun = (&'static str, &'static str);

/// One way in which a type works; `O` opens it.
pub struct Way<O> {
    name: &'static str,
    open: O,
    not_run: Vec<NotRun>,
    own: Vec<Trial>,
}

impl<O> Way<O> {
    /// A way by this name.
    pub fn new(name: &'static str, open: O) -> Self {
        Self { name, open, not_run: Vec::new(), own: Vec::new() }
    }

    /// The same without checks that cannot be run.
    #[must_use]
    pub fn without(mut self, not_run: Vec<NotRun>) -> Self {
        self.not_run.extend(not_run);
        self
    }

    /// The same with tests of its own.
    #[must_use]
    pub fn with(mut self, own: Vec<Trial>) -> Self {
        self.own.extend(own);
        self
    }
}

impl<O> std::fmt::Debug for Way<O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Way").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What the suite runs a type against.
#[derive(Debug)]
pub enum Member<O> {
    /// Each way in which it works.
    Ways(Vec<Way<O>>),
    /// Nothing here, for this reason.
    NotRun(String),
}

impl<O> From<Way<O>> for Member<O> {
    fn from(way: Way<O>) -> Self {
        Self::Ways(vec![way])
    }
}

/// A suite: its checks as tests named `<member>::<promise>`.
pub type Suite<O> = fn(&str, &O, &[NotRun]) -> Vec<Trial>;

/// The tests of a type, by its kind (`state.redis`). `None` is a type that nobody has written a rig for.
pub fn trials<O>(kind: &str, member: Option<Member<O>>, suite: Suite<O>) -> Vec<Trial> {
    let (block, name) = kind.split_once('.').unwrap_or((kind, kind));
    match member {
        Some(Member::Ways(ways)) => {
            let trials = |way: Way<O>| suite(way.name, &way.open, &way.not_run).into_iter().chain(way.own);
            ways.into_iter().flat_map(trials).collect()
        }
        Some(Member::NotRun(reason)) => vec![not_run(format!("{name}::not_run"), reason)],
        None => {
            let missing = format!("`{block}` has no rig for this type");
            vec![Trial::test(format!("{name}::has_a_rig"), || Err(missing.into()))]
        }
    }
}

/// A test that cannot be run here, shown with the reason.
pub fn not_run(name: impl Into<String>, reason: impl Into<String>) -> Trial {
    Trial::test(name, || Ok(())).with_kind(reason).with_ignored_flag(true)
}

/// A test of a member's own, on a runtime of one thread.
pub fn own<F: Future<Output = ()>>(name: &str, test: impl FnOnce() -> F + Send + 'static) -> Trial {
    Trial::test(name, || {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(test());
        Ok(())
    })
}

/// The checks of outages, for a member that has no server which could be out.
pub fn no_server<O>(outages: &[Check<O>]) -> Vec<NotRun> {
    outages.iter().map(|check| (check.name, "it has no server")).collect()
}

/// Runs tests as the arguments of this process say, and ends it. At once run as many as there are processors, or
/// `at_once`.
pub fn run(trials: impl IntoIterator<Item = Trial>, at_once: Option<usize>) -> ! {
    // Planted faults panic by design; a failed trial still shows its message.
    std::panic::set_hook(Box::new(|_| ()));
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(at_once);
    libtest_mimic::run(&arguments, trials.into_iter().collect()).exit()
}
