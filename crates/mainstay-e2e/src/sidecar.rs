//! `mainstay sidecar` in a folder of its own: its resources, its flags, and conditions to wait for.

use std::path::Path;

use mainstay_testkit::process::{Launch, Server};

/// A state store and a broker inside the process.
pub const STORE_AND_BROKER: &str = "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: orders }
spec: { type: state.in-memory, version: v1, metadata: [] }
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: bus }
spec: { type: pubsub.in-memory, version: v1, metadata: [] }
---
apiVersion: dapr.io/v2alpha1
kind: Subscription
metadata: { name: s }
spec: { pubsubname: bus, topic: paid, routes: { default: /paid } }
";

/// A sidecar of the app `shop` in a folder, with these resources, on free ports, not to be found by other tests' apps.
///
/// # Panics
/// When the resources cannot be written.
#[must_use]
pub fn launch(folder: &Path, resources: &str, words: &[&str]) -> Launch {
    std::fs::create_dir_all(folder.join("resources")).expect("a folder can be made");
    std::fs::write(folder.join("resources/all.yaml"), resources).expect("a file can be written");
    let all = ["sidecar", "--app-id", "shop", "--resources-path", "resources"];
    // The default port of metrics is one for all.
    let quiet = (!words.contains(&"--metrics-port")).then_some("--enable-metrics=false");
    let ports = ["--dapr-http-port", "0", "--dapr-grpc-port", "0"];
    let runtime = folder.join("runtime").display().to_string();
    let launch = Launch::new(folder, &all).variable("MAINSTAY_RUNTIME_FOLDER", &runtime);
    ports.iter().chain(&quiet).chain(words).fold(launch, |launch, word| launch.word(word))
}

/// The same, started, with the app met.
pub async fn start(folder: &Path, resources: &str, words: &[&str]) -> Server {
    let server = launch(folder, resources, words).start().await;
    server.says("dapr initialized. Status: Running.").await;
    server
}
