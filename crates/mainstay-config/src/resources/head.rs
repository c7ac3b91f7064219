//! What every resource begins with: its kind and version, its name, and the apps that it is for.

use mainstay_core::codes;

use super::section::{Found, Said, Section};
use crate::diagnostic::short;
use crate::nearest;
use crate::node::Node;
use crate::place::Span;

/// A kind of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Component,
    RuntimeConfig,
    Resiliency,
    /// With one route.
    Subscription,
    /// With rules.
    RoutedSubscription,
    HttpEndpoint,
}

const V1: &str = "dapr.io/v1alpha1";
const V2: &str = "dapr.io/v2alpha1";

/// Every kind by its name and version.
const KINDS: [(&str, &str, Kind); 6] = [
    ("Component", V1, Kind::Component),
    ("Configuration", V1, Kind::RuntimeConfig),
    ("Resiliency", V1, Kind::Resiliency),
    ("Subscription", V1, Kind::Subscription),
    ("Subscription", V2, Kind::RoutedSubscription),
    ("HTTPEndpoint", V1, Kind::HttpEndpoint),
];

/// Keys of an object's metadata that clusters write; none of them means anything here.
const CLUSTER_KEYS: [&str; 14] = [
    "annotations",
    "labels",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "finalizers",
    "generateName",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
    "clusterName",
];

/// The head of a resource.
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) name: Option<Said<String>>,
    pub(super) namespace: Option<String>,
    pub(super) scopes: Vec<String>,
    pub(super) secret_store: Option<String>,
}

/// The kind of a document; `None`, with a warning, for one that is passed over.
pub(super) fn kind(root: &Node, found: &Found) -> Option<Kind> {
    let start = root.entries().first().map_or(root.span, |entry| entry.key_span);
    let mut document = Section::of(root, "", Span { start: start.start, end: start.start }, found);
    if root.entries().is_empty() {
        return None;
    }
    let (kind, version) = (document.text("kind"), document.text("apiVersion"));
    let (Some(kind), Some(version)) = (kind, version) else {
        let message =
            "this is no resource, and is passed over: it has no `kind` or no `apiVersion`".to_owned();
        let help = format!("a component begins with `apiVersion: {V1}` and `kind: Component`");
        document.warn(document.key, &codes::CONFIG_MISSING_KEY, message, Some(help));
        return None;
    };
    let known = KINDS.iter().find(|(name, of, _)| *name == kind.value && *of == version.value);
    if known.is_none() {
        unknown(&document, &kind, &version);
    }
    known.map(|(.., kind)| *kind)
}

fn unknown(document: &Section<'_, '_>, kind: &Said<String>, version: &Said<String>) {
    let versions: Vec<&str> =
        KINDS.iter().filter(|(name, ..)| *name == kind.value).map(|(_, of, _)| *of).collect();
    if versions.is_empty() {
        let message = format!("documents of kind `{}` are passed over", short(&kind.value));
        let names = KINDS.iter().map(|(name, ..)| *name);
        let near = nearest::nearest(&kind.value, names).map(|near| format!("did you mean `{near}`?"));
        document.warn(kind.span, &codes::CONFIG_VALUE, message, near);
        return;
    }
    let message = format!(
        "a `{}` of apiVersion `{}` is not known, and is passed over",
        short(&kind.value),
        short(&version.value)
    );
    let help = nearest::among("the only apiVersion is", "the apiVersions are", versions);
    document.warn(version.span, &codes::CONFIG_VALUE, message, help);
}

/// Reads the head, and gives the document and its `spec` to go on with.
pub(super) fn read<'n, 'f>(
    root: &'n Node,
    kind: Kind,
    found: &'f Found,
) -> (Head, Section<'n, 'f>, Option<Section<'n, 'f>>) {
    let start = root.entries().first().map_or(root.span, |entry| entry.key_span);
    let mut document = Section::of(root, "", start, found);
    document.known(&["apiVersion", "kind", "status"]);
    let mut name = None;
    let mut namespace = None;
    if let Some(mut metadata) = document.section("metadata") {
        name = metadata.text("name");
        namespace = metadata.text("namespace").map(|said| said.value);
        metadata.known(&CLUSTER_KEYS);
        let beside = "it stands beside `metadata`, not in it";
        metadata.finish_beside(&[("scopes", beside), ("auth", beside), ("spec", beside)]);
    }
    if let Some(said) = &name {
        well_named(&document, said);
    }
    let scopes = if kind == Kind::RuntimeConfig { Vec::new() } else { document.texts("scopes") };
    let mut secret_store = None;
    if matches!(kind, Kind::Component | Kind::HttpEndpoint)
        && let Some(mut auth) = document.section("auth")
    {
        secret_store = auth.text("secretStore").map(|said| said.value);
        auth.finish();
    }
    let spec = document.section("spec");
    (Head { kind, name, namespace, scopes, secret_store }, document, spec)
}

/// Names are parts of paths.
fn well_named(document: &Section<'_, '_>, name: &Said<String>) {
    let bad = matches!(name.value.as_str(), "." | "..") || name.value.contains(['/', '%']);
    if bad {
        let message = format!("`metadata.name` cannot be `{}`", short(&name.value));
        let help = "it is part of paths: not `.` or `..`, and without `/` and `%`".to_owned();
        document.fault(name.span, &codes::CONFIG_VALUE, message, Some(help));
    }
}

/// What to tell of keys that stand in `spec` and belong beside it.
pub(super) const BESIDE_SPEC: [(&str, &str); 2] =
    [("scopes", "it stands beside `spec`, not in it"), ("auth", "it stands beside `spec`, not in it")];
