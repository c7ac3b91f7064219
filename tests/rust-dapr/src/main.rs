//! The Dapr SDK for Rust against a running sidecar. As `rust` it is an app that subscribes by the SDK's own service and checks
//! every block; the first check that does not hold ends it. As `rust-callee` it is the app that the other one calls.
//!
//! Wants what `mainstay run` sets (APP_ID, APP_PORT, DAPR_GRPC_PORT), RUST_SECRET and the components in `resources`.

mod callee;
mod caller;

use std::time::Duration;

use dapr::client::{Client, TonicClientWithAuth};

type Sdk = Client<TonicClientWithAuth>;
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Longest wait for what comes by itself.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often something is looked at that does not tell.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

#[tokio::main]
async fn main() -> Outcome {
    match std::env::var("APP_ID")?.as_str() {
        callee::APP_ID => callee::serve().await,
        _ => caller::check().await,
    }
}

/// Where the app is to listen.
fn app_address() -> Outcome<std::net::SocketAddr> {
    Ok(format!("127.0.0.1:{}", std::env::var("APP_PORT")?).parse()?)
}

/// A client, once the sidecar takes connections.
async fn connected() -> Outcome<Sdk> {
    let connected = async {
        loop {
            if let Ok(client) = Sdk::new().await {
                return client;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    };
    Ok(tokio::time::timeout(PATIENCE, connected).await?)
}
