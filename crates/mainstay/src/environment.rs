//! What the environment says: paths and overrides. The only file of the binary that reads environment variables; flags
//! come before them, and both before the spec.

use std::path::PathBuf;
use std::sync::OnceLock;

use mainstay_core::Redacted;

/// Where models are kept.
pub(crate) fn models_folder() -> PathBuf {
    if let Some(folder) = path("MAINSTAY_MODELS_FOLDER") {
        return folder;
    }
    let data = path("XDG_DATA_HOME").or_else(|| path("HOME").map(|home| home.join(".local/share")));
    data.unwrap_or_else(|| PathBuf::from(".")).join("mainstay").join("models")
}

/// Base URL of the package index that models are pulled from.
pub(crate) fn package_index() -> Option<String> {
    text("MAINSTAY_PACKAGE_INDEX")
}

/// Overrides the listen address of the spec.
pub(crate) fn listen() -> Option<String> {
    text("MAINSTAY_LISTEN")
}

/// Overrides the data folder of the spec.
pub(crate) fn data_folder() -> Option<PathBuf> {
    path("MAINSTAY_DATA_FOLDER")
}

/// The folder in which programs on this host find each other, for this user alone.
pub(crate) fn runtime_folder() -> PathBuf {
    if let Some(folder) = path("MAINSTAY_RUNTIME_FOLDER") {
        return folder;
    }
    match path("XDG_RUNTIME_DIR") {
        Some(folder) => folder.join("mainstay"),
        None => std::env::temp_dir().join(format!("mainstay-{}", rustix::process::getuid().as_raw())),
    }
}

/// Where files are that are gone soon.
pub(crate) fn temporary_folder() -> PathBuf {
    std::env::temp_dir()
}

/// The folder of Docker's configuration, which registries' credentials are in.
pub(crate) fn docker_config() -> Option<PathBuf> {
    path("DOCKER_CONFIG").or_else(|| path("HOME").map(|home| home.join(".docker")))
}

/// The log filter, e.g. `info,mainstay_agents=debug`.
pub(crate) fn log_filter() -> Option<String> {
    text("MAINSTAY_LOG")
}

/// Whether colours are unwanted (<https://no-color.org>): set to anything but nothing.
pub(crate) fn no_color() -> bool {
    text("NO_COLOR").is_some()
}

/// The key that client commands show to a server.
pub(crate) fn api_key() -> Option<String> {
    text("MAINSTAY_API_KEY")
}

/// The key of another caller, from whom the first one's runs are to be hidden.
pub(crate) fn other_api_key() -> Option<String> {
    text("MAINSTAY_OTHER_API_KEY")
}

/// Overrides the port of the building blocks' HTTP API, where it is a port.
pub(crate) fn dapr_http_port() -> Option<u16> {
    text("DAPR_HTTP_PORT")?.parse().ok()
}

/// Overrides the port of the building blocks' gRPC API, where it is a port.
pub(crate) fn dapr_grpc_port() -> Option<u16> {
    text("DAPR_GRPC_PORT")?.parse().ok()
}

/// Whether the building blocks are left to a runtime of others that stands beside the service.
pub(crate) fn blocks_are_elsewhere() -> bool {
    text("MAINSTAY_SIDECAR").is_some_and(|word| word == "off")
}

/// What callers of the sidecar's APIs must show.
pub(crate) fn dapr_api_token() -> Option<Redacted<String>> {
    text("DAPR_API_TOKEN").map(Redacted::new)
}

/// What the app wants to see in calls of the sidecar.
pub(crate) fn app_api_token() -> Option<Redacted<String>> {
    text("APP_API_TOKEN").map(Redacted::new)
}

/// The namespace of the app beside us.
pub(crate) fn namespace() -> Option<String> {
    text("NAMESPACE")
}

/// The name of this replica's pod.
pub(crate) fn pod_name() -> Option<&'static str> {
    static NAME: OnceLock<Option<String>> = OnceLock::new();
    NAME.get_or_init(|| text("POD_NAME")).as_deref()
}

/// Where the sockets of pluggable components are.
pub(crate) fn sockets_folder() -> PathBuf {
    path("DAPR_COMPONENTS_SOCKETS_FOLDER")
        .unwrap_or_else(|| std::env::temp_dir().join("dapr-components-sockets"))
}

/// A variable that a resource file names. Which ones it may name, the reading of the file has decided.
pub(crate) fn variable(name: &str) -> Option<String> {
    text(name)
}

fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
