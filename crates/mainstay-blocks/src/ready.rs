//! Whether the components that are open answer now.

use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use mainstay_core::{Ctx, Error, Result, codes};
use tokio::time::Instant;

use crate::Blocks;
use crate::hub::Table;

/// How long a component may take to answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A component that was asked.
#[derive(Debug)]
pub struct Asked {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: String,
    /// Why it is not ready; nothing where it is.
    pub failure: Option<Error>,
}

/// Asks every component that is open, all at once, each within two seconds; one that could not be opened is not ready.
/// What policies ask for does not stand around this: it is about the backend alone.
pub async fn ready(blocks: &Blocks) -> Vec<Asked> {
    let table = blocks.table();
    let end = Instant::now() + TIMEOUT;
    let ctx = Ctx::system().with_deadline(end.into_std());
    let asked = probes(&table, &ctx).into_iter().map(async |(name, probe)| {
        let late = || Error::new(&codes::DEADLINE_EXCEEDED, "it does not answer");
        let ended = tokio::time::timeout_at(end, probe).await.unwrap_or_else(|_| Err(late()));
        let kind = table.summaries.iter().find(|one| one.name == name).map(|one| one.kind.clone());
        Asked { name: name.to_owned(), kind: kind.unwrap_or_default(), failure: ended.err() }
    });
    let mut asked = join_all(asked).await;
    asked.extend(table.missing.iter().map(|one| Asked {
        name: one.name.clone(),
        kind: one.kind.clone(),
        failure: Some(Error::new(one.failure.code(), one.failure.message())),
    }));
    asked
}

/// What asks each. To add a block: its line.
fn probes<'t>(table: &'t Table, ctx: &'t Ctx) -> Vec<(&'t str, BoxFuture<'t, Result<()>>)> {
    let mut probes: Vec<(&str, BoxFuture<'_, Result<()>>)> = Vec::new();
    probes.extend(table.stores.iter().map(|(name, one)| (name.as_str(), one.port.ready(ctx))));
    probes.extend(table.brokers.iter().map(|(name, one)| (name.as_str(), one.port.ready(ctx))));
    probes.extend(table.secrets.iter().map(|(name, one)| (name.as_str(), one.port.ready(ctx))));
    probes.extend(table.bindings.iter().map(|(name, one)| (name.as_str(), one.port.ready(ctx))));
    probes.extend(table.configuration.iter().map(|(name, one)| (name.as_str(), one.port.ready(ctx))));
    probes.extend(table.vaults.iter().map(|(name, one)| (name.as_str(), one.port.ready(ctx))));
    probes.extend(table.locks.iter().map(|(name, one)| (name.as_str(), one.port.ready(ctx))));
    probes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use async_trait::async_trait;
    use mainstay_core::clock::ManualClock;
    use mainstay_core::secret_store::{Secret, SecretStore};

    use super::*;
    use crate::{App, Opened};

    struct Vault(&'static str);

    #[async_trait]
    impl SecretStore for Vault {
        async fn ready(&self, ctx: &Ctx) -> Result<()> {
            assert!(ctx.deadline().is_some());
            match self.0 {
                "up" => Ok(()),
                "down" => Err(Error::new(&codes::SECRET_UNAVAILABLE, "nobody is there")),
                _ => std::future::pending().await,
            }
        }

        async fn get(&self, _: &Ctx, _: &str, _: &BTreeMap<String, String>) -> Result<Secret> {
            Ok(Secret::new())
        }

        async fn all(&self, _: &Ctx, _: &BTreeMap<String, String>) -> Result<BTreeMap<String, Secret>> {
            Ok(BTreeMap::new())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_component_answers_for_itself_and_in_time() {
        let vault = |how| (String::from(how), Opened::new(Arc::new(Vault(how)) as _, Arc::default()));
        let secrets = ["down", "slow", "up"].map(vault).into();
        let blocks =
            Blocks::new(App::default(), Arc::new(ManualClock::at(0)), Table { secrets, ..Table::default() });
        let began = Instant::now();
        let asked = ready(&blocks).await;
        let failures: Vec<_> =
            asked.iter().map(|one| (one.name.as_str(), one.failure.as_ref().map(|e| e.code().id))).collect();
        let expect =
            [("down", Some("SECRET_UNAVAILABLE")), ("slow", Some("DEADLINE_EXCEEDED")), ("up", None)];
        assert_eq!(failures, expect);
        assert_eq!(began.elapsed(), TIMEOUT);
    }
}
