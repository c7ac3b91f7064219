//! What every `Binding` must do. To add a check: an `async fn` in a file below and its name in that file's list.
//!
//! Each check opens a binding of its own. What an operation does, and what a member makes of its settings, it tests
//! itself.

mod events;
mod operations;
mod outages;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use libtest_mimic::Trial;
use mainstay_core::binding::{Binding, Operation};
use mainstay_core::{Ctx, Error};

use super::suite;
pub use super::suite::prove;
pub use crate::servers::below::{Below, Need, Outage};

/// A binding, and what is on its other side.
#[async_trait]
pub trait Rig: Send + Sync {
    /// The binding under test.
    fn binding(&self) -> Arc<dyn Binding>;

    /// One operation of each name that is declared, each of which works after those before it.
    fn samples(&self) -> Vec<Operation>;

    /// An operation that lacks metadata it cannot do without, where there is one.
    fn lacking(&self) -> Option<Operation> {
        None
    }

    /// Makes an event happen, within seconds. Only where events are declared.
    async fn provoke(&self) {}

    /// The servers that are the rig's own. None but with [`Need::Server`].
    fn below(&self) -> Below {
        Below::default()
    }
}

/// Opens a binding.
pub type Open = Arc<dyn Fn(Need) -> BoxFuture<'static, Arc<dyn Rig>> + Send + Sync>;

/// One promise of the port.
pub type Check = suite::Check<Open>;

/// The checks that need a server that can be stopped: not run by a member without one.
pub const OUTAGES: &[Check] = outages::CHECKS;

/// Every check, in the order of the files.
pub fn checks() -> impl Iterator<Item = Check> {
    [operations::CHECKS, events::CHECKS, outages::CHECKS].into_iter().flatten().copied()
}

/// The suite as tests named `<member>::<promise>`. `not_run` names the checks that cannot be run for this member, with
/// the reason; they are shown as ignored.
///
/// # Panics
/// Where `not_run` names a check that does not exist.
pub fn trials(member: &str, open: &Open, not_run: &[(&str, &'static str)]) -> Vec<Trial> {
    suite::trials(member, open, checks(), not_run)
}

/// Lists async functions of this file as checks under their own names.
macro_rules! promises {
    ($($name:ident),* $(,)?) => {
        pub(super) const CHECKS: &[super::Check] =
            &[$(super::Check { name: stringify!($name), run: |open| Box::pin($name(open)) }),*];
    };
}
use promises;

/// Longest wait for a condition.
const PATIENCE: Duration = Duration::from_secs(30);

/// The context of most calls: a deadline that only a fault reaches.
fn ctx() -> Ctx {
    within(PATIENCE)
}

fn within(time: Duration) -> Ctx {
    Ctx::system().with_deadline(Instant::now() + time)
}

#[track_caller]
fn is_code(error: &Error, code: &str) {
    assert_eq!(error.code().id, code, "{error:?}");
}
