//! What is to be run: one app as the command line says it, or those of a run file. Starts nothing.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use mainstay_config::resources::{Destination, RUN_FILE_NAME, RunApp, RunSource, run_file};
use mainstay_config::{Disk, Files as _};
use mainstay_core::{Error, codes};

use crate::sidecar::running::Ports;
use crate::sidecar::{self, flags};
use crate::{environment, exit, terminal};
use flags::Options;

/// Bytes of a run file that comes from standard input.
const INPUT_BYTES_MAX: u64 = 1024 * 1024;
/// Where an app listens, if nothing says it.
const APP_ADDRESS: &str = "127.0.0.1";

/// Everything that is to be run.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The apps; at least one.
    pub(crate) apps: Vec<AppPlan>,
    /// The run file's absolute path; `None` for the command line's own app.
    pub(crate) file: Option<String>,
    /// Where the stores inside the process keep what is theirs.
    pub(crate) data: PathBuf,
    pub(crate) log_level: Option<String>,
    pub(crate) log_json: bool,
}

/// An app and its sidecar.
#[derive(Debug)]
pub(crate) struct AppPlan {
    pub(crate) options: Options,
    /// 0 for an app that does not listen.
    pub(crate) app_port: u16,
    app_address: String,
    app_protocol: String,
    pub(crate) command: Vec<String>,
    pub(crate) folder: PathBuf,
    env: BTreeMap<String, String>,
    pub(crate) app_log: Destination,
    pub(crate) sidecar_log: Destination,
}

impl AppPlan {
    /// An app whose sidecar has these flags. Ports that are not given are free ones.
    fn of(matches: &ArgMatches, command: Vec<String>, folder: PathBuf) -> Result<Self, Error> {
        let mut options = Options::of(matches)?;
        let text = |name: &str| matches.get_one::<String>(name).filter(|text| !text.is_empty());
        if text("dapr-http-port").is_none() {
            options.http_port = 0;
        }
        if text("dapr-grpc-port").is_none() {
            options.grpc_port = 0;
        }
        if let Some(metrics) = options.listening.metrics.as_mut().filter(|metrics| !metrics.is_asked) {
            metrics.port = 0;
        }
        options.built_in = true;
        let or = |name: &str, default: &str| text(name).map_or_else(|| default.to_owned(), Clone::clone);
        Ok(Self {
            app_port: text("app-port").and_then(|port| port.parse().ok()).unwrap_or_default(),
            app_address: or("app-channel-address", APP_ADDRESS),
            app_protocol: or("app-protocol", "http"),
            options,
            command,
            folder,
            env: BTreeMap::new(),
            app_log: Destination::Console,
            sidecar_log: Destination::Console,
        })
    }

    /// The variables that the app is given, its own last.
    pub(super) fn environment(&self, ports: Ports) -> Vec<(String, String)> {
        let mut env = vec![
            ("APP_ID", self.options.app_id.clone()),
            ("APP_PROTOCOL", self.app_protocol.clone()),
            ("APP_CHANNEL_ADDRESS", self.app_address.clone()),
            ("DAPR_HTTP_PORT", ports.http.to_string()),
            ("DAPR_GRPC_PORT", ports.grpc.to_string()),
        ];
        if self.app_port > 0 {
            env.push(("APP_PORT", self.app_port.to_string()));
        }
        if ports.metrics > 0 {
            env.push(("DAPR_METRICS_PORT", ports.metrics.to_string()));
        }
        let env = env.into_iter().map(|(name, value)| (name.to_owned(), value));
        env.chain(self.env.clone()).collect()
    }
}

impl Plan {
    /// One app, as the command line says it.
    pub(crate) fn of_app(matches: &ArgMatches, command: Vec<String>) -> anyhow::Result<Self> {
        let folder = std::env::current_dir()?;
        let mut app = AppPlan::of(matches, command, folder.clone())?;
        if app.options.app_id.is_empty() {
            app.options.app_id = id_of(&folder);
        }
        Ok(Self {
            file: None,
            data: sidecar::data_folder(&app.options.app_id),
            log_level: app.options.log_level.clone(),
            log_json: app.options.log_json,
            apps: vec![app],
        })
    }

    /// The apps of a run file: its path, a folder that has one, or `-` for standard input. Errors: it cannot be read;
    /// `Explained` for its faults.
    pub(crate) fn of_file(given: &str, log_json: bool) -> anyhow::Result<Self> {
        let (path, text) = read(given)?;
        let folder = std::path::absolute(&path)?.parent().unwrap_or(Path::new("/")).to_path_buf();
        let shown = path.display().to_string();
        let source = RunSource { name: &shown, text: &text, folder: &folder, exists: &|path| path.exists() };
        let read = run_file(&source).map_err(|faults| {
            terminal::complain(&faults.render(terminal::coloured(&std::io::stderr())));
            exit::Explained(exit::CONFIGURATION)
        })?;
        if !read.warnings.is_empty() {
            terminal::complain(&read.warnings.render(terminal::coloured(&std::io::stderr())));
        }
        let apps: Vec<_> = read.apps.into_iter().map(app_of).collect::<anyhow::Result<_>>()?;
        Ok(Self {
            file: Some(folder.join(path.file_name().unwrap_or_default()).display().to_string()),
            data: environment::data_folder().unwrap_or_else(|| folder.join(".mainstay")).join("run"),
            log_level: most_talkative(&apps),
            log_json,
            apps,
        })
    }
}

/// An app of a run file.
fn app_of(app: RunApp) -> anyhow::Result<AppPlan> {
    let words = app.flags.iter().map(|(flag, value)| format!("--{flag}={value}"));
    let words = std::iter::once("app".to_owned()).chain(words);
    // Flags that are not what they must be are told as those of the command line.
    let matches = clap::Command::new("app").args(flags::arguments()).try_get_matches_from(words)?;
    let mut plan = AppPlan::of(&matches, app.command, app.folder.clone())
        .map_err(|error| anyhow::Error::from(error).context(format!("read the app `{}`", app.id)))?;
    plan.options.app_id = app.id;
    plan.options.folder = app.folder;
    plan.env = app.env;
    plan.app_log = app.app_log;
    plan.sidecar_log = app.sidecar_log;
    Ok(plan)
}

/// The level that lets through what every app's level does.
fn most_talkative(apps: &[AppPlan]) -> Option<String> {
    const LEVELS: [&str; 5] = ["debug", "info", "warn", "error", "fatal"];
    let levels: Vec<&str> =
        apps.iter().map(|app| app.options.log_level.as_deref().unwrap_or("info")).collect();
    LEVELS.into_iter().find(|level| levels.contains(level)).map(str::to_owned)
}

/// The path of a run file and its text.
fn read(given: &str) -> anyhow::Result<(PathBuf, String)> {
    if given == "-" {
        let mut text = String::new();
        std::io::stdin().take(INPUT_BYTES_MAX).read_to_string(&mut text)?;
        return Ok((PathBuf::from("stdin"), text));
    }
    let path = file_at(given);
    let text = Disk.read(&path).map_err(|error| {
        let message = format!("cannot read `{}`: {error}", path.display());
        let help = format!("give a run file, or a folder that has a `{RUN_FILE_NAME}`");
        Error::new(&codes::CONFIG_FILE, message).with_help(help)
    })?;
    Ok((path, text))
}

/// The run file that a path names.
pub(crate) fn file_at(given: &str) -> PathBuf {
    let path = PathBuf::from(given);
    if path.is_dir() { path.join(RUN_FILE_NAME) } else { path }
}

/// An id after a folder's name.
fn id_of(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let fits = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' };
    let id: String = name.chars().map(fits).collect();
    let id = id.trim_matches('-');
    if id.is_empty() { "app".to_owned() } else { id.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(words: &[&str]) -> AppPlan {
        let words = std::iter::once("run").chain(words.iter().copied());
        let matches = clap::Command::new("run").args(flags::arguments()).try_get_matches_from(words).unwrap();
        AppPlan::of(&matches, Vec::new(), PathBuf::from(".")).unwrap()
    }

    #[test]
    fn an_app_is_told_its_ports_and_those_of_its_sidecar() {
        let mut app = plan(&["--app-id", "shop", "--app-port=8000"]);
        app.env.insert("APP_ID".to_owned(), "mine".to_owned());
        let env = app.environment(Ports { http: 3501, grpc: 50002, metrics: 9091 });
        let value =
            |name: &str| env.iter().rfind(|(given, _)| given == name).map(|(_, value)| value.as_str());
        assert_eq!((value("DAPR_HTTP_PORT"), value("DAPR_GRPC_PORT")), (Some("3501"), Some("50002")));
        assert_eq!((value("APP_PORT"), value("APP_PROTOCOL")), (Some("8000"), Some("http")));
        assert_eq!((value("APP_ID"), value("APP_CHANNEL_ADDRESS")), (Some("mine"), Some("127.0.0.1")));
        assert_eq!(value("DAPR_METRICS_PORT"), Some("9091"));
        assert!(
            !plan(&[])
                .environment(Ports { http: 1, grpc: 2, metrics: 0 })
                .iter()
                .any(|(name, _)| name == "APP_PORT")
        );
    }

    #[test]
    fn ports_that_are_not_given_are_free_ones() {
        let app = plan(&["--dapr-http-port", "3600"]);
        assert_eq!((app.options.http_port, app.options.grpc_port), (3600, 0));
    }

    #[test]
    fn a_folders_name_makes_an_id() {
        assert_eq!(id_of(Path::new("/x/My App_2")), "my-app-2");
        assert_eq!(id_of(Path::new("/")), "app");
    }
}
