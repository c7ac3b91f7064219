//! What pipelines share, whoever runs them: where they push, what they start, and what each environment is called.
//!
//! No target by itself. The order is the same everywhere: test, build once, scan, push by commit, then an environment
//! after the other, by digest, each with a smoke test and a way back. Only the job that pushes can write to the
//! registry, and only a job of an environment can reach its cluster.

pub(super) mod access;
pub(super) mod scripts;
pub(super) mod tests;

use mainstay_core::{Error, Result, codes};

use super::kubernetes::{self, Object};
use super::{docker, environments};
use crate::repository::Repository;
use crate::workload::Workload;
use crate::{Pins, Shipment};

/// What a pipeline knows.
pub(super) struct Pipeline<'a> {
    pub(super) shipment: &'a Shipment<'a>,
    /// The service in each environment, in the order in which they are served.
    pub(super) environments: Vec<Workload>,
    /// The objects of each.
    pub(super) objects: Vec<Vec<Object>>,
    /// The image's repository.
    pub(super) image: &'a str,
    /// The host of it.
    pub(super) registry: &'a str,
    /// Where the spec's repository is, if the spec says.
    pub(super) repository: Option<Repository<'a>>,
}

impl<'a> Pipeline<'a> {
    /// That of a service. Errors: `SHIP_INCOMPLETE`, where there is no registry to push to.
    pub(super) fn of(shipment: &'a Shipment<'a>) -> Result<Self> {
        let deploy = &shipment.project.plan.deploy;
        let Some(image) = deploy.image.as_deref() else {
            let message = "a pipeline pushes an image, and the spec names no repository for it";
            return Err(Error::new(&codes::SHIP_INCOMPLETE, message)
                .with_help("write it under `deploy.image`, e.g. `ghcr.io/acme/support-desk`"));
        };
        let environments = environments(shipment.project)?;
        let objects = environments.iter().map(kubernetes::objects).collect::<Result<_>>()?;
        let repository = Repository::of(deploy);
        Ok(Self { shipment, environments, objects, image, registry: registry(image), repository })
    }

    /// The table of pins.
    pub(super) fn pins(&self) -> &'a Pins {
        self.shipment.project.pins
    }

    /// The service's name.
    pub(super) fn name(&self) -> &str {
        &self.shipment.workload.name
    }

    /// The branch that is deployed.
    pub(super) fn branch(&self) -> &'a str {
        &self.shipment.project.plan.deploy.branch
    }

    /// The jobs that deploy, in order: the name, the one before it, and the service in their environment.
    pub(super) fn deployments(&self) -> Vec<(String, Option<String>, &Workload)> {
        let mut before = None;
        let named = self.environments.iter().map(|workload| {
            let name = format!("deploy-{}", workload.environment);
            (name.clone(), before.replace(name), workload)
        });
        named.collect()
    }

    /// Mainstay's own image.
    pub(super) fn mainstay(&self) -> String {
        docker::mainstay_image(self.shipment.project.version)
    }

    /// A file of another target, from the root of the repository.
    pub(super) fn file(&self, of: &str) -> String {
        format!("{}/{of}", folder(self.shipment))
    }

    /// What is worth knowing of either pipeline.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = self.shipment.workload.notes.clone();
        notes.extend(outside(self.shipment));
        if self.repository.is_none() {
            notes.push(
                "The cluster's side of the pipeline (who may deploy) is not written, since the spec does not name its \
                 repository under `deploy.repository`."
                    .to_owned(),
            );
        }
        if let Some(tests) = tests::of(self.shipment)
            && !tests.present
        {
            notes.push(
                "There is no folder `tests` beside the spec: the pipeline's test only sees whether what is locked can be \
                 installed and the sources be read."
                    .to_owned(),
            );
        }
        notes
    }
}

/// The folder of the targets, from the root of the repository.
pub(super) fn folder<'a>(shipment: &Shipment<'a>) -> &'a str {
    if is_outside(shipment.project.out) { "deploy" } else { shipment.project.out }
}

/// A note, where files were written somewhere that a repository with the spec at its root has not.
pub(super) fn outside(shipment: &Shipment<'_>) -> Option<String> {
    is_outside(shipment.project.out).then(|| {
        "These files are written outside of the spec's folder; pipelines and what fetches from the repository look for \
         them under `deploy`."
            .to_owned()
    })
}

fn is_outside(out: &str) -> bool {
    out == "." || out == ".." || out.starts_with("../")
}

/// The host of an image's repository: the first part, where it looks like one, else Docker Hub.
fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
        _ => "docker.io",
    }
}

/// The kind and the name of the object that runs the service, as kubectl takes them.
pub(super) fn workload(workload: &Workload) -> String {
    let kind = if workload.sizing.storage_bytes.is_some() { "statefulset" } else { "deployment" };
    format!("{kind}/{}", workload.name)
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn the_registry_is_the_host_before_the_first_slash() {
        for (image, expect) in [
            ("ghcr.io/acme/desk", "ghcr.io"),
            ("registry.example.com:5000/desk", "registry.example.com:5000"),
            ("localhost/desk", "localhost"),
            ("acme/desk", "docker.io"),
            ("desk", "docker.io"),
        ] {
            assert_eq!(registry(image), expect, "{image}");
        }
    }
}
