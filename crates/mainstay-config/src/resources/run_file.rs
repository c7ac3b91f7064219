//! The file that says which apps are run side by side, as `dapr run -f` takes it: version 1, what the apps have in
//! common, and the apps. Text in, apps and faults out; whether a path exists the caller looks at, and nothing is
//! started.
//!
//! What an app says comes before what is common; variables are put together one by one. Settings of a sidecar come out
//! as its flags, so that what a flag means is said in one place.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mainstay_core::codes;

use super::section::{Said, Section};
use crate::diagnostic::short;
use crate::faults::Faults;
use crate::node::{self, Dialect, Node};
use crate::place::Span;
use crate::{BYTES_MAX, Diagnostics};

/// The file's name, where a folder is given.
pub const RUN_FILE_NAME: &str = "dapr.yaml";

/// Apps of one file; further ones are refused.
const APPS_MAX: usize = 64;

/// A run file's text, and what it stands in.
pub struct RunSource<'a> {
    /// The name to show in messages.
    pub name: &'a str,
    /// The text.
    pub text: &'a str,
    /// The folder that paths in it start from.
    pub folder: &'a Path,
    /// Whether there is a file or folder at a path.
    pub exists: &'a dyn Fn(&Path) -> bool,
}

impl std::fmt::Debug for RunSource<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunSource").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a run file says.
#[derive(Clone, Debug)]
pub struct RunFile {
    /// The apps, in the order of the file; at least one, each with an id of its own.
    pub apps: Vec<RunApp>,
    /// What may not be meant.
    pub warnings: Diagnostics,
}

/// An app of a run file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunApp {
    /// Its id: what the file says, else the name of its folder.
    pub id: String,
    /// Where its command runs; absolute if the file's folder is.
    pub folder: PathBuf,
    /// The program and its arguments; empty for a sidecar without an app.
    pub command: Vec<String>,
    /// Variables for the command, on top of ours.
    pub env: BTreeMap<String, String>,
    /// The sidecar's flags with their values, but for `app-id`.
    pub flags: Vec<(&'static str, String)>,
    /// Where the app's output goes.
    pub app_log: Destination,
    /// Where the sidecar's log goes.
    pub sidecar_log: Destination,
}

/// Where lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To the terminal.
    Console,
    /// To a file beside the app.
    File,
    /// To both.
    Both,
}

/// How a setting is written.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Port,
    Number,
    Switch,
}

/// Settings that both parts may have, and the sidecar's flags that they are.
const SHARED: &[(&str, &str, Kind)] = &[
    ("appProtocol", "app-protocol", Kind::Text),
    ("apiListenAddresses", "dapr-listen-addresses", Kind::Text),
    ("enableProfiling", "enable-profiling", Kind::Switch),
    ("logLevel", "log-level", Kind::Text),
    ("appMaxConcurrency", "app-max-concurrency", Kind::Number),
    ("placementHostAddress", "placement-host-address", Kind::Text),
    ("schedulerHostAddress", "scheduler-host-address", Kind::Text),
    ("appSSL", "app-ssl", Kind::Switch),
    ("maxBodySize", "max-body-size", Kind::Text),
    ("daprHTTPMaxRequestSize", "dapr-http-max-request-size", Kind::Number),
    ("readBufferSize", "read-buffer-size", Kind::Text),
    ("daprHTTPReadBufferSize", "dapr-http-read-buffer-size", Kind::Number),
    ("enableAppHealthCheck", "enable-app-health-check", Kind::Switch),
    ("appHealthCheckPath", "app-health-check-path", Kind::Text),
    ("appHealthProbeInterval", "app-health-probe-interval", Kind::Number),
    ("appHealthProbeTimeout", "app-health-probe-timeout", Kind::Number),
    ("appHealthThreshold", "app-health-threshold", Kind::Number),
    ("enableApiLogging", "enable-api-logging", Kind::Switch),
];

/// Settings of an app alone.
const OWN: &[(&str, &str, Kind)] = &[
    ("appChannelAddress", "app-channel-address", Kind::Text),
    ("appPort", "app-port", Kind::Port),
    ("daprHTTPPort", "dapr-http-port", Kind::Port),
    ("daprGRPCPort", "dapr-grpc-port", Kind::Port),
    ("profilePort", "profile-port", Kind::Port),
    ("metricsPort", "metrics-port", Kind::Port),
    ("unixDomainSocket", "unix-domain-socket", Kind::Text),
    ("daprInternalGRPCPort", "dapr-internal-grpc-port", Kind::Port),
];

/// Keys for another runtime's program, or for a cluster; nothing to do with them here.
const ELSEWHERE: &[&str] =
    &["runtimePath", "containerImage", "containerImagePullPolicy", "createService", "annotations"];

/// Where an app's own resources and configuration are looked for, if nothing says it.
const OWN_RESOURCES: &str = ".dapr/resources";
const OWN_CONFIG: &str = ".dapr/config.yaml";

/// What either part of the file says.
#[derive(Clone, Default)]
struct Settings {
    flags: Vec<(&'static str, String)>,
    resources: Vec<PathBuf>,
    config: Option<PathBuf>,
    env: BTreeMap<String, String>,
    app_log: Option<Destination>,
    sidecar_log: Option<Destination>,
}

/// Reads a run file. Errors: every fault of it.
pub fn run_file(source: &RunSource<'_>) -> Result<RunFile, Diagnostics> {
    let found = RefCell::new(Faults::default());
    let root = parse(source.text, &mut found.borrow_mut());
    let apps = root.map(|root| Reading { source, found: &found }.document(&root)).unwrap_or_default();
    let mut faults = found.into_inner();
    if !faults.is_empty() {
        return Err(Diagnostics::new(source.name, source.text, faults));
    }
    let warnings = Faults { warnings: std::mem::take(&mut faults.warnings), ..faults };
    Ok(RunFile { apps, warnings: Diagnostics::warnings(source.name, source.text, warnings) })
}

fn parse(text: &str, faults: &mut Faults) -> Option<Node> {
    if text.len() > BYTES_MAX {
        let message = format!("the file is larger than {BYTES_MAX} bytes");
        faults.at(Span::default(), &codes::CONFIG_YAML, message, None);
        return None;
    }
    node::parse_part(text, 0..text.len(), Dialect::Resource { variables: None }, faults)
}

struct Reading<'a> {
    source: &'a RunSource<'a>,
    found: &'a RefCell<Faults>,
}

impl Reading<'_> {
    fn document(&self, root: &Node) -> Vec<RunApp> {
        let start = Span { start: root.span.start, end: root.span.start };
        let mut document = Section::of(root, "", start, self.found);
        self.version(&mut document);
        document.known(&["name"]);
        let mut common = Settings::default();
        if let Some(mut section) = document.section("common") {
            common = self.settings(&mut section);
            section.finish();
        }
        let sections = document.sections("apps", Some("write a list of `- appDirPath: FOLDER`"));
        if sections.is_empty() {
            let message = "there are no apps to run".to_owned();
            let help =
                "`apps`: a list of `- appDirPath: FOLDER` with `command: [PROGRAM, ARGUMENT]` under it";
            document.fault(document.key, &codes::CONFIG_MISSING_KEY, message, Some(help.to_owned()));
        }
        let mut apps: Vec<RunApp> = Vec::new();
        for section in sections {
            if apps.len() == APPS_MAX {
                let message = format!("there are more than {APPS_MAX} apps");
                document.fault(section.key, &codes::CONFIG_VALUE, message, None);
                break;
            }
            apps.extend(self.app(section, &common, &apps));
        }
        document.finish();
        apps
    }

    fn version(&self, document: &mut Section<'_, '_>) {
        let help = "write `version: 1`".to_owned();
        match document.integer("version") {
            Some(Said { value: 1, .. }) => {}
            Some(other) => {
                let message = format!("version {} of run files is not known", other.value);
                document.fault(other.span, &codes::CONFIG_VALUE, message, Some(help));
            }
            None if document.entry("version").is_none() => {
                let message = "the key `version` is missing".to_owned();
                document.fault(document.key, &codes::CONFIG_MISSING_KEY, message, Some(help));
            }
            None => {}
        }
    }

    fn app(&self, mut section: Section<'_, '_>, common: &Settings, before: &[RunApp]) -> Option<RunApp> {
        let given = section.required_text("appDirPath", "the app's folder, where its command runs");
        let folder = given.and_then(|said| self.path(&section, &said));
        let id = section.text("appID");
        let command = section.texts("command");
        let mut own = self.settings(&mut section);
        own.flags.extend(flags(&mut section, OWN));
        let key = section.key;
        section.finish();
        let folder = folder?;
        let span = id.as_ref().map_or(key, |said| said.span);
        let id = id.map_or_else(|| name_of(&folder), |said| said.value);
        if before.iter().any(|app| app.id == id) {
            let message = format!("there are two apps `{}`", short(&id));
            let help = "give one of them another `appID`".to_owned();
            self.found.borrow_mut().at(span, &codes::CONFIG_VALUE, message, Some(help));
        }
        Some(self.joined(id, folder, command, own, common.clone()))
    }

    /// What an app says on top of what is common to all.
    fn joined(
        &self,
        id: String,
        folder: PathBuf,
        command: Vec<String>,
        own: Settings,
        common: Settings,
    ) -> RunApp {
        let beside = |name: &str| Some(folder.join(name)).filter(|path| (self.source.exists)(path));
        let resources = match (own.resources, beside(OWN_RESOURCES)) {
            (own, None) if own.is_empty() => common.resources,
            (own, Some(beside)) if own.is_empty() => vec![beside],
            (own, _) => own,
        };
        let config = own.config.or_else(|| beside(OWN_CONFIG)).or(common.config);
        let mut flags = own.flags;
        let is_new =
            |flag: &(&str, String), flags: &[(&str, String)]| flags.iter().all(|(name, _)| *name != flag.0);
        let further: Vec<_> = common.flags.into_iter().filter(|flag| is_new(flag, &flags)).collect();
        flags.extend(further);
        let text = |path: PathBuf| path.display().to_string();
        flags.extend(resources.into_iter().map(|path| ("resources-path", text(path))));
        flags.extend(config.map(|path| ("config", text(path))));
        let mut env = common.env;
        env.extend(own.env);
        RunApp {
            id,
            folder,
            command,
            env,
            flags,
            app_log: own.app_log.or(common.app_log).unwrap_or(Destination::Both),
            sidecar_log: own.sidecar_log.or(common.sidecar_log).unwrap_or(Destination::File),
        }
    }

    fn settings(&self, section: &mut Section<'_, '_>) -> Settings {
        let mut resources: Vec<PathBuf> = Vec::new();
        for (path, item) in section.items("resourcesPaths", Some("put brackets around it: `[a, b]`")) {
            let said = section.as_text(item, &path);
            resources.extend(said.and_then(|said| self.path(section, &said)));
        }
        let single = section.text("resourcesPath");
        if let Some(path) = single.and_then(|said| self.path(section, &said)).filter(|_| resources.is_empty())
        {
            resources.push(path);
        }
        let config = section.text("configFilePath").and_then(|said| self.path(section, &said));
        let env = section.texts_by_name("env").into_iter();
        let env = env.map(|(name, said)| (name.to_owned(), said.value)).collect();
        let destinations = [
            ("console", Destination::Console),
            ("file", Destination::File),
            ("fileAndConsole", Destination::Both),
        ];
        section.known(ELSEWHERE);
        Settings {
            flags: flags(section, SHARED),
            resources,
            config,
            env,
            app_log: section.choice("appLogDestination", &destinations),
            sidecar_log: section.choice("daprdLogDestination", &destinations),
        }
    }

    /// A path from the file's folder on. What is not there is a fault.
    fn path(&self, section: &Section<'_, '_>, said: &Said<String>) -> Option<PathBuf> {
        let plain = Path::new(&said.value).components().filter(|part| part.as_os_str() != ".");
        let path = self.source.folder.join(plain.collect::<PathBuf>());
        if (self.source.exists)(&path) {
            return Some(path);
        }
        let message = format!("there is no `{}`", short(&said.value));
        let help = "paths are relative to the folder of this file".to_owned();
        section.fault(said.span, &codes::CONFIG_FILE, message, Some(help));
        None
    }
}

/// The settings of a section as flags. A port of 0 or less is none, as if it were not given.
fn flags(
    section: &mut Section<'_, '_>,
    table: &'static [(&'static str, &'static str, Kind)],
) -> Vec<(&'static str, String)> {
    let mut flags = Vec::new();
    for (key, flag, kind) in table {
        let value = match kind {
            Kind::Text => section.text(key).map(|said| said.value),
            Kind::Switch => section.flag(key).map(|on| on.to_string()),
            Kind::Number => section.integer(key).map(|said| said.value.to_string()),
            Kind::Port => port(section, key),
        };
        flags.extend(value.map(|value| (*flag, value)));
    }
    flags
}

fn port(section: &mut Section<'_, '_>, key: &'static str) -> Option<String> {
    let said = section.integer(key)?;
    if said.value > i64::from(u16::MAX) {
        let message = format!("`{}` must be a port, and is `{}`", section.path(key), said.value);
        section.fault(said.span, &codes::CONFIG_VALUE, message, Some("ports end at 65535".to_owned()));
        return None;
    }
    (said.value > 0).then(|| said.value.to_string())
}

fn name_of(folder: &Path) -> String {
    folder.file_name().map_or_else(|| "app".to_owned(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests;
