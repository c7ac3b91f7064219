//! Descriptors: as many as the system grants, and no more of them for connections than leaves enough for the rest.

use rustix::process::{Resource, getrlimit, setrlimit};

/// A thousand streams need more descriptors than the usual soft limit of 1,024; the hard limit is ours to use. Gives
/// how many may be open; `None` where there is no bound.
pub(super) fn raise() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    let soft = limit.current;
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "cannot raise the descriptor limit");
        return soft;
    }
    limit.current
}

/// Connections to serve at once: `asked` for, but at most half of the descriptors. The other half is for what the
/// connections lead to: calls of models, tools and apps, and the record of runs.
pub(super) fn connections_max(asked: u32, descriptors: Option<u64>) -> u32 {
    let half = descriptors.map_or(u32::MAX, |all| u32::try_from(all / 2).unwrap_or(u32::MAX).max(1));
    if half < asked {
        tracing::warn!(
            descriptors,
            asked,
            served = half,
            "`server.connections_max` is more than half of the \
            descriptors that this process may open (ulimit -n), so fewer connections are served at once"
        );
    }
    asked.min(half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_half_of_the_descriptors_to_the_rest() {
        for (asked, descriptors, expect) in [
            (10_000, None, 10_000),
            (10_000, Some(1_048_576), 10_000),
            (10_000, Some(1_024), 512),
            (500, Some(1_024), 500),
            (10_000, Some(1), 1),
            (u32::MAX, Some(u64::MAX), u32::MAX),
        ] {
            assert_eq!(connections_max(asked, descriptors), expect, "{asked} of {descriptors:?}");
        }
    }

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one() {
        let granted = raise();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!((limit.current, granted), (limit.maximum, limit.current));
    }
}
