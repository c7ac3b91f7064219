//! How the service is shipped: its image, and what each environment gives it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::EnvValue;

/// What deployment files are written from, beside the rest of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deploy {
    /// The image's repository, without a tag; the service's own name when absent.
    pub image: Option<String>,
    /// The version that is shipped: the image's tag.
    pub version: String,
    /// Where the spec's repository is, as an `https` or `ssh` address, if it is known.
    pub repository: Option<String>,
    /// The branch of it that is deployed.
    pub branch: String,
    /// What the app agents are written in, if any needs building; found by the files beside the spec when absent.
    pub language: Option<Language>,
    /// Servers to bring up beside the service where a target can, by registered name.
    pub services: Vec<String>,
    /// Platforms that Terraform modules are written for, by registered name; every one that takes new customers, if
    /// there is none.
    pub platforms: Vec<String>,
    /// Requests of a million that may fail, over 30 days: what alerts are raised by.
    pub failures_ppm: u32,
    /// What each environment gives the service.
    pub environments: BTreeMap<Environment, Sizing>,
    /// Changes of generated files, in the order in which they are made.
    pub patches: Vec<FilePatch>,
}

/// A change of a generated file, made before anything judges it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePatch {
    /// The file: the target's name, `/`, and the path below the target's folder.
    pub file: String,
    /// Operations of a JSON Patch (RFC 6902).
    pub operations: Vec<Value>,
}

/// Where a service runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Environment {
    /// For its developers.
    Dev,
    /// As in production, for those who try it.
    Staging,
    /// For its users.
    Prod,
}

impl Environment {
    /// Every environment, the smallest first.
    pub const ALL: [Self; 3] = [Self::Dev, Self::Staging, Self::Prod];

    /// Its short name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Staging => "staging",
            Self::Prod => "prod",
        }
    }

    /// What it gives a service where the spec says nothing: one replica for developers, two at most for those who try
    /// it.
    #[must_use]
    pub fn sizing(self) -> Sizing {
        let (replicas_min, replicas_max) = match self {
            Self::Dev => (1, 1),
            Self::Staging => (1, 2),
            Self::Prod => (2, 10),
        };
        Sizing { replicas_min, replicas_max, ..Sizing::default() }
    }

    /// The environment of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|environment| environment.name() == name)
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What an app is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Python, with uv or pip.
    Python,
    /// JavaScript or TypeScript on Node.js.
    Node,
    /// Rust, a program of its own.
    Rust,
}

/// What an environment gives each replica, and how many there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizing {
    /// Processor time of a replica, in thousandths of a core.
    pub cpu_milli: u32,
    /// Whether that is also the most it gets.
    pub cpu_limit: bool,
    /// Memory of a replica, in bytes: asked for, and the most it gets.
    pub memory_bytes: u64,
    /// The size of the volume for the data folder, in bytes; without it the folder goes with its replica.
    pub storage_bytes: Option<u64>,
    /// Fewest replicas.
    pub replicas_min: u32,
    /// Most replicas.
    pub replicas_max: u32,
    /// What adds and removes replicas.
    pub scaler: Scaler,
    /// Requests in flight that a replica is meant for.
    pub in_flight: u32,
    /// Processor use, in percent of what was asked for, that a replica is meant for, if it counts.
    pub cpu_percent: Option<u32>,
    /// How fast replicas are added.
    pub scale_up: Pace,
    /// How fast replicas are taken away.
    pub scale_down: Pace,
    /// The name under which callers reach it, if it is reached from outside.
    pub host: Option<String>,
    /// What leads them there.
    pub route: Route,
    /// Variables of the environment.
    pub variables: BTreeMap<String, EnvValue>,
}

/// How fast the number of replicas changes in one direction. Of two amounts the one that changes more holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// As many replicas at most, within `every`.
    pub replicas: Option<u32>,
    /// Such a share of those that there are at most, within `every`.
    pub percent: Option<u32>,
    /// The time in which that many change.
    pub every: Duration,
    /// How long the need must last before anything changes.
    pub after: Duration,
}

impl Pace {
    /// Up at once and quickly.
    pub const UP: Self =
        Self { replicas: Some(4), percent: Some(100), every: Duration::from_secs(30), after: Duration::ZERO };
    /// Down slowly: a replica that goes takes its sessions along.
    pub const DOWN: Self = Self {
        replicas: None,
        percent: Some(50),
        every: Duration::from_secs(60),
        after: Duration::from_secs(300),
    };
}

/// What adds and removes replicas, where a platform offers several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaler {
    /// The platform's own autoscaler.
    BuiltIn,
    /// One that is driven by events.
    Events,
    /// Nothing: the fewest replicas run.
    Fixed,
}

/// What leads callers to the service, where a platform offers several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// A route of a gateway that services share.
    Gateway,
    /// An ingress of its own.
    Ingress,
}

impl Default for Sizing {
    /// What production has where the spec says nothing.
    fn default() -> Self {
        Self {
            cpu_milli: 250,
            cpu_limit: false,
            memory_bytes: 256 << 20,
            storage_bytes: None,
            replicas_min: 2,
            replicas_max: 10,
            scaler: Scaler::BuiltIn,
            in_flight: 40,
            cpu_percent: None,
            scale_up: Pace::UP,
            scale_down: Pace::DOWN,
            host: None,
            route: Route::Gateway,
            variables: BTreeMap::new(),
        }
    }
}

impl Default for Deploy {
    fn default() -> Self {
        let environments = Environment::ALL.map(|environment| (environment, environment.sizing()));
        Self {
            image: None,
            version: "0.1.0".to_owned(),
            repository: None,
            branch: "main".to_owned(),
            language: None,
            services: Vec::new(),
            platforms: Vec::new(),
            failures_ppm: 1_000,
            environments: environments.into_iter().collect(),
            patches: Vec::new(),
        }
    }
}
