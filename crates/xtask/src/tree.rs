//! What a process and all its descendants use, read from `/proc`: processor time and resident memory.

use std::collections::HashMap;
use std::time::Duration;

/// The tree whose root is process `root`, as it is now.
pub(crate) fn pids(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for pid in all_pids() {
        if let Some(stat) = Stat::read(pid) {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let mut tree = vec![root];
    let mut at = 0;
    while let Some(pid) = tree.get(at) {
        tree.extend(children.get(pid).into_iter().flatten());
        at += 1;
    }
    tree
}

/// Processor time of the tree so far: user and system, with that of descendants that have ended.
pub(crate) fn cpu(root: u32) -> Duration {
    let ticks: u64 = pids(root).into_iter().filter_map(Stat::read).map(|stat| stat.ticks).sum();
    let per_second = rustix::param::clock_ticks_per_second();
    Duration::from_secs_f64(ticks as f64 / per_second as f64)
}

/// Resident memory of the tree, bytes.
pub(crate) fn resident(root: u32) -> u64 {
    pids(root).into_iter().map(|pid| status_bytes(pid, "VmRSS:")).sum()
}

/// The most resident memory that the tree's processes have had, bytes.
pub(crate) fn resident_peak(root: u32) -> u64 {
    pids(root).into_iter().map(|pid| status_bytes(pid, "VmHWM:")).sum()
}

fn all_pids() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

struct Stat {
    parent: u32,
    ticks: u64,
}

impl Stat {
    /// `None` when the process is gone.
    fn read(pid: u32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(line: &str) -> Option<Self> {
        // The second field is the program's name in brackets and may hold anything, so count from the last bracket.
        let fields: Vec<&str> = line.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let ticks = fields.get(11..15)?.iter().map(|field| field.parse::<u64>().ok());
        Some(Self { parent: fields.get(1)?.parse().ok()?, ticks: ticks.sum::<Option<u64>>()? })
    }
}

fn status_bytes(pid: u32, key: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kib: Option<u64> = line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_brackets_and_spaces_is_no_obstacle() {
        let line = "7 (a) b (c) S 3 7 7 0 -1 4194560 1 0 0 0 10 20 30 40 20 0 1 0 1 1 1";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.parent, stat.ticks), (3, 100));
    }

    #[test]
    fn children_count_to_their_parent() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let tree = pids(std::process::id());
        assert!(tree.contains(&child.id()));
        assert!(resident(child.id()) > 0);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
