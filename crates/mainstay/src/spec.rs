//! Reading the spec from disk and remembering which files it was read from, so that a reload can notice a change.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use mainstay_config::{Diagnostics, Disk, FILE_NAME, Files, Kinds, Look, Overrides, Source, resources};
use mainstay_core::plan::Member;
use mainstay_core::{Error, KindDef, Plan, codes};

use crate::stamp::Stamp;
use crate::wire::sidecar::{self as registry, Plugged};
use crate::{environment, exit, logging, surroundings, terminal};

/// A plan, and the files that it and its providers are read from.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) plan: Plan,
    /// As each looked before it was read.
    pub(crate) files: Vec<Stamp>,
    /// What may not be meant.
    pub(crate) warnings: Diagnostics,
}

/// Why there is no plan.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The spec could not be read at all.
    Unreadable(Error),
    /// It was read, and these are its faults.
    Faults(Diagnostics),
}

impl Fault {
    /// The same for a server at work: a line of the log for each fault, where a machine reads it.
    pub(crate) fn tell(self) -> anyhow::Error {
        let faults = match self {
            Self::Faults(faults) => faults,
            Self::Unreadable(error) => return error.into(),
        };
        if logging::for_machines() {
            for Logged { code, path, line, column, message, help } in logged(&faults) {
                tracing::error!(code, path, line, column, help, "{message}");
            }
        } else {
            terminal::complain(&faults.render(terminal::coloured(&std::io::stderr())));
        }
        anyhow::anyhow!("the new one has {} faults", faults.count())
    }

    /// Prints the faults as they are read best, and gives the error to end with.
    pub(crate) fn explain(self) -> anyhow::Error {
        match self {
            Self::Unreadable(error) => error.into(),
            Self::Faults(faults) => {
                terminal::complain(&faults.render(terminal::coloured(&std::io::stderr())));
                exit::Explained(exit::CONFIGURATION).into()
            }
        }
    }
}

/// Logs warnings, one line each.
pub(crate) fn warn(warnings: &Diagnostics) {
    for Logged { code, path, line, column, message, help } in logged(warnings) {
        tracing::warn!(code, path, line, column, help, "{message}");
    }
}

/// A fault as the log has it.
struct Logged<'a> {
    code: &'static str,
    path: &'a str,
    line: Option<usize>,
    column: Option<usize>,
    message: &'a str,
    help: Option<&'a str>,
}

fn logged(found: &Diagnostics) -> impl Iterator<Item = Logged<'_>> {
    found.files().flat_map(|file| file.faults().iter().map(move |fault| (file, fault))).map(
        |(file, fault)| {
            let place = file.position(fault);
            let (line, column) = (place.map(|at| at.line), place.map(|at| at.column));
            let (code, message, help) = (fault.code.id, fault.message.as_str(), fault.help.as_deref());
            Logged { code, path: file.file(), line, column, message, help }
        },
    )
}

/// The spec's path for a folder or file given on the command line.
pub(crate) fn path_of(given: &Path) -> PathBuf {
    if given.is_dir() { given.join(FILE_NAME) } else { given.to_path_buf() }
}

/// What flags say in the spec's place. They override the environment, which overrides the spec.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    pub(crate) listen: Option<String>,
    pub(crate) sidecar_http_port: Option<u16>,
    pub(crate) sidecar_grpc_port: Option<u16>,
}

/// Reads and checks the spec at `given` (its folder, or the file itself). `plugged` are types of component besides
/// ours.
pub(crate) fn load(given: &Path, flags: &Flags, plugged: &[Plugged]) -> Result<Loaded, Fault> {
    load_and_look(given, flags, plugged, &surroundings::models_and_files)
}

/// The same with a look of the caller's at what the spec refers to.
pub(crate) fn load_and_look(
    given: &Path,
    flags: &Flags,
    plugged: &[Plugged],
    look: Look<'_>,
) -> Result<Loaded, Fault> {
    let path = path_of(given);
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf);
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    let disk = Noting { read: RefCell::default() };
    let text = disk.read(&path).map_err(|error| Fault::Unreadable(unreadable(&path, &error)))?;
    let overrides = Overrides {
        listen: flags.listen.clone().or_else(environment::listen),
        data_folder: environment::data_folder(),
        sidecar_http_port: flags.sidecar_http_port.or_else(environment::dapr_http_port),
        sidecar_grpc_port: flags.sidecar_grpc_port.or_else(environment::dapr_grpc_port),
    };
    let name = path.display().to_string();
    let source = Source { name: &name, text: &text, folder: &folder };
    let (providers, tools) = (provider_kinds(), tool_kinds());
    let types = registry::types_and(plugged);
    let components = Some(resources::Types { types: &types, check: &registry::check });
    let kinds = Kinds { components, ..kinds(&providers, &tools) };
    let mainstay_config::Loaded { plan, warnings } =
        mainstay_config::load_and_look(source, &kinds, &disk, &overrides, look).map_err(Fault::Faults)?;
    let mut files = disk.read.into_inner();
    files.extend(plan.providers.values().flat_map(|member| provider_files(&plan, member)).map(Stamp::of));
    Ok(Loaded { plan, files, warnings })
}

/// The files that a provider is read from.
pub(crate) fn provider_files(plan: &Plan, member: &Member) -> Vec<PathBuf> {
    let named = mainstay_providers::providers::find(&member.kind).map(|def| (def.files)(&member.settings));
    named.into_iter().flatten().map(|file| plan.folder.join(file)).collect()
}

/// The spec's text, unchecked. Errors: `CONFIG_FILE`.
pub(crate) fn text(given: &Path) -> Result<String, Error> {
    let path = path_of(given);
    Disk.read(&path).map_err(|error| unreadable(&path, &error))
}

/// Names of the servers that `ship` knows.
static SERVICES: LazyLock<Vec<&str>> = LazyLock::new(mainstay_ship::services::names);
/// Names of the platforms that `ship` writes Terraform modules for.
static PLATFORMS: LazyLock<Vec<&str>> = LazyLock::new(mainstay_ship::targets::platforms);

/// What the registries offer, as config sees it, but for the types of component.
pub(crate) fn kinds<'a>(providers: &'a [KindDef], tools: &'a [KindDef]) -> Kinds<'a> {
    let (metric_aliases, services) = (mainstay_telemetry::ALIAS_SETS, SERVICES.as_slice());
    let platforms = PLATFORMS.as_slice();
    Kinds { providers, tools, metric_aliases, services, platforms, components: None }
}

/// The kinds of provider.
pub(crate) fn provider_kinds() -> Vec<KindDef> {
    mainstay_providers::ALL.iter().map(|def| def.kind).collect()
}

/// The kinds of tool.
pub(crate) fn tool_kinds() -> Vec<KindDef> {
    mainstay_components::tools::ALL.iter().map(|def| def.kind).collect()
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    let other = path.with_extension("yml");
    let help = match error.kind() {
        ErrorKind::NotFound if path.ends_with(FILE_NAME) && other.exists() => {
            format!("there is `{}`: rename it to `{FILE_NAME}`, or give the file itself", other.display())
        }
        ErrorKind::NotFound => {
            format!("give the folder that holds `{FILE_NAME}`, or make one with `mainstay new NAME`")
        }
        ErrorKind::InvalidData => "save it as UTF-8".to_owned(),
        ErrorKind::PermissionDenied => "let the user that runs this read it".to_owned(),
        _ => format!("give the folder that holds `{FILE_NAME}`, or the file itself"),
    };
    Error::new(&codes::CONFIG_FILE, format!("cannot read `{}`: {error}", path.display())).with_help(help)
}

/// The disk, noting what is read.
struct Noting {
    read: RefCell<Vec<Stamp>>,
}

impl Files for Noting {
    fn read(&self, path: &Path) -> std::io::Result<String> {
        self.read.borrow_mut().push(Stamp::of(path.to_path_buf()));
        Disk.read(path)
    }

    /// A folder counts as read too: it looks different when a file comes or goes.
    fn list(&self, folder: &Path) -> std::io::Result<Vec<PathBuf>> {
        self.read.borrow_mut().push(Stamp::of(folder.to_path_buf()));
        Disk.list(folder)
    }

    fn variable(&self, name: &str) -> Option<String> {
        environment::variable(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_of_the_real_registries_says_only_what_is_checked() {
        let (providers, tools) = (provider_kinds(), tool_kinds());
        assert_eq!(mainstay_config::lint(&kinds(&providers, &tools)), Vec::<String>::new());
    }

    #[test]
    fn every_type_of_component_is_known_to_the_reader_of_its_files() {
        let types = registry::types_and(&[]);
        let said = |kind: &str| {
            let text = format!(
                "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{ name: x }}\nspec: {{ type: {kind} }}\n"
            );
            let types = resources::Types { types: &types, check: &registry::check };
            let surroundings =
                resources::Surroundings { types: Some(types), variables: &|_| None, models: None };
            let loaded = resources::load(&[resources::File { name: "x.yaml", text: &text }], &surroundings);
            loaded.faults.iter().map(ToString::to_string).collect::<String>()
        };
        for def in &types {
            assert!(!said(def.kind).contains("no component type"), "{}", def.kind);
        }
        assert_eq!(said("state.embedded"), "");
        assert!(said("state.embeded").contains("no component type `state.embeded`"));
    }
}
