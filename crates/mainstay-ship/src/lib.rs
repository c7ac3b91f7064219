//! From the plan to deployment files: what a service needs to run somewhere, written for each kind of place.
//!
//! The way: [`Workload::of`] reduces a plan to what every place must know (image, variables, secrets, bounds,
//! replicas), a [`Target`] renders that as files. Pure: it reads nothing, writes nothing and knows no time, so the same
//! project gives the same bytes; the binary writes them.

pub mod checks;
mod difference;
mod file;
#[cfg(test)]
mod fixture;
mod hcl;
pub mod image;
mod label;
mod patched;
mod pins;
mod promql;
mod repository;
pub mod services;
pub mod simulate;
mod stores;
pub mod targets;
mod text;
mod value;
mod workload;
mod yaml;

pub use file::{File, Header};
pub use label::sha256_hex;
pub use pins::Pins;
pub use targets::{Rendered, Target};
pub use workload::{Build, Project, Secret, Source, Workload};

use mainstay_core::Result;
use mainstay_core::plan::Environment;

/// The files of each target for one environment, in the order of their paths, and what the target cannot express.
///
/// Errors: `SHIP_PATCH`, where a change that the spec asks for is for a file that there is not. Of a target alone:
/// `SHIP_UNSUPPORTED`, where it cannot run such a service; `SHIP_INCOMPLETE`, where the spec does not say what it must
/// know; `SHIP_PATCH`, where a change cannot be made; `CONFIG_UNSAFE_LISTEN`, where the service would be open to anyone
/// who reaches its port and the spec does not say so.
pub fn ship<'t>(
    project: &Project<'_>,
    targets: impl IntoIterator<Item = &'t Target>,
    environment: Environment,
) -> Result<Vec<(&'t Target, Result<Rendered>)>> {
    // Once for all of them: it makes the objects of every environment.
    patched::known(project)?;
    let each = targets.into_iter().map(|target| (target, render(project, target, environment)));
    Ok(each.collect())
}

fn render(project: &Project<'_>, target: &Target, environment: Environment) -> Result<Rendered> {
    let workload = Workload::of(project, environment)?;
    let mut rendered = (target.render)(&Shipment { project, workload: &workload })?;
    patched::files(project, target, &mut rendered.files)?;
    rendered.files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(rendered)
}

/// What a target renders.
#[derive(Clone, Copy, Debug)]
pub struct Shipment<'a> {
    /// The project.
    pub project: &'a Project<'a>,
    /// The service, in the environment that was asked for.
    pub workload: &'a Workload,
}
