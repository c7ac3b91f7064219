//! What the list of a building block says of each type of component, and what opening one takes. The same for every
//! block.

use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use mainstay_core::embedded::Embedded;
use mainstay_core::{Clock, Fault, Result};
use mainstay_net::client::Client;

use crate::settings::Settings;

/// A type of component of the block whose port is `P`.
pub struct Def<P: ?Sized> {
    /// Its name in a component's file, e.g. `state.redis`.
    pub kind: &'static str,
    /// Other names for it.
    pub aliases: &'static [&'static str],
    /// The versions of its settings, the present one first.
    pub versions: &'static [&'static str],
    /// What it is, in one sentence.
    pub about: &'static str,
    /// Its settings, in the order of the reference page.
    pub settings: &'static [SettingDef],
    /// Checks settings without I/O and reports every fault; a fault's pointer is the setting's name. A setting whose
    /// value is a secret is there but not known yet ([`Settings`]).
    pub check: fn(&Settings) -> Vec<Fault>,
    /// Opens one: its settings are checked and its secrets known. Connects, within the component's `initTimeout`, which
    /// the caller holds. Errors: those of the port for an unreachable backend.
    pub open: for<'a> fn(Opening<'a>) -> BoxFuture<'a, Result<Arc<P>>>,
}

impl<P: ?Sized> std::fmt::Debug for Def<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Def").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl<P: ?Sized> Def<P> {
    /// Whether a component's file may call it so; types are compared without regard to case.
    #[must_use]
    pub fn is_called(&self, kind: &str) -> bool {
        std::iter::once(&self.kind).chain(self.aliases).any(|name| name.eq_ignore_ascii_case(kind))
    }
}

/// One setting of a type.
#[derive(Clone, Copy, Debug)]
pub struct SettingDef {
    /// Its name.
    pub name: &'static str,
    /// Meaning, unit, default and bound, in a sentence or two.
    pub about: &'static str,
    /// Whether it must be given.
    pub required: bool,
    /// Whether it is a secret.
    pub secret: bool,
}

/// One list of settings after another, `N` in all: what several types share, and what one adds.
#[cfg(any(
    feature = "kafka",
    feature = "mqtt",
    feature = "postgres",
    feature = "rabbitmq",
    feature = "redis"
))]
pub(crate) const fn joined<const N: usize>(shared: &[SettingDef], own: &[SettingDef]) -> [SettingDef; N] {
    assert!(shared.len() + own.len() == N, "N is the length of both");
    let none = SettingDef { name: "", about: "", required: false, secret: false };
    let (mut all, mut at) = ([none; N], 0);
    while at < N {
        all[at] = if at < shared.len() { shared[at] } else { own[at - shared.len()] };
        at += 1;
    }
    all
}

/// What opening takes.
#[derive(Clone, Copy)]
pub struct Opening<'a> {
    /// The component's name.
    pub name: &'a str,
    /// The version of its settings, one of the type's.
    pub version: &'a str,
    /// The app beside us; empty without one.
    pub app_id: &'a str,
    /// Its settings, checked, its secrets known.
    pub settings: &'a Settings,
    /// Relative paths start here.
    pub folder: &'a Path,
    /// The stores inside the process.
    pub embedded: &'a dyn Embedded,
    /// The wall clock.
    pub clock: &'a Arc<dyn Clock>,
    /// The shared HTTP client.
    pub client: &'a Client,
}

impl std::fmt::Debug for Opening<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opening").field("name", &self.name).finish_non_exhaustive()
    }
}
