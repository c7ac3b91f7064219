//! What is judged: the plan, the service, and its files, parsed once.

use std::collections::BTreeSet;

use mainstay_core::plan::Environment;
use mainstay_core::{Error, Plan};
use serde_json::Value;

use super::dockerfile::Dockerfile;
use super::verdict::{Finding, Place, Verdict};
use crate::Workload;

/// A file of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Its path from the spec's folder, with `/`.
    pub path: String,
    /// What stands in it.
    pub text: String,
}

/// What is judged.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The environment.
    pub environment: Environment,
    /// The service in each environment, in the order of [`Environment::ALL`]; or why it cannot be shipped.
    pub workloads: Result<Vec<Workload>, Error>,
    /// Files that deploy it.
    pub artifacts: Vec<Artifact>,
    /// Files of the project, for what must stand in none.
    pub sources: &'a [Text],
    /// What of the project was not read, if anything: it was too much.
    pub unread: Option<String>,
}

/// A file that deploys the service.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// The target that it belongs to.
    pub target: String,
    /// Its path and text.
    pub file: Text,
    /// Whether it is on the disk; else it is as `ship` would write it.
    pub on_disk: bool,
    /// The YAML documents in it; none where it is something else.
    documents: Vec<Value>,
}

impl Artifact {
    /// A file of a target. What looks like YAML and cannot be read counts as text: other items then miss it.
    #[must_use]
    pub fn new(target: impl Into<String>, file: Text, on_disk: bool) -> Self {
        let target = target.into();
        let yaml = file.path.ends_with(".yaml") || file.path.ends_with(".yml");
        // A chart's templates are no YAML before they are rendered; its objects are those of the plain files.
        let documents = if yaml && target != "helm" { documents(&file.text) } else { Vec::new() };
        Self { target, file, on_disk, documents }
    }

    /// The YAML documents in it.
    pub(super) fn documents(&self) -> &[Value] {
        &self.documents
    }

    /// The place of the first line that begins with `needle`, after dashes and quotes.
    pub(super) fn place(&self, needle: &str) -> Place {
        let begins = |line: &str| {
            line.trim_start_matches([' ', '-', '"', '\'']).starts_with(needle) && !needle.is_empty()
        };
        let line = self.file.text.lines().position(begins).map(|n| n + 1);
        Place { file: self.file.path.clone(), line }
    }

    /// A finding at the first line that begins with `needle`.
    pub(super) fn finding(&self, needle: &str, what: impl Into<String>) -> Finding {
        Finding { place: Some(self.place(needle)), what: what.into() }
    }
}

fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple::<Value>(text).unwrap_or_default()
}

/// A container as Kubernetes or Compose runs it.
pub(super) struct Container<'s> {
    pub(super) artifact: &'s Artifact,
    /// Its name.
    pub(super) name: String,
    /// What is said of it.
    pub(super) value: &'s Value,
    /// What is said of its pod; `None` under Compose.
    pub(super) pod: Option<&'s Value>,
}

impl Container<'_> {
    /// A setting of the container's own security, or its pod's where that counts too.
    pub(super) fn security(&self, key: &str) -> &Value {
        let own = &self.value["securityContext"][key];
        match self.pod {
            Some(pod) if own.is_null() => &pod["securityContext"][key],
            _ => own,
        }
    }
}

impl Subject<'_> {
    /// The service in the environment that is judged. Errors: why there is none, as a verdict.
    pub(super) fn workload(&self) -> Result<&Workload, Verdict> {
        match &self.workloads {
            Ok(all) => all
                .iter()
                .find(|workload| workload.environment == self.environment)
                .ok_or_else(|| Verdict::Unknown("the environment is not known".to_owned())),
            Err(error) => Err(Verdict::Unknown(format!("`ship` refuses the service: {}", error.message()))),
        }
    }

    /// The files of a target.
    pub(super) fn of_target(&self, target: &str) -> impl Iterator<Item = &Artifact> {
        self.artifacts.iter().filter(move |artifact| artifact.target == target)
    }

    /// Kubernetes objects of these kinds, among the plain files.
    pub(super) fn objects(
        &self,
        kinds: &'static [&'static str],
    ) -> impl Iterator<Item = (&Artifact, &Value)> {
        let each = self.of_target("kubernetes");
        let each = each.flat_map(|artifact| artifact.documents.iter().map(move |value| (artifact, value)));
        each.filter(|(_, value)| value["kind"].as_str().is_some_and(|kind| kinds.contains(&kind)))
    }

    /// What runs pods: the object, and its pods' spec.
    pub(super) fn pods(&self) -> impl Iterator<Item = (&Artifact, &Value, &Value)> {
        self.objects(&["Deployment", "StatefulSet", "DaemonSet", "Job"])
            .map(|(artifact, object)| (artifact, object, &object["spec"]["template"]["spec"]))
    }

    /// Every service of Compose, and what Compose calls it.
    pub(super) fn compose(&self) -> impl Iterator<Item = Container<'_>> {
        self.of_target("compose").flat_map(|artifact| {
            let services = artifact.documents.iter().filter_map(|value| value["services"].as_object());
            services.flatten().map(move |(name, value)| Container {
                artifact,
                name: name.clone(),
                value,
                pod: None,
            })
        })
    }

    /// Every container, of pods and of Compose.
    pub(super) fn containers(&self) -> Vec<Container<'_>> {
        let mut found = Vec::new();
        for (artifact, _, pod) in self.pods() {
            for value in
                ["initContainers", "containers"].iter().filter_map(|key| pod[*key].as_array()).flatten()
            {
                let name = value["name"].as_str().unwrap_or_default().to_owned();
                found.push(Container { artifact, name, value, pod: Some(pod) });
            }
        }
        found.extend(self.compose());
        found
    }

    /// The containers judged one by one; what is wrong comes with the key at fault.
    pub(super) fn each_container(
        &self,
        good: &str,
        fault: impl Fn(&Container<'_>) -> Option<(&'static str, String)>,
    ) -> Verdict {
        let containers = self.containers();
        if containers.is_empty() {
            return self.nothing("no container is described under `deploy/`");
        }
        let judged = |one: &Container<'_>| {
            let (needle, what) = fault(one)?;
            Some(one.artifact.finding(needle, format!("container `{}` {what}", one.name)))
        };
        let found = containers.iter().filter_map(judged).collect();
        Verdict::unless(found, format!("{good} ({})", counted(containers.len(), "container")))
    }

    /// The objects that run pods, judged one by one.
    pub(super) fn each_pod(
        &self,
        good: &str,
        fault: impl Fn(&Value, &Value) -> Option<(&'static str, String)>,
    ) -> Verdict {
        let judged: Vec<_> = self
            .pods()
            .map(|(artifact, object, pod)| (artifact, named(object), fault(object, pod)))
            .collect();
        if judged.is_empty() {
            return self.nothing("no Deployment or StatefulSet is described under `deploy/kubernetes`");
        }
        let count = judged.len();
        let found = judged.into_iter().filter_map(|(artifact, name, fault)| {
            let (needle, what) = fault?;
            Some(artifact.finding(needle, format!("{name} {what}")))
        });
        Verdict::unless(found.collect(), format!("{good} ({})", counted(count, "workload")))
    }

    /// The Dockerfiles, judged one by one.
    pub(super) fn each_dockerfile(
        &self,
        good: &str,
        fault: impl Fn(&Dockerfile) -> Vec<(Option<usize>, String)>,
    ) -> Verdict {
        let files: Vec<&Artifact> =
            self.artifacts.iter().filter(|artifact| is_dockerfile(&artifact.file.path)).collect();
        if files.is_empty() {
            return self.nothing("there is no Dockerfile under `deploy/`");
        }
        let mut found = Vec::new();
        for artifact in files {
            for (line, what) in fault(&Dockerfile::parse(&artifact.file.text)) {
                let place = Place { file: artifact.file.path.clone(), line };
                found.push(Finding { place: Some(place), what });
            }
        }
        Verdict::unless(found, good)
    }

    /// Nothing to judge: why, and why that may be.
    pub(super) fn nothing(&self, what: &str) -> Verdict {
        match self.workload() {
            Err(refused) => refused,
            Ok(_) => Verdict::Unknown(what.to_owned()),
        }
    }

    /// Targets whose files were judged as they are on the disk, and others.
    #[must_use]
    pub fn origins(&self) -> (Vec<&str>, Vec<&str>) {
        let named = |on_disk: bool| -> Vec<&str> {
            let of = self.artifacts.iter().filter(|artifact| artifact.on_disk == on_disk);
            of.map(|artifact| artifact.target.as_str()).collect::<BTreeSet<_>>().into_iter().collect()
        };
        (named(true), named(false))
    }
}

/// Whether a path is a Dockerfile's.
pub(super) fn is_dockerfile(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    name == "Dockerfile" || name == "Containerfile"
}

/// An object's kind and name, for a sentence.
pub(super) fn named(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    format!("{} `{}`", text(&object["kind"]), text(&object["metadata"]["name"]))
}

/// A number of things.
pub(super) fn counted(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}
