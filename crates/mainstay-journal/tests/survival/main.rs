//! What the journal survives: kills, damage, failing disks, power cuts, and its own cleaning. Everything acknowledged
//! must be there afterwards, or the loss must be reported; never neither.
//!
//! `MAINSTAY_KILL_POINTS` and `MAINSTAY_DAMAGE_POINTS` set how many random points are tried (25 and 300).

#![expect(clippy::print_stdout, reason = "the counts belong to the test's report")]
#![expect(clippy::unwrap_used, reason = "the whole binary is a test; clippy only knows `#[test]` functions")]

mod cleaning;
mod damage;
mod disk;
mod fixture;
mod former;
mod kill;
mod model;
mod power;
mod pubsub;
mod starved;
mod state;

use libtest_mimic::Arguments;

fn main() {
    if let Some(folder) = std::env::var_os(kill::CHILD_FOLDER) {
        return kill::child(std::path::Path::new(&folder));
    }
    if let Some(folder) = std::env::var_os(starved::CHILD_FOLDER) {
        return starved::child(std::path::Path::new(&folder));
    }
    if let Some(folder) = std::env::var_os(state::CHILD_FOLDER) {
        return state::child(std::path::Path::new(&folder));
    }
    if let Some(folder) = std::env::var_os(pubsub::CHILD_FOLDER) {
        return pubsub::child(std::path::Path::new(&folder));
    }
    keep_quiet_of_redb();
    let trials = [
        cleaning::trials(),
        damage::trials(),
        disk::trials(),
        former::trials(),
        kill::trials(),
        model::trials(),
        power::trials(),
        pubsub::trials(),
        starved::trials(),
        state::trials(),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials.into_iter().flatten().collect()).exit();
}

/// redb panics at a page that contradicts itself, which the journal takes as an answer. Its reports, one for each
/// damaged file, would hide what a failed test says.
fn keep_quiet_of_redb() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.location().is_none_or(|at| !at.file().contains("/redb-")) {
            report(panic);
        }
    }));
}
