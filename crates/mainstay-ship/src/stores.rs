//! Where components keep what they hold, as far as their types tell: `state.redis` is the backend `redis` of the building
//! block `state`.

/// Backends that keep it in files of the service, in its data folder.
const IN_FILES: [&str; 2] = ["embedded", "sqlite"];
/// The backend that keeps it in the process.
const IN_PROCESS: &str = "in-memory";
/// Building blocks whose backends keep something.
const KEPT: [&str; 4] = ["state", "pubsub", "lock", "configuration"];

/// The backend of a component's type.
pub(crate) fn backend(kind: &str) -> &str {
    kind.split_once('.').map_or("", |(_, backend)| backend)
}

/// Whether components of a type keep something in files of the service, which a replica without a volume takes with it.
pub(crate) fn in_files(kind: &str) -> bool {
    keeps(kind) && IN_FILES.contains(&backend(kind))
}

/// Whether components of a type keep something inside a replica, for that replica alone.
pub(crate) fn in_replica(kind: &str) -> bool {
    in_files(kind) || keeps(kind) && backend(kind) == IN_PROCESS
}

fn keeps(kind: &str) -> bool {
    kind.split_once('.').is_some_and(|(block, _)| KEPT.contains(&block))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_tells_where_it_keeps_what_it_holds() {
        for (kind, files, replica) in [
            ("state.embedded", true, true),
            ("state.sqlite", true, true),
            ("lock.embedded", true, true),
            ("pubsub.in-memory", false, true),
            ("state.redis", false, false),
            ("secretstores.local.file", false, false),
            ("conversation.mainstay", false, false),
            ("state", false, false),
        ] {
            assert_eq!((in_files(kind), in_replica(kind)), (files, replica), "{kind}");
        }
    }
}
