//! What a platform can run, and what is said where it is not just what the spec asks for.

use std::time::Duration;

use mainstay_core::plan::Scaler;

use super::Ground;
use crate::workload::{FOLDER, Workload};
use crate::{Secret, stores, text};

/// Why a platform cannot run a service, and what to do: fragments of a sentence.
#[derive(Debug)]
pub(super) struct Unfit {
    pub(super) why: String,
    pub(super) help: String,
}

impl Unfit {
    pub(super) fn new(why: impl Into<String>, help: impl Into<String>) -> Self {
        Self { why: why.into(), help: help.into() }
    }
}

/// Refuses a service that keeps something in its data folder, for platforms whose replicas come and go with all they
/// have.
pub(super) fn keeps_nothing(ground: &Ground<'_>) -> Result<(), Unfit> {
    if let Some(workload) = ground.workloads.iter().find(|one| one.sizing.storage_bytes.is_some()) {
        let size = workload.sizing.storage_bytes.map(text::bytes).unwrap_or_default();
        return Err(Unfit::new(
            format!(
                "the spec asks for a volume of {size} in {}, and replicas there keep nothing",
                workload.environment
            ),
            "use `digitalocean-kubernetes` or another cluster, or take `storage` away if runs and sessions may go with \
             their replica",
        ));
    }
    let components = &ground.shipment.project.plan.resources.components;
    let kept: Vec<String> = components
        .iter()
        .filter(|one| stores::in_files(&one.kind))
        .map(|one| format!("`{}` ({})", one.name, one.kind))
        .collect();
    if kept.is_empty() {
        return Ok(());
    }
    Err(Unfit::new(
        format!("what {} holds is in the data folder, which goes with each replica there", kept.join(", ")),
        "give the component a type with a server of its own, e.g. `state.postgresql` or `state.redis`",
    ))
}

/// Refuses secrets in files.
pub(super) fn no_secret_files(ground: &Ground<'_>) -> Result<(), Unfit> {
    match files(ground).into_iter().next() {
        None => Ok(()),
        Some((path, _)) => Err(Unfit::new(
            format!("a secret is read from the file `{path}`, and secrets come in variables there"),
            "refer to it as `env:NAME` instead of `file:PATH`",
        )),
    }
}

/// Refuses variables that the platform sets itself.
pub(super) fn no_variables(ground: &Ground<'_>, taken: &[&str]) -> Result<(), Unfit> {
    let names = |workload: &Workload| -> Vec<String> {
        let secret = workload.secrets.iter().filter_map(|secret| match secret {
            Secret::Variable { variable, .. } => Some(variable.clone()),
            Secret::File { .. } => None,
        });
        workload.variables.keys().cloned().chain(secret).collect()
    };
    let found = ground.workloads.iter().flat_map(names).find(|name| taken.contains(&name.as_str()));
    match found {
        None => Ok(()),
        Some(name) => Err(Unfit::new(
            format!("the platform sets the variable `{name}` itself"),
            "give yours another name",
        )),
    }
}

/// Secrets that are read from files, in any environment: path and key.
pub(super) fn files(ground: &Ground<'_>) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = ground
        .workloads
        .iter()
        .flat_map(|workload| &workload.secrets)
        .filter_map(|secret| match secret {
            Secret::File { path, key } => Some((path.clone(), key.clone())),
            Secret::Variable { .. } => None,
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

/// The folder and the name of each secret that is read from a file, for platforms that give each a folder of its own.
/// Errors: two share a folder, or it is one that holds more.
pub(super) fn folders(ground: &Ground<'_>) -> Result<(), Unfit> {
    let mut seen: Vec<String> = Vec::new();
    for (path, _) in files(ground) {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        let taken = ["", FOLDER, crate::workload::DATA, "/tmp", "/etc", "/usr", "/proc", "/dev"]
            .contains(&folder.as_str());
        if taken || seen.contains(&folder) {
            return Err(Unfit::new(
                format!("the secret in `{path}` needs a folder of its own there"),
                "give each file of a secret a folder in which nothing else is, or refer to it as `env:NAME`",
            ));
        }
        seen.push(folder);
    }
    Ok(())
}

/// The fewest and the most replicas: one number where nothing scales.
pub(super) fn replicas(workload: &Workload) -> (u32, u32) {
    let least = workload.sizing.replicas_min;
    if workload.scaled() { (least, workload.sizing.replicas_max) } else { (least.max(1), least.max(1)) }
}

/// What is said where an environment gets more than it asks for, once for those that are alike.
pub(super) fn rounded(
    ground: &Ground<'_>,
    given: impl Fn(&Workload) -> Option<(u32, u64)>,
) -> Option<String> {
    let mut said: Vec<(String, Vec<&str>)> = Vec::new();
    for workload in &ground.workloads {
        let sizing = &workload.sizing;
        let (cpu, memory) = given(workload)?;
        if (cpu, memory) == (sizing.cpu_milli, sizing.memory_bytes) {
            continue;
        }
        let text = format!(
            "{} CPU and {} for {} and {}",
            number(cpu),
            text::bytes(memory),
            number(sizing.cpu_milli),
            text::bytes(sizing.memory_bytes)
        );
        match said.iter_mut().find(|(known, _)| *known == text) {
            Some((_, environments)) => environments.push(workload.environment.name()),
            None => said.push((text, vec![workload.environment.name()])),
        }
    }
    let parts: Vec<String> = said
        .into_iter()
        .map(|(text, environments)| format!("{text} ({})", environments.join(", ")))
        .collect();
    (!parts.is_empty()).then(|| format!("a replica gets the next size that there is: {}.", parts.join("; ")))
}

/// Cores as a number: `0.25`, `1`.
pub(super) fn number(milli: u32) -> String {
    let text = text::cores(milli);
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

/// What every platform that runs containers without a cluster of one's own leaves to the user.
pub(super) fn notes(ground: &Ground<'_>, sticky: bool) -> Vec<String> {
    let workload = ground.workload();
    let mut notes = Vec::new();
    let servers: Vec<&str> = workload.services.iter().map(|service| service.name).collect();
    if !servers.is_empty() {
        notes.push(format!(
            "{} {} not made here: point the service at servers that you have, through `deploy.overlays`.",
            servers.join(", "),
            if servers.len() == 1 { "is" } else { "are" }
        ));
    }
    if ground.workloads.iter().any(Workload::several) {
        notes.push(if sticky {
            "callers are kept on a replica by a cookie, not by their address as in a cluster; one that keeps no cookies \
             may find its session elsewhere."
                .to_owned()
        } else {
            "callers are not kept on a replica.".to_owned()
        });
    }
    if ground.workloads.iter().any(|one| one.sizing.scaler == Scaler::Events) {
        notes.push("replicas are added by the platform's own scaler, not by KEDA's objects.".to_owned());
    }
    if ground.workloads.iter().any(|one| !one.sizing.cpu_limit) {
        notes.push(
            "processor time is also the most that a replica gets, whatever `cpu_limit` says.".to_owned(),
        );
    }
    if !workload.repository.contains('/') {
        notes.push(format!(
            "the image `{}` is in no registry: say where it is, in `deploy.image`.",
            workload.repository
        ));
    }
    notes
}

/// What is said where a replica has less time to stop than the spec wants.
pub(super) fn shorter_stop(workload: &Workload, most: Duration) -> Option<String> {
    let grace = workload.grace();
    (grace > most).then(|| {
        format!(
            "a replica has {} s to stop, where the spec wants {}: what drains longer is cut.",
            most.as_secs(),
            grace.as_secs()
        )
    })
}
