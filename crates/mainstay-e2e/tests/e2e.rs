//! ★ The end-to-end tests, one program: to add a room, a file in `e2e/` and a line here. They start the real binary on
//! port 0 and speak the wire alone; what they share is in this package's library.

#[path = "e2e/apps.rs"]
mod apps;
#[path = "e2e/bindings.rs"]
mod bindings;
#[path = "e2e/blocks.rs"]
mod blocks;
#[path = "e2e/checking.rs"]
mod checking;
#[path = "e2e/company.rs"]
mod company;
#[path = "e2e/conversation.rs"]
mod conversation;
#[path = "e2e/door.rs"]
mod door;
#[path = "e2e/endings.rs"]
mod endings;
#[path = "e2e/flags.rs"]
mod flags;
#[path = "e2e/forwarding.rs"]
mod forwarding;
#[path = "e2e/identities.rs"]
mod identities;
#[path = "e2e/live.rs"]
mod live;
#[path = "e2e/messages.rs"]
mod messages;
#[path = "e2e/origins.rs"]
mod origins;
#[path = "e2e/outbox.rs"]
mod outbox;
#[path = "e2e/policies.rs"]
mod policies;
#[path = "e2e/production.rs"]
mod production;
#[path = "e2e/protocols.rs"]
mod protocols;
#[path = "e2e/readers.rs"]
mod readers;
#[path = "e2e/refusals.rs"]
mod refusals;
#[path = "e2e/reloading.rs"]
mod reloading;
#[path = "e2e/resources.rs"]
mod resources;
#[path = "e2e/rules.rs"]
mod rules;
#[path = "e2e/running.rs"]
mod running;
#[path = "e2e/runs.rs"]
mod runs;
#[path = "e2e/serving.rs"]
mod serving;
#[path = "e2e/sidecar.rs"]
mod sidecar;
#[path = "e2e/simulating.rs"]
mod simulating;
#[path = "e2e/vaults.rs"]
mod vaults;
