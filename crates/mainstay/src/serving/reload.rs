//! Reading the spec again while serving: a whole new plan, or the old one with the faults shown.

use std::time::Duration;

use mainstay_core::Plan;

use super::Options;
use super::blocks::Blocks;
use super::fixed::Fixed;
use crate::stamp::Stamp;
use crate::wire::House;
use crate::wire::sidecar::Plugged;
use crate::{environment, spec, stand_in, surroundings};

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// The files of the spec, and how they were when they were read.
pub(super) struct Watch {
    files: Vec<Stamp>,
}

impl Watch {
    pub(super) fn new(files: Vec<Stamp>) -> Self {
        Self { files }
    }

    /// Returns when a file has changed.
    pub(super) async fn changed(&mut self) {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            if !self.files.iter().all(Stamp::holds) {
                return;
            }
        }
    }

    /// Looks anew at the same files: for a spec that has faults, so that they are shown once.
    fn look_again(&mut self) {
        self.files.iter_mut().for_each(Stamp::renew);
    }
}

/// Reads the spec and swaps it in; keeps `plan` when that fails. What is `fixed` stays as it was.
pub(super) async fn apply(
    (options, plugged): (&Options, &[Plugged]),
    (house, blocks): (&mut House, &mut Blocks),
    plan: Plan,
    fixed: &Fixed,
    watch: &mut Watch,
) -> Plan {
    match read(options, plugged).await {
        Ok((mut new, files)) => {
            *watch = Watch::new(files);
            fixed.warn(&new);
            // The components first: they are what can fail, and what apps are told of.
            let reloaded = match blocks.reload(&plan, &new).await {
                Ok(()) => {
                    blocks.tell(&mut new);
                    match house.reload(&new).await {
                        Ok(retired) => {
                            blocks.settle(retired);
                            Ok(())
                        }
                        Err(error) => {
                            blocks.go_back(&plan, &new).await;
                            Err(error)
                        }
                    }
                }
                Err(error) => Err(error),
            };
            match reloaded {
                Ok(()) => {
                    let (agents, apps, models) = (new.agents.len(), new.apps.len(), new.models.len());
                    tracing::info!(agents, apps, models, "reloaded the spec");
                    return new;
                }
                Err(error) => {
                    let error = surroundings::all_missing(error, &new);
                    tracing::error!("keeping the running spec: {error:#}");
                }
            }
        }
        Err(error) => {
            watch.look_again();
            tracing::error!("keeping the running spec: {error:#}");
        }
    }
    plan
}

async fn read(options: &Options, plugged: &[Plugged]) -> anyhow::Result<(Plan, Vec<Stamp>)> {
    let loaded = spec::load(&options.given, &options.flags, plugged).map_err(spec::Fault::tell)?;
    spec::warn(&loaded.warnings);
    let plan = if options.dev {
        stand_in::prepare(loaded.plan, &environment::models_folder()).await?
    } else {
        loaded.plan
    };
    Ok((plan, loaded.files))
}
