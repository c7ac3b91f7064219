//! What every `KeyVault` must do. To add a check: an `async fn` below and its name in `promises!`.
//!
//! A rig has a vault with the keys of `keys`, each under the name that it tells, and panics where a promise is broken.
//! What a member makes of its settings, and which forms of keys it reads, it tests itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::{BoxFuture, join_all};
use libtest_mimic::Trial;
use mainstay_core::crypto::{KeyVault, PlainKey, Wrapping};
use mainstay_core::{Ctx, Redacted, codes};

use super::suite;
pub use super::suite::prove;

/// A key that a rig has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// One that wraps so.
    For(Wrapping),
    /// Another one that wraps so.
    Other(Wrapping),
    /// The public part alone of the one for RSA.
    Public,
    /// One that says of itself that it is for signatures alone.
    Unfit,
}

/// A vault, and what is below it.
#[async_trait]
pub trait Rig: Send + Sync {
    /// The vault under test.
    fn vault(&self) -> Arc<dyn KeyVault>;
    /// What it calls a key; `None` where it cannot have such a one.
    fn name(&self, key: Named) -> Option<String>;
    /// Takes all keys away, as an outage does. `false` where there is nothing that could be out.
    async fn stop(&self) -> bool;
}

/// Opens a vault.
pub type Open = Arc<dyn Fn() -> BoxFuture<'static, Arc<dyn Rig>> + Send + Sync>;

/// One promise of the port.
pub type Check = suite::Check<Open>;

macro_rules! promises {
    ($($name:ident),* $(,)?) => {
        /// Every check.
        pub const CHECKS: &[Check] = &[$(Check { name: stringify!($name), run: |open| Box::pin(async move { $name(open().await).await }) }),*];
    };
}
promises! {
    what_was_wrapped_is_unwrapped,
    a_way_that_is_not_declared_is_unsupported,
    another_key_does_not_unwrap,
    what_was_changed_is_not_unwrapped,
    a_name_without_a_key_is_not_found,
    a_key_of_another_kind_is_unsuitable,
    a_key_for_something_else_is_unsuitable,
    a_public_key_wraps_and_its_private_one_unwraps,
    calls_run_side_by_side,
    a_vault_that_is_reached_is_ready_and_one_that_is_out_is_not,
}

/// The suite as tests named `<member>::<promise>`.
pub fn trials(member: &str, open: &Open) -> Vec<Trial> {
    suite::trials(member, open, CHECKS.iter().copied(), &[])
}

const ALL: [Wrapping; 2] = [Wrapping::AesKw256, Wrapping::RsaOaep256];

fn ctx() -> Ctx {
    Ctx::system().with_deadline(Instant::now() + Duration::from_secs(30))
}

fn plain(length: u8) -> PlainKey {
    Redacted::new((0..length).collect())
}

/// The declared ways, each with the name of its key.
fn ways(rig: &Arc<dyn Rig>) -> Vec<(Wrapping, String)> {
    let declared = rig.vault().wrappings().to_vec();
    let name = |way| rig.name(Named::For(way)).expect("a vault has a key for each way that it declares");
    declared.into_iter().map(|way| (way, name(way))).collect()
}

async fn what_was_wrapped_is_unwrapped(rig: Arc<dyn Rig>) {
    let vault = rig.vault();
    assert!(!vault.wrappings().is_empty(), "a vault that wraps nothing is none");
    for (way, name) in ways(&rig) {
        for length in [16, 24, 32, 64] {
            let wrapped = vault.wrap(&ctx(), &name, way, &plain(length)).await.expect("it works");
            assert!(
                !wrapped.windows(16).any(|part| part == &plain(16).expose()[..]),
                "{way:?}: it is wrapped"
            );
            let back = vault.unwrap(&ctx(), &name, way, &wrapped).await.expect("it works");
            assert!(back == plain(length), "{way:?}, {length} bytes");
        }
    }
}

async fn a_way_that_is_not_declared_is_unsupported(rig: Arc<dyn Rig>) {
    let vault = rig.vault();
    for way in ALL.into_iter().filter(|way| !vault.wrappings().contains(way)) {
        let (_, name) = ways(&rig).remove(0);
        let wrapped = vault.wrap(&ctx(), &name, way, &plain(32)).await;
        assert_eq!(wrapped.expect_err("it is refused").code(), &codes::UNSUPPORTED, "{way:?}");
        let unwrapped = vault.unwrap(&ctx(), &name, way, &[0; 40]).await;
        assert_eq!(unwrapped.expect_err("it is refused").code(), &codes::UNSUPPORTED, "{way:?}");
    }
}

async fn another_key_does_not_unwrap(rig: Arc<dyn Rig>) {
    for (way, name) in ways(&rig) {
        let other = rig.name(Named::Other(way)).expect("a rig has two keys for each way");
        let wrapped = rig.vault().wrap(&ctx(), &name, way, &plain(32)).await.expect("it works");
        let error = rig.vault().unwrap(&ctx(), &other, way, &wrapped).await.expect_err("it is refused");
        assert_eq!(error.code(), &codes::CIPHERTEXT_INVALID, "{way:?}");
    }
}

async fn what_was_changed_is_not_unwrapped(rig: Arc<dyn Rig>) {
    for (way, name) in ways(&rig) {
        let wrapped = rig.vault().wrap(&ctx(), &name, way, &plain(32)).await.expect("it works").to_vec();
        let changed = (0..wrapped.len()).step_by(7).map(|at| {
            let mut changed = wrapped.clone();
            changed[at] ^= 1;
            changed
        });
        let longer = [&wrapped[..], &[0; 8]].concat();
        let cut = [wrapped[..wrapped.len() - 8].to_vec(), wrapped[..1].to_vec(), Vec::new(), longer];
        for wrong in changed.chain(cut).chain([vec![7; 100_000]]) {
            let error = rig.vault().unwrap(&ctx(), &name, way, &wrong).await.expect_err("it is refused");
            assert_eq!(error.code(), &codes::CIPHERTEXT_INVALID, "{way:?}, {} bytes", wrong.len());
        }
    }
}

async fn a_name_without_a_key_is_not_found(rig: Arc<dyn Rig>) {
    for (way, _) in ways(&rig) {
        for name in ["nobody", "", "../nobody", "a\0b", &"n".repeat(10_000)] {
            let wrapped = rig.vault().wrap(&ctx(), name, way, &plain(32)).await;
            assert_eq!(wrapped.expect_err("it is refused").code(), &codes::KEY_NOT_FOUND, "{name:?}");
            let unwrapped = rig.vault().unwrap(&ctx(), name, way, &[0; 40]).await;
            assert_eq!(unwrapped.expect_err("it is refused").code(), &codes::KEY_NOT_FOUND, "{name:?}");
        }
    }
}

async fn a_key_of_another_kind_is_unsuitable(rig: Arc<dyn Rig>) {
    let all = ways(&rig);
    for (way, name) in &all {
        for (other, _) in all.iter().filter(|(other, _)| other != way) {
            let wrapped = rig.vault().wrap(&ctx(), name, *other, &plain(32)).await;
            assert_eq!(
                wrapped.expect_err("it is refused").code(),
                &codes::KEY_UNSUITABLE,
                "{name} for {other:?}"
            );
            let unwrapped = rig.vault().unwrap(&ctx(), name, *other, &[0; 40]).await;
            assert_eq!(
                unwrapped.expect_err("it is refused").code(),
                &codes::KEY_UNSUITABLE,
                "{name} for {other:?}"
            );
        }
    }
}

async fn a_key_for_something_else_is_unsuitable(rig: Arc<dyn Rig>) {
    let Some(name) = rig.name(Named::Unfit) else { return };
    for (way, _) in ways(&rig) {
        let error = rig.vault().wrap(&ctx(), &name, way, &plain(32)).await.expect_err("it is refused");
        assert_eq!(error.code(), &codes::KEY_UNSUITABLE, "{way:?}");
    }
}

async fn a_public_key_wraps_and_its_private_one_unwraps(rig: Arc<dyn Rig>) {
    let way = Wrapping::RsaOaep256;
    let (Some(public), Some(private)) = (rig.name(Named::Public), rig.name(Named::For(way))) else { return };
    let wrapped = rig.vault().wrap(&ctx(), &public, way, &plain(32)).await.expect("it works");
    assert!(rig.vault().unwrap(&ctx(), &private, way, &wrapped).await.expect("it works") == plain(32));
    let error = rig.vault().unwrap(&ctx(), &public, way, &wrapped).await.expect_err("it is refused");
    assert_eq!(error.code(), &codes::KEY_UNSUITABLE);
}

async fn calls_run_side_by_side(rig: Arc<dyn Rig>) {
    let (way, name) = ways(&rig).remove(0);
    let (vault, ctx) = (rig.vault(), ctx());
    let each = (16..48).step_by(8).cycle().take(40).map(|length| {
        let (vault, ctx, name) = (&vault, &ctx, &name);
        async move {
            let wrapped = vault.wrap(ctx, name, way, &plain(length)).await.expect("it works");
            assert!(vault.unwrap(ctx, name, way, &wrapped).await.expect("it works") == plain(length));
        }
    });
    join_all(each).await;
}

async fn a_vault_that_is_reached_is_ready_and_one_that_is_out_is_not(rig: Arc<dyn Rig>) {
    rig.vault().ready(&ctx()).await.expect("it works");
    if rig.stop().await {
        let error = rig.vault().ready(&ctx()).await.expect_err("it is refused");
        assert_eq!(error.code(), &codes::VAULT_UNAVAILABLE);
    }
}
