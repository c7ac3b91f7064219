//! The port through which the building blocks and their surfaces say what was called and how long it took, for whoever
//! watches a runtime beside an app. Reports carry names and numbers, never content.

use std::time::Duration;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done<'a> {
    /// A request of the app was answered.
    Request {
        /// The route's template, e.g. `/v1.0/state/{store}`; `unknown` outside the table.
        route: &'a str,
        /// The method.
        method: &'a str,
        /// The status.
        status: u16,
    },
    /// A remote call of the app was answered, or its stream began.
    Call {
        /// The service and its method, e.g. `/package.Service/Method`.
        method: &'a str,
        /// The status, 0 to 16.
        code: u8,
    },
    /// A component was asked for something.
    Component {
        /// The building block.
        block: Block,
        /// The component's name.
        component: &'a str,
        /// What it was asked for, in the protocol's word; empty where there is no choice.
        operation: &'a str,
        /// Whether it did it.
        success: bool,
    },
    /// A message was published; with several at once, one of them.
    Published {
        /// The pub/sub component.
        component: &'a str,
        /// The topic.
        topic: &'a str,
        /// Whether the broker took it.
        success: bool,
    },
    /// The app made something of a message.
    Delivered {
        /// The pub/sub component.
        component: &'a str,
        /// The topic.
        topic: &'a str,
        /// `success`, `retry` or `drop`.
        outcome: &'static str,
    },
    /// The app was told of an event of a binding.
    Told {
        /// The binding.
        component: &'a str,
        /// Whether it took it.
        success: bool,
    },
}

/// The building blocks whose components are asked for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Block {
    /// State stores.
    State,
    /// Secret stores.
    Secret,
    /// Configuration stores.
    Configuration,
    /// Conversation components.
    Conversation,
    /// Key vaults.
    Crypto,
    /// Lock stores.
    Lock,
    /// Bindings, called by the app.
    OutputBinding,
}

/// The port. Calls never block and never fail; they sit on hot paths.
pub trait Meter: Send + Sync {
    /// Something was done in this time.
    fn took(&self, done: Done<'_>, elapsed: Duration);

    /// Everything so far, in a monitoring system's text format: content type and body.
    fn scrape(&self) -> (&'static str, String);
}
