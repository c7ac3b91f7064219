//! Sizes that platforms have: the least of them that gives what was asked for.

/// Bytes of a MiB.
pub(super) const MIB: u64 = 1 << 20;

/// Memory in whole MiB, rounded up.
fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(MIB)
}

/// Cloud Run: whole cores, since fewer take one request at a time, and MiB. Each number of cores has its range of
/// memory.
pub(super) fn cloud_run(cpu_milli: u32, bytes: u64) -> Option<(u32, u64)> {
    const SIZES: [(u32, u64, u64); 5] =
        [(1, 512, 4_096), (2, 512, 8_192), (4, 2_048, 16_384), (6, 4_096, 24_576), (8, 4_096, 32_768)];
    let fits = |(cores, _, most): &(u32, u64, u64)| cores * 1_000 >= cpu_milli && mib(bytes) <= *most;
    SIZES.into_iter().find(fits).map(|(cores, least, _)| (cores, mib(bytes).max(least)))
}

/// Fargate: processor units and MiB. Each number of units has its range of memory, in steps.
pub(super) fn fargate(cpu_milli: u32, bytes: u64) -> Option<(u32, u64)> {
    const SIZES: [(u32, u64, u64, u64); 7] = [
        (256, 512, 2_048, 512),
        (512, 1_024, 4_096, 1_024),
        (1_024, 2_048, 8_192, 1_024),
        (2_048, 4_096, 16_384, 1_024),
        (4_096, 8_192, 30_720, 1_024),
        (8_192, 16_384, 61_440, 4_096),
        (16_384, 32_768, 122_880, 8_192),
    ];
    SIZES.into_iter().find_map(|(units, least, most, step)| {
        // The smallest task has 512, 1024 and 2048, and none between the last two.
        let wanted = mib(bytes).max(least).div_ceil(step) * step;
        let wanted = if units == 256 && wanted > 1_024 { wanted.max(most) } else { wanted };
        (units * 1_000 / 1_024 >= cpu_milli && wanted <= most).then_some((units, wanted))
    })
}

/// App Runner: processor units and MiB, of a short list.
pub(super) fn app_runner(cpu_milli: u32, bytes: u64) -> Option<(u32, u64)> {
    const SIZES: [(u32, u64); 11] = [
        (256, 512),
        (256, 1_024),
        (512, 1_024),
        (1_024, 2_048),
        (1_024, 3_072),
        (1_024, 4_096),
        (2_048, 4_096),
        (2_048, 6_144),
        (4_096, 8_192),
        (4_096, 10_240),
        (4_096, 12_288),
    ];
    SIZES.into_iter().find(|(units, most)| units * 1_000 / 1_024 >= cpu_milli && mib(bytes) <= *most)
}

/// Container Apps: quarters of a core, with half a GiB each, at most 16 of them.
pub(super) fn container_apps(cpu_milli: u32, bytes: u64) -> Option<u32> {
    const QUARTERS_MAX: u32 = 16;
    let memory = u32::try_from(bytes.div_ceil(512 * MIB)).unwrap_or(u32::MAX);
    let quarters = cpu_milli.div_ceil(250).max(memory).max(1);
    (quarters <= QUARTERS_MAX).then_some(quarters)
}

/// A machine of DigitalOcean's: its name, and what it leaves to pods, in thousandths of a core and MiB.
const MACHINES: [(&str, u32, u64); 4] = [
    ("s-2vcpu-4gb", 1_900, 2_560),
    ("s-4vcpu-8gb", 3_900, 6_144),
    ("s-8vcpu-16gb", 7_900, 13_312),
    ("so-8vcpu-64gb", 7_900, 55_296),
];

/// DigitalOcean: the least machine that holds a replica, and how many it holds.
pub(super) fn machine(cpu_milli: u32, bytes: u64) -> Option<(&'static str, u32)> {
    MACHINES.into_iter().find_map(|(name, cpu, memory)| {
        let by_memory = u32::try_from(memory / mib(bytes).max(1)).unwrap_or(u32::MAX);
        let held = (cpu / cpu_milli.max(1)).min(by_memory);
        (held > 0).then_some((name, held))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn cloud_run_has_whole_cores_and_half_a_gibibyte_at_least() {
        for (asked, given) in [
            ((250, 256 * MIB), Some((1, 512))),
            ((1_000, 5 * GIB), Some((2, 5_120))),
            ((2_500, GIB), Some((4, 2_048))),
            ((1_000, 512 * MIB + 1), Some((1, 513))),
            ((8_000, 32 * GIB), Some((8, 32_768))),
            ((8_001, GIB), None),
            ((1_000, 33 * GIB), None),
        ] {
            assert_eq!(cloud_run(asked.0, asked.1), given, "{asked:?}");
        }
    }

    #[test]
    fn fargate_has_pairs_of_units_and_memory() {
        for (asked, given) in [
            ((250, 256 * MIB), Some((256, 512))),
            ((250, 513 * MIB), Some((256, 1_024))),
            ((250, 1_025 * MIB), Some((256, 2_048))),
            ((250, 3 * GIB), Some((512, 3_072))),
            ((251, 512 * MIB), Some((512, 1_024))),
            ((1_000, 2 * GIB), Some((1_024, 2_048))),
            ((1_000, 9 * GIB), Some((2_048, 9_216))),
            ((8_000, 17 * GIB), Some((8_192, 20_480))),
            ((16_000, 120 * GIB), Some((16_384, 122_880))),
            ((16_001, GIB), None),
            ((250, 121 * GIB), None),
        ] {
            assert_eq!(fargate(asked.0, asked.1), given, "{asked:?}");
        }
    }

    #[test]
    fn app_runner_has_a_short_list() {
        for (asked, given) in [
            ((250, 256 * MIB), Some((256, 512))),
            ((500, 512 * MIB), Some((512, 1_024))),
            ((1_000, 2 * GIB), Some((1_024, 2_048))),
            ((4_000, 12 * GIB), Some((4_096, 12_288))),
            ((4_000, 13 * GIB), None),
        ] {
            assert_eq!(app_runner(asked.0, asked.1), given, "{asked:?}");
        }
    }

    #[test]
    fn container_apps_have_quarters_of_a_core_with_half_a_gibibyte() {
        for (asked, given) in [
            ((250, 256 * MIB), Some(1)),
            ((251, 256 * MIB), Some(2)),
            ((1_000, 2 * GIB), Some(4)),
            ((250, 2 * GIB), Some(4)),
            ((4_000, 8 * GIB), Some(16)),
            ((4_001, GIB), None),
            ((250, 9 * GIB), None),
        ] {
            assert_eq!(container_apps(asked.0, asked.1), given, "{asked:?}");
        }
    }

    #[test]
    fn a_machine_holds_as_many_replicas_as_fit() {
        for (asked, given) in [
            ((250, 256 * MIB), Some(("s-2vcpu-4gb", 7))),
            ((1_900, GIB), Some(("s-2vcpu-4gb", 1))),
            ((250, 3 * GIB), Some(("s-4vcpu-8gb", 2))),
            ((250, 32 * GIB), Some(("so-8vcpu-64gb", 1))),
            ((8_000, GIB), None),
        ] {
            assert_eq!(machine(asked.0, asked.1), given, "{asked:?}");
        }
    }
}
