//! Components that run in processes of their own and are spoken to through Unix sockets (Dapr's pluggable components,
//! v1): what there is, and how one of them is opened. Each socket is asked for its services; the socket's name is that
//! of its types.
//!
//! ```text
//! memo.sock ── StateStore, PubSub ──► state.memo, pubsub.memo
//! ```
//! <https://docs.dapr.io/developing-applications/develop-components/pluggable-components/>

mod bindings;
mod pubsub;
mod secret_stores;
mod socket;
mod state;

use std::collections::BTreeMap;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::binding::Binding;
use mainstay_core::pubsub::PubSub;
use mainstay_core::secret_store::SecretStore;
use mainstay_core::state::StateStore;
use mainstay_core::{Error, Result, codes};
use mainstay_proto::components::v1 as wire;
use tonic::{Code, Status};

use crate::def::Opening;
use socket::Socket;

/// Sockets of a folder that are asked.
const SOCKETS_MAX: usize = 256;
/// How long a socket may take to say what it serves.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// A type of component that a socket serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugged {
    /// Its name, e.g. `state.memo`.
    pub kind: String,
    /// The block.
    pub block: Block,
    socket: PathBuf,
    /// The services that the socket has, of all blocks.
    services: Vec<String>,
}

/// The block that a type is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// State stores.
    State,
    /// Brokers.
    PubSub,
    /// Bindings.
    Bindings,
    /// Secret stores.
    SecretStores,
}

/// What is in a folder.
#[derive(Debug, Default)]
pub struct Found {
    /// Types, in the order of the sockets' names.
    pub types: Vec<Plugged>,
    /// Sockets that do not say what they serve, and why.
    pub silent: Vec<(PathBuf, Error)>,
}

const STATE: &str = "dapr.proto.components.v1.StateStore";
const TRANSACTIONAL: &str = "dapr.proto.components.v1.TransactionalStateStore";
const BOUNDED: &str = "dapr.proto.components.v1.TransactionalStoreMultiMaxSize";
const PUBSUB: &str = "dapr.proto.components.v1.PubSub";
const INPUT: &str = "dapr.proto.components.v1.InputBinding";
const OUTPUT: &str = "dapr.proto.components.v1.OutputBinding";
const SECRETS: &str = "dapr.proto.components.v1.SecretStore";

/// What makes a socket serve a type of a block.
const BLOCKS: [(Block, &str, &[&str]); 4] = [
    (Block::State, "state", &[STATE]),
    (Block::PubSub, "pubsub", &[PUBSUB]),
    (Block::Bindings, "bindings", &[INPUT, OUTPUT]),
    (Block::SecretStores, "secretstores", &[SECRETS]),
];

/// Asks the sockets of a folder what they serve. A folder that is not there has none. Errors: `CONFIG_FILE` for one
/// that cannot be read, or has more than 256 sockets.
pub async fn discover(folder: &Path) -> Result<Found> {
    let mut found = Found::default();
    for path in sockets(folder)? {
        let asked = tokio::time::timeout(ASK_TIMEOUT, socket::services(&path)).await;
        let asked = asked.unwrap_or_else(|_| {
            Err(Error::new(&codes::COMPONENT_UNAVAILABLE, "ask what it serves: it did not answer in time"))
        });
        match asked {
            Ok(services) => found.types.extend(types(&path, &services)),
            Err(error) => found.silent.push((path, error)),
        }
    }
    Ok(found)
}

fn sockets(folder: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = |why: String| {
        let message = format!("cannot read the folder of sockets `{}`: {why}", folder.display());
        Error::new(&codes::CONFIG_FILE, message)
    };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error.to_string())),
    };
    let mut sockets = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(error.to_string()))?;
        // Followed: a link to a socket is one.
        if std::fs::metadata(entry.path()).is_ok_and(|meta| meta.file_type().is_socket()) {
            sockets.push(entry.path());
        }
    }
    if sockets.len() > SOCKETS_MAX {
        return Err(unreadable(format!("it has more than {SOCKETS_MAX} sockets")));
    }
    sockets.sort();
    Ok(sockets)
}

fn types(path: &Path, services: &[String]) -> Vec<Plugged> {
    let Some(name) = path.file_stem().and_then(|name| name.to_str()) else { return Vec::new() };
    let serves = |wanted: &[&str]| services.iter().any(|service| wanted.contains(&service.as_str()));
    BLOCKS
        .iter()
        .filter(|(_, _, wanted)| serves(wanted))
        .map(|(block, prefix, _)| Plugged {
            kind: format!("{prefix}.{name}"),
            block: *block,
            socket: path.to_owned(),
            services: services.to_vec(),
        })
        .collect()
}

impl Plugged {
    fn serves(&self, service: &str) -> bool {
        self.services.iter().any(|own| own == service)
    }

    fn connect(&self, opening: &Opening<'_>) -> Result<Socket> {
        Socket::new(&self.socket, opening.name)
    }

    /// Opens a state store. Errors: those of the port.
    pub async fn state_store(self, opening: Opening<'_>) -> Result<Arc<dyn StateStore>> {
        let store = state::Store::open(self.connect(&opening)?, &self, properties(&opening)).await?;
        Ok(Arc::new(store))
    }

    /// Opens a broker. Errors: those of the port.
    pub async fn pubsub(self, opening: Opening<'_>) -> Result<Arc<dyn PubSub>> {
        let mut properties = properties(&opening);
        if !opening.app_id.is_empty() {
            properties.entry("consumerID".to_owned()).or_insert_with(|| opening.app_id.to_owned());
        }
        let broker = pubsub::Broker::open(self.connect(&opening)?, opening.name, properties).await?;
        Ok(Arc::new(broker))
    }

    /// Opens a binding. Errors: those of the port.
    pub async fn binding(self, opening: Opening<'_>) -> Result<Arc<dyn Binding>> {
        let binding = bindings::Plug::open(self.connect(&opening)?, &self, properties(&opening)).await?;
        Ok(Arc::new(binding))
    }

    /// Opens a secret store. Errors: those of the port.
    pub async fn secret_store(self, opening: Opening<'_>) -> Result<Arc<dyn SecretStore>> {
        let store = secret_stores::Store::open(self.connect(&opening)?, properties(&opening)).await?;
        Ok(Arc::new(store))
    }
}

fn properties(opening: &Opening<'_>) -> BTreeMap<String, String> {
    let known =
        opening.settings.iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
    known.collect()
}

fn metadata(properties: BTreeMap<String, String>) -> Option<wire::MetadataRequest> {
    Some(wire::MetadataRequest { properties })
}

/// What a status means where the port has a code of its own for a side that cannot be reached.
fn failed(status: &Status, unavailable: &'static mainstay_core::Code) -> Error {
    let said = |what: &str| format!("call the pluggable component: {what}");
    let failure = match status.code() {
        Code::InvalidArgument => Error::new(&codes::INVALID_FIELD, said(status.message())),
        Code::Unimplemented => Error::new(&codes::UNSUPPORTED, said("it cannot do this")),
        Code::DeadlineExceeded | Code::Cancelled => {
            Error::new(&codes::DEADLINE_EXCEEDED, said("it did not answer in time"))
        }
        Code::Unavailable => Error::new(unavailable, said("it cannot be reached, or not what is behind it")),
        _ => Error::new(unavailable, said("it failed")),
    };
    failure.with_internal(format!("{:?}: {}", status.code(), status.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sockets_name_and_services_make_its_types() {
        let services =
            [STATE, TRANSACTIONAL, OUTPUT, "grpc.reflection.v1.ServerReflection"].map(str::to_owned);
        let found = types(Path::new("/sockets/memo.v2.sock"), &services);
        let kinds: Vec<_> = found.iter().map(|plugged| plugged.kind.as_str()).collect();
        assert_eq!(kinds, ["state.memo.v2", "bindings.memo.v2"]);
    }

    #[tokio::test]
    async fn what_is_no_socket_is_passed_over_and_one_that_is_dead_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("readme.txt"), "x").unwrap();
        std::fs::create_dir(folder.path().join("more")).unwrap();
        drop(std::os::unix::net::UnixListener::bind(folder.path().join("dead.sock")).unwrap());
        let found = discover(folder.path()).await.unwrap();
        assert_eq!((found.types.len(), found.silent.len()), (0, 1));
        assert!(found.silent[0].0.ends_with("dead.sock"));
        assert!(discover(&folder.path().join("nowhere")).await.unwrap().silent.is_empty());
    }
}
