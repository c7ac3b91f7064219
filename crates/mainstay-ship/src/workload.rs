//! What every place must know of a service: the plan, reduced. Targets read this and not the plan, so that they cannot
//! disagree about a port, a variable or a bound.

mod outward;
mod source;
mod variables;

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_core::plan::{Anonymous, Environment, FilePatch, Model, Sizing};
use mainstay_core::{Error, Name, Plan, Result, SecretRef, codes};

pub use source::{Build, Source};
pub use variables::Secret;

use crate::label::{self, slug};
use crate::services::{self, Service};
use crate::{Header, Pins};

/// What is shipped: a plan, and what stands around it.
#[derive(Clone, Copy, Debug)]
pub struct Project<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// Every reference to a secret in it.
    pub secrets: &'a [SecretRef],
    /// Names of the files and folders beside the spec, without their paths.
    pub files: &'a [String],
    /// Providers that run a model inside the process, and the model's name in the library of this machine.
    pub library_models: &'a [(String, String)],
    /// A hash of what the spec says, in hexadecimal.
    pub hash: &'a str,
    /// Mainstay's version.
    pub version: &'a str,
    /// The way from a target's folder to the spec's, e.g. `../..`.
    pub context: &'a str,
    /// The way from the spec's folder to that of the targets, e.g. `deploy`.
    pub out: &'a str,
    /// The digest of the service's image (`sha256:…`), where it is known.
    pub digest: Option<&'a str>,
    /// What pipelines run that others wrote.
    pub pins: &'a Pins,
}

impl<'a> Project<'a> {
    pub(crate) fn header(&self) -> Header<'a> {
        Header { version: self.version, spec_hash: self.hash }
    }
}

/// The port that the service listens on in its container.
pub(crate) const PORT: u16 = 8080;
/// The user and group that it runs as: a number, since what enforces it cannot look up a name.
pub(crate) const USER: u32 = 10001;
/// The folder of the spec in its container.
pub(crate) const FOLDER: &str = "/app";
/// The data folder in its container.
pub(crate) const DATA: &str = "/data";
/// How long a replica goes on after it was told to stop and before it does, so that nothing is sent to it any more.
pub(crate) const PRE_STOP: Duration = Duration::from_secs(5);
/// What is left of the time to stop once everything was drained.
const STOP_MARGIN: Duration = Duration::from_secs(10);

/// A service in an environment.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Its name outside: lower case, at most 40 characters, so that what is derived from it fits.
    pub name: String,
    /// The environment.
    pub environment: Environment,
    /// The image's repository.
    pub repository: String,
    /// The image's tag.
    pub tag: String,
    /// The image's digest, where it is known.
    pub digest: Option<String>,
    /// How the image is built.
    pub build: Build,
    /// Variables that are no secrets, by name.
    pub variables: BTreeMap<String, String>,
    /// Secrets, by the name of their variable or the path of their file.
    pub secrets: Vec<Secret>,
    /// What each replica gets, and how many there are.
    pub sizing: Sizing,
    /// How long the drain may take.
    pub drain: Duration,
    /// How long the slowest app may take to start.
    pub start: Duration,
    /// Longest wait of a caller for a whole answer.
    pub request_timeout: Duration,
    /// The secret whose value `/metrics` wants as a key, if it wants one.
    pub metrics_key: Option<String>,
    /// Ports that it calls others on.
    pub outward: Vec<u16>,
    /// Servers that it needs.
    pub services: Vec<&'static Service>,
    /// Requests in flight at once that a replica takes.
    pub requests_max: u32,
    /// Requests of a million that may fail.
    pub failures_ppm: u32,
    /// Models that fall over from the provider that is asked first to another, and that provider.
    pub fallovers: Vec<(String, String)>,
    /// What is worth knowing before it is deployed.
    pub notes: Vec<String>,
    /// Changes of generated files.
    pub patches: Vec<FilePatch>,
}

/// Characters of a service's name outside.
pub(crate) const NAME_MAX: usize = 40;

impl Workload {
    /// The service of a project in an environment. Errors: as [`crate::ship`].
    pub fn of(project: &Project<'_>, environment: Environment) -> Result<Self> {
        let plan = project.plan;
        guarded(plan)?;
        let sizing =
            plan.deploy.environments.get(&environment).cloned().unwrap_or_else(|| environment.sizing());
        let (variables, secrets) = variables::of(project, &sizing);
        let build = source::of(project)?;
        let services = services::of(plan);
        let mut workload = Self {
            name: slug(plan.name.as_str(), NAME_MAX),
            environment,
            repository: plan.deploy.image.clone().unwrap_or_else(|| slug(plan.name.as_str(), NAME_MAX)),
            tag: plan.deploy.version.clone(),
            digest: project.digest.map(str::to_owned),
            build,
            variables,
            secrets,
            drain: plan.server.drain,
            start: start(plan),
            request_timeout: plan.server.request_timeout,
            metrics_key: plan.access.keys.first().map(|key| variables::key_of(&key.secret.locator)),
            outward: outward::ports(plan, &services),
            services,
            requests_max: plan.server.requests_max,
            failures_ppm: plan.deploy.failures_ppm,
            fallovers: fallovers(plan),
            notes: Vec::new(),
            patches: plan.deploy.patches.clone(),
            sizing,
        };
        workload.notes = notes(project, &workload);
        Ok(workload)
    }

    /// The image as a container runtime takes it: by digest where it is known, else by tag.
    #[must_use]
    pub fn image(&self) -> String {
        match &self.digest {
            Some(digest) => format!("{}@{digest}", self.repository),
            None => format!("{}:{}", self.repository, self.tag),
        }
    }

    /// The time between the order to stop and the end.
    #[must_use]
    pub fn grace(&self) -> Duration {
        PRE_STOP + self.drain + STOP_MARGIN
    }

    /// A hash of the variables: what a replica must be replaced for.
    #[must_use]
    pub fn variables_hash(&self) -> String {
        let text: String = self.variables.iter().map(|(name, value)| format!("{name}={value}\0")).collect();
        label::sha256_hex(text.as_bytes())[..10].to_owned()
    }

    /// The name of the secret that holds the values.
    #[must_use]
    pub fn secret_name(&self) -> String {
        format!("{}-secrets", self.name)
    }

    /// Whether there may be more than one replica.
    #[must_use]
    pub fn several(&self) -> bool {
        self.sizing.replicas_max > 1
    }

    /// The server that watches this one, if the spec wants one beside it.
    #[must_use]
    pub fn watcher(&self) -> Option<&'static Service> {
        self.services.iter().copied().find(|service| service.watches)
    }

    /// The servers that it calls.
    pub fn called(&self) -> impl Iterator<Item = &'static Service> {
        self.services.iter().copied().filter(|service| !service.watches)
    }

    /// Whether something adds and removes replicas.
    #[must_use]
    pub fn scaled(&self) -> bool {
        use mainstay_core::plan::Scaler;
        self.sizing.scaler != Scaler::Fixed && self.sizing.replicas_min < self.sizing.replicas_max
    }
}

/// In a container the service listens on every interface, so someone must be kept out, or the spec says that nobody is.
fn guarded(plan: &Plan) -> Result<()> {
    if !plan.access.keys.is_empty() || plan.access.anonymous == Anonymous::Anyone {
        return Ok(());
    }
    let message = "in a container the service is reached from other machines, and no key is needed to call";
    Err(Error::new(&codes::CONFIG_UNSAFE_LISTEN, message).with_help(
        "add a key under `access.keys`, or write `access: { anonymous: anyone }` if you mean it, e.g. behind a gateway",
    ))
}

/// Apps start before the service is ready; a service without apps opens its data folder.
fn start(plan: &Plan) -> Duration {
    const FLOOR: Duration = Duration::from_secs(60);
    plan.processes()
        .map(|(_, process)| process.start_timeout)
        .max()
        .map_or(FLOOR, |slowest| slowest.max(FLOOR))
}

fn fallovers(plan: &Plan) -> Vec<(String, String)> {
    let fallover = |(name, model): (&Name, &Model)| {
        let first = &model.targets.first()?.provider;
        let elsewhere = model.targets.iter().any(|target| target.provider != *first);
        elsewhere.then(|| (name.to_string(), first.to_string()))
    };
    plan.models.iter().filter_map(fallover).collect()
}

/// Said where nothing keeps the data folder.
pub(crate) const UNKEPT: &str = "The data folder goes with its replica: what was recorded of runs is gone after a restart. \
                                 Give `deploy.base.storage` a size to keep it.";

fn notes(project: &Project<'_>, workload: &Workload) -> Vec<String> {
    let mut notes = Vec::new();
    if workload.several() && !project.plan.agents.is_empty() {
        notes.push(
            "Runs and sessions are recorded by the replica that served them; callers are kept on theirs by address, and \
             a run that is looked up elsewhere is not found."
                .to_owned(),
        );
    }
    if workload.sizing.storage_bytes.is_none() {
        notes.push(UNKEPT.to_owned());
    }
    for (provider, model) in project.library_models {
        notes.push(format!(
            "Provider `{provider}` runs `{model}` inside the process. The model is not in the image: mount it, and name \
             its folder in MAINSTAY_MODELS_FOLDER."
        ));
    }
    notes
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A service as production has it where the spec says little.
    pub(crate) fn workload() -> Workload {
        Workload {
            name: "desk".to_owned(),
            environment: Environment::Prod,
            repository: "desk".to_owned(),
            tag: "1.0.0".to_owned(),
            digest: None,
            build: Build::Bare,
            variables: BTreeMap::new(),
            secrets: Vec::new(),
            sizing: Environment::Prod.sizing(),
            drain: Duration::from_secs(30),
            start: Duration::from_secs(60),
            request_timeout: Duration::from_secs(60),
            metrics_key: None,
            outward: Vec::new(),
            services: Vec::new(),
            requests_max: 2_048,
            failures_ppm: 1_000,
            fallovers: Vec::new(),
            notes: Vec::new(),
            patches: Vec::new(),
        }
    }
}
