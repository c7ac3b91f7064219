//! `mainstay.yaml` to [`Plan`]: text → spanned tree → checked values → plan, with every fault reported at once.
//!
//! The way of a spec: `node` reads YAML and remembers where everything stands; `validate` walks it along the JSON
//! Schema that `schema` generates from `raw` and the registries; `lower` resolves names, reads prompt files and builds
//! the plan. `reference` renders the same schema as a page. `resources` reads the files of components and their like,
//! in a dialect of their own. This crate opens no file itself (see [`Files`]), reads no environment and connects to
//! nothing.

mod diagnostic;
mod faults;
mod files;
mod lower;
mod nearest;
mod node;
mod place;
mod pointer;
mod quantity;
mod raw;
mod reference;
pub mod resources;
mod scaffold;
mod schema;
mod secret;
mod validate;
mod waivers;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use mainstay_core::{Fault, KindDef, Plan};

pub use diagnostic::{Diagnostic, Diagnostics, Place};
pub use files::{Disk, Files};
pub use nearest::{help as nearest_help, nearest};
pub use place::{Position, Span};
pub use reference::reference;
pub use scaffold::{ScaffoldModel, scaffold};
pub use schema::{lint, schema};
pub use waivers::{WAIVERS_FILE_NAME, Waiver, waivers};

/// The spec's file name.
pub const FILE_NAME: &str = "mainstay.yaml";

/// Bytes of a spec; a larger one is refused.
pub const BYTES_MAX: usize = 1024 * 1024;

/// A spec's text and where it comes from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The name to show in messages, e.g. the path as the user gave it.
    pub name: &'a str,
    /// The text.
    pub text: &'a str,
    /// The folder that relative paths in the spec start from.
    pub folder: &'a Path,
}

/// What the registries offer.
#[derive(Clone, Copy, Debug)]
pub struct Kinds<'a> {
    /// Kinds of provider.
    pub providers: &'a [KindDef],
    /// Kinds of tool.
    pub tools: &'a [KindDef],
    /// Names of alias sets of metrics.
    pub metric_aliases: &'a [&'a str],
    /// Names of servers that `ship` can bring up beside the service.
    pub services: &'a [&'a str],
    /// Names of platforms that `ship` writes Terraform modules for.
    pub platforms: &'a [&'a str],
    /// Types of component; without them those are not checked.
    pub components: Option<resources::Types<'a>>,
}

/// What flags and the environment say; both come before the spec, flags first (the caller has merged them).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Stands for `server.listen`.
    pub listen: Option<String>,
    /// Stands for `data.folder`; relative to the working directory.
    pub data_folder: Option<PathBuf>,
    /// Stands for `sidecar.http_port`.
    pub sidecar_http_port: Option<u16>,
    /// Stands for `sidecar.grpc_port`.
    pub sidecar_grpc_port: Option<u16>,
}

/// Where a server of this spec listens, for a client on the same machine: `overridden`, else what the spec says, faults
/// elsewhere in it or not. `None` when neither says it.
#[must_use]
pub fn listen(overridden: Option<&str>, text: &str) -> Option<SocketAddr> {
    if let Some(given) = overridden {
        return lower::server::parse_listen(given);
    }
    let root = node::parse(text, &mut faults::Faults::default())?;
    let written = root.entry("server")?.node.entry("listen")?.node.to_json();
    lower::server::parse_listen(written.as_str()?)
}

/// What a spec says, without how it is written: comments, the order of keys and quotes make no difference. `None` where
/// it is not YAML.
#[must_use]
pub fn canonical(text: &str) -> Option<String> {
    let root = node::parse(text, &mut faults::Faults::default())?;
    Some(sorted(root.to_json()).to_string())
}

fn sorted(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(map) => {
            let ordered: std::collections::BTreeMap<_, _> =
                map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            ordered.into_iter().collect()
        }
        serde_json::Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

/// A plan, and what its spec says that may not be meant. It can be served all the same.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The plan.
    pub plan: Plan,
    /// What may not be meant.
    pub warnings: Diagnostics,
}

/// Looks at what a plan refers to outside its spec; pointers of what it finds are into the spec.
pub type Look<'a> = &'a dyn Fn(&Plan) -> Vec<Fault>;

/// Reads a spec, as [`load_and_look`] does, without a look around and without warnings.
pub fn load(
    source: Source<'_>,
    kinds: &Kinds<'_>,
    files: &dyn Files,
    overrides: &Overrides,
) -> Result<Plan, Diagnostics> {
    load_and_look(source, kinds, files, overrides, &|_| Vec::new()).map(|loaded| loaded.plan)
}

/// Reads a spec. Pure but for the files it reads through `files` and for `look`, whose finds are warnings.
/// Reports every fault, in the order of the text, and those of its resource files after them.
pub fn load_and_look(
    source: Source<'_>,
    kinds: &Kinds<'_>,
    files: &dyn Files,
    overrides: &Overrides,
    look: Look<'_>,
) -> Result<Loaded, Diagnostics> {
    let mut faults = faults::Faults::default();
    let mut lowered = lower::Lowered::default();
    if let Some(root) = node::parse(source.text, &mut faults) {
        let schema = schema(kinds);
        let checked = validate::check(&root, &schema, &mut faults);
        let inputs = lower::Inputs { source, kinds, files, overrides, look, root: &root };
        lowered = lower::lower(inputs, checked, &mut faults);
    }
    let lower::Lowered { plan, faults: further, warnings } = lowered;
    match plan {
        Some(plan) if faults.is_empty() && further.is_empty() => {
            let found = Diagnostics::warnings(source.name, source.text, faults).with(warnings);
            Ok(Loaded { plan, warnings: found })
        }
        _ => Err(Diagnostics::new(source.name, source.text, faults).with(further)),
    }
}
