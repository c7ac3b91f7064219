//! The suite over a vault with a planted fault: a check that lets one pass is no check.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use libtest_mimic::Trial;
use mainstay_components::crypto::Def;
use mainstay_core::crypto::{KeyVault, PlainKey, Wrapping};
use mainstay_core::{Ctx, Error, Redacted, Result, codes};
use mainstay_testkit::conformance::crypto::{self as suite, Named, Open, Rig};

use crate::local;

/// A way to break the port.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    WrapsNothing,
    CutsLongKeys,
    HasOneKey,
    ReadsTheFirstBytesAlone,
    TakesAnyName,
    MixesUpErrors,
    IgnoresUse,
    UnwrapsWithPublicKeys,
    DeclaresOneWay,
    IsAlwaysReady,
}

/// Each fault with one check that must catch it.
const FAULTS: &[(Fault, &str)] = &[
    (Fault::WrapsNothing, "what_was_wrapped_is_unwrapped"),
    (Fault::CutsLongKeys, "what_was_wrapped_is_unwrapped"),
    (Fault::CutsLongKeys, "calls_run_side_by_side"),
    (Fault::DeclaresOneWay, "a_way_that_is_not_declared_is_unsupported"),
    (Fault::HasOneKey, "another_key_does_not_unwrap"),
    (Fault::ReadsTheFirstBytesAlone, "what_was_changed_is_not_unwrapped"),
    (Fault::TakesAnyName, "a_name_without_a_key_is_not_found"),
    (Fault::MixesUpErrors, "a_key_of_another_kind_is_unsuitable"),
    (Fault::IgnoresUse, "a_key_for_something_else_is_unsuitable"),
    (Fault::UnwrapsWithPublicKeys, "a_public_key_wraps_and_its_private_one_unwraps"),
    (Fault::IsAlwaysReady, "a_vault_that_is_reached_is_ready_and_one_that_is_out_is_not"),
];

pub(crate) fn trials(def: &'static Def) -> Vec<Trial> {
    let trial = |&(fault, name): &(Fault, &'static str)| {
        let check = *suite::CHECKS.iter().find(|check| check.name == name).expect("the check is there");
        let (_, below) = local::ways(def).remove(0);
        Trial::test(format!("planted::{fault:?}::{name}"), move || {
            let open: Open = Arc::new(move || {
                let below = Arc::clone(&below);
                Box::pin(async move { Arc::new(Broken { fault, below: below().await }) as Arc<dyn Rig> })
            });
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| suite::prove(check, open)));
            if caught.is_err() { Ok(()) } else { Err("the fault passes".into()) }
        })
    };
    FAULTS.iter().map(trial).collect()
}

struct Broken {
    fault: Fault,
    below: Arc<dyn Rig>,
}

#[async_trait]
impl Rig for Broken {
    fn vault(&self) -> Arc<dyn KeyVault> {
        let name = |key| self.below.name(key).unwrap_or_default();
        Arc::new(BrokenVault {
            fault: self.fault,
            below: self.below.vault(),
            aes: name(Named::For(Wrapping::AesKw256)),
            aes_other: name(Named::Other(Wrapping::AesKw256)),
            unfit: name(Named::Unfit),
            rsa: name(Named::For(Wrapping::RsaOaep256)),
            public: name(Named::Public),
        })
    }

    fn name(&self, key: Named) -> Option<String> {
        self.below.name(key)
    }

    async fn stop(&self) -> bool {
        self.below.stop().await
    }
}

struct BrokenVault {
    fault: Fault,
    below: Arc<dyn KeyVault>,
    aes: String,
    aes_other: String,
    unfit: String,
    rsa: String,
    public: String,
}

impl BrokenVault {
    /// The key that is taken for the one of this name.
    fn taken<'a>(&'a self, name: &'a str) -> &'a str {
        match self.fault {
            Fault::HasOneKey if name == self.aes_other => &self.aes,
            Fault::IgnoresUse if name == self.unfit => &self.aes,
            Fault::UnwrapsWithPublicKeys if name == self.public => &self.rsa,
            Fault::TakesAnyName if name == "nobody" => &self.aes,
            _ => name,
        }
    }

    fn said(&self, error: Error) -> Error {
        if self.fault == Fault::MixesUpErrors { Error::new(&codes::INTERNAL, "x") } else { error }
    }
}

#[async_trait]
impl KeyVault for BrokenVault {
    fn wrappings(&self) -> &'static [Wrapping] {
        if self.fault == Fault::DeclaresOneWay { &[Wrapping::AesKw256] } else { self.below.wrappings() }
    }

    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        if self.fault == Fault::IsAlwaysReady { Ok(()) } else { self.below.ready(ctx).await }
    }

    async fn wrap(&self, ctx: &Ctx, name: &str, way: Wrapping, plain: &PlainKey) -> Result<Bytes> {
        if self.fault == Fault::WrapsNothing {
            return Ok(plain.expose().clone().into());
        }
        let made = self.below.wrap(ctx, self.taken(name), way, plain).await;
        made.map_err(|error| self.said(error))
    }

    async fn unwrap(&self, ctx: &Ctx, name: &str, way: Wrapping, wrapped: &[u8]) -> Result<PlainKey> {
        if self.fault == Fault::WrapsNothing {
            return Ok(Redacted::new(wrapped.to_vec()));
        }
        let read = match self.fault {
            // Longer than what AES makes of a key of 32 bytes.
            Fault::ReadsTheFirstBytesAlone if way == Wrapping::AesKw256 => &wrapped[..wrapped.len().min(40)],
            _ => wrapped,
        };
        let plain =
            self.below.unwrap(ctx, self.taken(name), way, read).await.map_err(|error| self.said(error))?;
        let is_long = plain.expose().len() > 32;
        match self.fault {
            Fault::CutsLongKeys if is_long => Ok(Redacted::new(plain.expose()[..32].to_vec())),
            _ => Ok(plain),
        }
    }
}
