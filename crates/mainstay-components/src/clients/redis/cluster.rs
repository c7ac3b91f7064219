//! Calls of a cluster whose slots move from node to node. A node that has a key no more says where it is, and has done
//! nothing: such a call, and no other, is made again.

use redis::aio::ConnectionLike as _;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::SingleNodeRoutingInfo;
use redis::{Arg, Cmd, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value};

/// How often a call follows a key.
const MOVES_MAX: usize = 3;

/// Where a key is, if that is why a call failed.
enum Elsewhere {
    /// On another node, for good.
    Moved,
    /// On the node at this address, while its slot is on the way there.
    Asked { host: String, port: u16 },
}

fn elsewhere(error: &RedisError) -> Option<Elsewhere> {
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::Moved) => Some(Elsewhere::Moved),
        ErrorKind::Server(ServerErrorKind::Ask) => {
            let (host, port) = error.redirect_node()?.0.rsplit_once(':')?;
            Some(Elsewhere::Asked { host: host.to_owned(), port: port.parse().ok()? })
        }
        _ => None,
    }
}

/// Makes a call.
pub(super) async fn command(cluster: &mut ClusterConnection, cmd: &Cmd) -> RedisResult<Value> {
    let mut outcome = cluster.req_packed_command(cmd).await;
    for _ in 0..MOVES_MAX {
        let Some(place) = outcome.as_ref().err().and_then(elsewhere) else { break };
        outcome = match place {
            // The client has asked the cluster where its slots are.
            Elsewhere::Moved => cluster.req_packed_command(cmd).await,
            Elsewhere::Asked { host, port } => {
                let mut asking = Pipeline::with_capacity(2);
                asking.cmd("ASKING").add_command(cmd.clone());
                let route = SingleNodeRoutingInfo::ByAddress { host, port };
                let answered = cluster.route_pipeline(asking, 1, 1, route).await;
                answered.and_then(|mut values| match values.pop() {
                    Some(Value::ServerError(error)) => Err(error.into()),
                    value => Ok(value.unwrap_or(Value::Nil)),
                })
            }
        };
    }
    outcome
}

/// Makes several calls of one slot. They are made again only where none of them was made.
pub(super) async fn commands(
    cluster: &mut ClusterConnection,
    pipeline: &Pipeline,
    offset: usize,
    count: usize,
) -> RedisResult<Vec<Value>> {
    let mut outcome = cluster.req_packed_commands(pipeline, offset, count).await;
    for _ in 0..MOVES_MAX {
        let Some(place) = not_made(&outcome) else { break };
        outcome = match place {
            Elsewhere::Moved => {
                // Answers of several calls do not have the client ask where its slots are; that of one does.
                if let Some(key) = key(pipeline) {
                    let _: RedisResult<Value> =
                        cluster.req_packed_command(redis::cmd("EXISTS").arg(key)).await;
                }
                cluster.req_packed_commands(pipeline, offset, count).await
            }
            Elsewhere::Asked { host, port } => {
                let mut asking = Pipeline::with_capacity(2 * pipeline.len());
                for cmd in pipeline.cmd_iter() {
                    asking.cmd("ASKING").add_command(cmd.clone());
                }
                let route = SingleNodeRoutingInfo::ByAddress { host, port };
                let calls = pipeline.len() * 2;
                let answered = cluster.route_pipeline(asking, 0, calls, route).await;
                answered.map(|values| values.into_iter().skip(1).step_by(2).skip(offset).collect())
            }
        };
    }
    outcome
}

/// Where the key of the calls is, if none of them was made.
fn not_made(outcome: &RedisResult<Vec<Value>>) -> Option<Elsewhere> {
    match outcome {
        Err(error) => elsewhere(error),
        Ok(values) => {
            let mut places = values.iter().map(|value| match value {
                Value::ServerError(error) => elsewhere(&error.clone().into()),
                _ => None,
            });
            let first = places.next()??;
            places.all(|place| place.is_some()).then_some(first)
        }
    }
}

/// The key of the first call: what follows its name.
fn key(pipeline: &Pipeline) -> Option<Vec<u8>> {
    match pipeline.cmd_iter().next()?.args_iter().nth(1)? {
        Arg::Simple(key) => Some(key.to_owned()),
        _ => None,
    }
}
