//! Resource files: components, subscriptions, resiliency, external HTTP services and the runtime's own configuration,
//! as files for Dapr say them, unchanged. Texts in, resources and faults out; reads no file, no variable, and opens
//! nothing.
//!
//! A file that the Dapr runtime takes is taken here, and means the same: what that runtime passes over in silence is a
//! warning here, what it refuses is a fault. A document with a fault is left out; the others are there all the same.

mod component;
mod condition;
mod documents;
mod head;
mod http_endpoint;
mod placeholders;
mod policies;
mod registry;
mod resiliency;
mod run_file;
mod runtime_config;
mod section;
mod subscription;
mod values;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use mainstay_core::codes;
use mainstay_core::component::Component;
use mainstay_core::resiliency::Resiliency;
use mainstay_core::resources::Resources;

use self::component::Placed;
use self::head::{Head, Kind};
use self::resiliency::{Reference, Sort};
use self::section::{Found, Said, Section};
use crate::diagnostic::short;
use crate::faults::Faults;
use crate::node::{self, Dialect, Node};
use crate::place::{Lines, Span};
use crate::{BYTES_MAX, Diagnostics};

pub use placeholders::{NoPod, Placeholders};
pub use policies::policies;
pub use registry::{Check, SettingName, TypeDef, Types};
pub use run_file::{Destination, RUN_FILE_NAME, RunApp, RunFile, RunSource, run_file};

/// A resource file.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    /// The name to show in messages.
    pub name: &'a str,
    /// The text.
    pub text: &'a str,
}

/// What resources are read against.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The types of component that there are; without them types are not checked.
    pub types: Option<Types<'a>>,
    /// What `$NAME` and `${NAME}` stand for in the runtime's configuration.
    pub variables: &'a dyn Fn(&str) -> Option<String>,
    /// The names of the spec's models, sorted; `None` where there is no spec.
    pub models: Option<&'a [String]>,
}

impl std::fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings").field("types", &self.types).finish_non_exhaustive()
    }
}

/// What resource files say.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The resources without a fault.
    pub resources: Resources,
    /// The faults, file by file; only files that have any. A component that says `ignoreErrors` has none: its are
    /// warnings.
    pub faults: Vec<Diagnostics>,
    /// What may not be meant, file by file; only files that have any.
    pub warnings: Vec<Diagnostics>,
}

/// Reads resource files, in their order. Reports every fault.
#[must_use]
pub fn load(files: &[File<'_>], surroundings: &Surroundings<'_>) -> Loaded {
    let mut reading = Reading::new(files, surroundings);
    for at in 0..files.len() {
        reading.file(at);
    }
    reading.finish()
}

/// A file that is being read, and what was found in it.
struct Open<'a> {
    file: File<'a>,
    lines: Lines<'a>,
    found: Found,
}

struct Reading<'a> {
    surroundings: &'a Surroundings<'a>,
    files: Vec<Open<'a>>,
    resources: Resources,
    /// Components with the files they are of.
    components: Vec<(usize, Placed)>,
    /// Places of external services' names, beside `resources`.
    endpoints: Vec<(usize, Span)>,
    references: Vec<(usize, Reference)>,
    /// Whether a document of policies was left out: what it defines is then unknown.
    policies_missing: bool,
}

impl<'a> Reading<'a> {
    fn new(files: &[File<'a>], surroundings: &'a Surroundings<'a>) -> Self {
        let open =
            |file: &File<'a>| Open { file: *file, lines: Lines::of(file.text), found: RefCell::default() };
        Self {
            surroundings,
            files: files.iter().map(open).collect(),
            resources: Resources::default(),
            components: Vec::new(),
            endpoints: Vec::new(),
            references: Vec::new(),
            policies_missing: false,
        }
    }

    fn file(&mut self, at: usize) {
        let Open { file, found, .. } = &self.files[at];
        let (text, found) = (file.text, found);
        if text.len() > BYTES_MAX {
            let message = format!("the file is larger than {BYTES_MAX} bytes");
            found.borrow_mut().at(Span::default(), &codes::CONFIG_YAML, message, None);
            return;
        }
        for part in documents::split(text) {
            self.document(at, part);
        }
    }

    fn document(&mut self, at: usize, part: Range<usize>) {
        let Open { file, found, .. } = &self.files[at];
        let before = count(found);
        let Some(root) = parse(file.text, part.clone(), None, found) else { return };
        let Some(kind) = head::kind(&root, found) else { return };
        let root = match kind {
            Kind::RuntimeConfig => parse(file.text, part, Some(self.surroundings.variables), found),
            _ => Some(root),
        };
        let Some(root) = root else { return };
        // What is read is taken only where no fault was found while it was.
        let sound = |found: &Found| count(found) == before;
        let (head, document, spec) = head::read(&root, kind, found);
        let origin = self.origin(at, document.key);
        match kind {
            Kind::Component => {
                let mut placed = component::read(head, &document, spec);
                finish(document, kind);
                if let Some(placed) = &mut placed {
                    placed.component.origin = origin;
                }
                self.component(at, placed, before);
                if component::ignores_errors(&root) {
                    self.files[at].found.borrow_mut().excuse(before);
                }
            }
            Kind::RuntimeConfig => {
                let mut config = self.resources.runtime.clone();
                runtime_config::read(&document, spec, &mut config);
                finish(document, kind);
                if sound(found) {
                    self.resources.runtime = config;
                }
            }
            Kind::Resiliency => {
                let (resiliency, references) = resiliency::read(head, &document, spec);
                finish(document, kind);
                if sound(found) {
                    self.references.extend(references.into_iter().map(|reference| (at, reference)));
                    self.resources.resiliencies.push(Resiliency { origin, ..resiliency });
                } else {
                    self.policies_missing = true;
                }
            }
            Kind::Subscription | Kind::RoutedSubscription => {
                let read = subscription::read(head, &document, spec);
                finish(document, kind);
                if let Some(mut subscription) = read.filter(|_| sound(found)) {
                    subscription.origin = origin;
                    self.resources.subscriptions.push(subscription);
                }
            }
            Kind::HttpEndpoint => {
                let name = head.name.as_ref().map(|said| said.span);
                let read = http_endpoint::read(head, &document, spec);
                finish(document, kind);
                if let Some((mut endpoint, name)) = read.zip(name).filter(|_| sound(found)) {
                    endpoint.origin = origin;
                    self.endpoint(at, endpoint, name);
                }
            }
        }
    }

    fn origin(&self, at: usize, span: Span) -> String {
        let Open { file, lines, .. } = &self.files[at];
        format!("{}:{}", file.name, lines.position(span.start).line)
    }

    /// Checks a component and takes it, if it is sound.
    fn component(&mut self, at: usize, placed: Option<Placed>, before: usize) {
        let found = &self.files[at].found;
        if let (Some(types), Some(placed)) = (&self.surroundings.types, &placed) {
            registry::check(placed, types, self.surroundings.models, &mut found.borrow_mut());
        }
        if let Some(placed) = placed.filter(|_| count(found) == before) {
            self.components.push((at, placed));
        }
    }

    /// Takes an external service; of those with the same name and apps in common the last counts.
    fn endpoint(&mut self, at: usize, endpoint: mainstay_core::http_endpoint::HttpEndpoint, name: Span) {
        let meets = |other: &mainstay_core::http_endpoint::HttpEndpoint| {
            let same = other.name == endpoint.name && other.namespace == endpoint.namespace;
            same && meet(&other.scopes, &endpoint.scopes)
        };
        let before = self.resources.http_endpoints.iter().position(meets);
        if let Some(before) = before {
            let (file, span) = self.endpoints.remove(before);
            self.resources.http_endpoints.remove(before);
            let place = self.origin(file, span);
            let message = format!("there are two external services `{}`", short(&endpoint.name));
            let help = format!("the other one stands at {place}, and this one counts");
            self.files[at].found.borrow_mut().warn(name, &codes::CONFIG_VALUE, message, Some(help));
        }
        self.endpoints.push((at, name));
        self.resources.http_endpoints.push(endpoint);
    }

    fn finish(mut self) -> Loaded {
        self.same_names();
        self.unknown_policies();
        self.resources.models = self.surroundings.models.map(<[String]>::to_vec);
        let mut loaded = Loaded { resources: self.resources, ..Loaded::default() };
        for Open { file, found, .. } in self.files {
            let mut found = found.into_inner();
            if !found.warnings.is_empty() {
                let warnings = Faults { warnings: std::mem::take(&mut found.warnings), ..Faults::default() };
                let warnings = Faults { secrets: found.secrets.clone(), ..warnings };
                loaded.warnings.push(Diagnostics::warnings(file.name, file.text, warnings));
            }
            if !found.is_empty() {
                loaded.faults.push(Diagnostics::new(file.name, file.text, found));
            }
        }
        loaded
    }

    /// Two components that one app would have by the same name are a fault of the second.
    fn same_names(&mut self) {
        let mut taken: HashMap<String, Vec<(usize, Span, Component)>> = HashMap::new();
        for (at, placed) in std::mem::take(&mut self.components) {
            let Placed { component, name, .. } = placed;
            let named = taken.entry(component.name.clone()).or_default();
            let same = named.iter().find(|(.., other)| {
                other.namespace == component.namespace && meet(&other.scopes, &component.scopes)
            });
            if let Some((file, span, _)) = same {
                let message = format!("there are two components `{}`", short(&component.name));
                let place = self.origin(*file, *span);
                let help =
                    format!("the other one stands at {place}; rename one, or scope them to different apps");
                self.files[at].found.borrow_mut().at(name, &codes::CONFIG_VALUE, message, Some(help));
                continue;
            }
            self.resources.components.push(component.clone());
            named.push((at, name, component));
        }
    }

    /// Policies are common to all documents, so this waits for the last of them.
    fn unknown_policies(&self) {
        if self.policies_missing {
            return;
        }
        let all = || self.resources.resiliencies.iter().map(|document| &document.policies);
        let mut retries: HashSet<&str> =
            all().flat_map(|named| named.retries.keys()).map(String::as_str).collect();
        for name in policies::built_in_names() {
            retries.insert(name);
        }
        let timeouts = all().flat_map(|named| named.timeouts.keys()).map(String::as_str).collect();
        let breakers = all().flat_map(|named| named.breakers.keys()).map(String::as_str).collect();
        for (at, reference) in &self.references {
            let known = match reference.sort {
                Sort::Timeout => &timeouts,
                Sort::Retry => &retries,
                Sort::Breaker => &breakers,
            };
            let mut found = self.files[*at].found.borrow_mut();
            if !known.contains(reference.name.as_str()) && !found.warned_enough() {
                let (message, help) = resiliency::unknown(reference, known);
                found.warn(reference.span, &codes::CONFIG_REFERENCE, message, help);
            }
        }
    }
}

/// Parses a document. One that cannot be read may hold secrets anywhere behind a `value:`.
fn parse(
    text: &str,
    part: Range<usize>,
    variables: Option<node::Variables<'_>>,
    found: &Found,
) -> Option<Node> {
    let mut faults = found.borrow_mut();
    let root = node::parse_part(text, part.clone(), Dialect::Resource { variables }, &mut faults);
    if root.is_none() {
        faults.secrets.extend(values::after_the_key(text, part));
    }
    root
}

fn finish(mut document: Section<'_, '_>, kind: Kind) {
    if kind == Kind::RuntimeConfig {
        document.known(&["scopes"]);
    }
    document.finish();
}

/// How many faults were found so far.
fn count(found: &Found) -> usize {
    found.borrow().count()
}

/// Whether two lists of apps have one in common; an empty list has all.
fn meet(one: &[String], other: &[String]) -> bool {
    one.is_empty() || other.is_empty() || one.iter().any(|app| other.contains(app))
}

/// The name that a resource must have.
fn needed_name(head: &Head, document: &Section<'_, '_>, about: &str) -> Option<Said<String>> {
    if head.name.is_none() {
        let message = "`metadata` lacks the key `name`".to_owned();
        let at = document.entries().iter().find(|entry| entry.key == "metadata");
        let span = at.map_or(document.key, |entry| entry.key_span);
        document.fault(span, &codes::CONFIG_MISSING_KEY, message, Some(format!("`name`: {about}")));
    }
    head.name.clone()
}

fn lacks_spec(document: &Section<'_, '_>, about: &str) {
    let at = document.entries().iter().find(|entry| entry.key.eq_ignore_ascii_case("spec"));
    let span = at.map_or(document.key, |entry| entry.key_span);
    let message = "the key `spec` is missing or empty".to_owned();
    document.fault(span, &codes::CONFIG_MISSING_KEY, message, Some(about.to_owned()));
}

/// A resource that may be without content, and is.
fn empty_spec(document: &Section<'_, '_>) {
    let message = "there is nothing in `spec`".to_owned();
    document.warn(document.key, &codes::CONFIG_MISSING_KEY, message, None);
}
