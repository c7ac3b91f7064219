//! Terraform (and OpenTofu): a complete root module for each platform, and values for each environment.
//!
//! A platform makes a [`Module`] of the service in its three environments, or says why it cannot run it. Environments
//! differ in the values of variables alone. To add a platform: a file in `terraform/` with a `PLATFORM`, and a line in
//! `PLATFORMS`; its name becomes one of those that `deploy.terraform.platforms` takes.

mod app_runner;
mod aws;
mod cloud_run;
mod container_apps;
mod digitalocean;
mod express;
mod fargate;
mod fit;
mod module;
mod size;

use mainstay_core::{Error, Result, codes};

use super::{Rendered, Target};
use crate::workload::Workload;
use crate::{File, Shipment};
use fit::Unfit;
use module::Module;

pub(super) const TARGET: Target = Target {
    name: "terraform",
    about: "Terraform: a module for each platform, with values for each environment",
    needs: &["docker"],
    render,
};

/// A place that Terraform sets up.
struct Platform {
    /// Its name: that of its folder.
    name: &'static str,
    /// What people call it.
    title: &'static str,
    /// Since when it takes no new customers, if it does not: such a one is written only where the spec names it.
    closed: Option<&'static str>,
    /// What speaks to it: local name, source and version.
    provider: (&'static str, &'static str, &'static str),
    /// What is to be done before the first time, and once it is there: lines of Markdown.
    steps: (&'static str, &'static str),
    /// The module of a service.
    make: fn(&Ground<'_>) -> Result<Module, Unfit>,
}

/// ★ Every platform, by name.
static PLATFORMS: &[Platform] = &[
    app_runner::PLATFORM,
    express::PLATFORM,
    fargate::PLATFORM,
    container_apps::PLATFORM,
    digitalocean::PLATFORM,
    cloud_run::PLATFORM,
];

/// Names of the platforms.
#[must_use]
pub fn platforms() -> Vec<&'static str> {
    PLATFORMS.iter().map(|platform| platform.name).collect()
}

/// What a module is made from.
struct Ground<'a> {
    shipment: &'a Shipment<'a>,
    /// The service in each environment, in the order of [`mainstay_core::plan::Environment::ALL`].
    workloads: Vec<Workload>,
}

impl Ground<'_> {
    /// The service, where environments do not differ.
    fn workload(&self) -> &Workload {
        self.shipment.workload
    }
}

fn render(shipment: &Shipment<'_>) -> Result<Rendered> {
    let header = shipment.project.header();
    let ground = Ground { shipment, workloads: super::environments(shipment.project)? };
    let asked = &shipment.project.plan.deploy.platforms;
    let mut files = Vec::new();
    let mut said = Vec::new();
    let mut written = Vec::new();
    let mut left_out = Vec::new();
    for platform in PLATFORMS {
        let named = asked.iter().any(|name| name == platform.name);
        if !named && (!asked.is_empty() || platform.closed.is_some()) {
            continue;
        }
        match (platform.make)(&ground) {
            Ok(module) => {
                files.extend(module.files(platform, &header));
                said.push((platform.title, module.notes));
                written.push(platform);
            }
            Err(Unfit { why, help }) if !named => {
                left_out.push(format!("`terraform/{}` is not written: {why}; {help}.", platform.name));
            }
            Err(Unfit { why, help }) => {
                let message = format!("{} cannot run the service: {why}", platform.title);
                return Err(Error::new(&codes::SHIP_UNSUPPORTED, message).with_help(help));
            }
        }
    }
    if written.is_empty() {
        let message = "no platform of Terraform's can run the service";
        return Err(Error::new(&codes::SHIP_UNSUPPORTED, message).with_help(left_out.join(" ")));
    }
    files.push(File::new("README.md", header.lines("<!--") + "\n" + &module::index(&written)));
    // Five platforms have much to say, and one of them is meant: it is said here once the spec names it.
    let said = if asked.is_empty() { vec![CHOOSE.to_owned()] } else { grouped(&said) };
    let notes = shipment.workload.notes.iter().cloned().chain(said).chain(left_out).collect();
    Ok(Rendered { files, notes })
}

/// What is said where every platform was written.
const CHOOSE: &str = "What each platform of Terraform's does otherwise than the spec asks is in the README of its folder. Name \
                      yours in `deploy.terraform.platforms` to be told here, and to have an error where it cannot run the service.";

/// What is said of platforms, once for those of which the same is said.
fn grouped(said: &[(&str, Vec<String>)]) -> Vec<String> {
    let mut found: Vec<(&str, Vec<&str>)> = Vec::new();
    for (title, notes) in said {
        for note in notes {
            match found.iter_mut().find(|(known, _)| known == note) {
                Some((_, titles)) => titles.push(title),
                None => found.push((note, vec![title])),
            }
        }
    }
    found.into_iter().map(|(note, titles)| format!("{}: {note}", titles.join(", "))).collect()
}

#[cfg(test)]
mod tests;
