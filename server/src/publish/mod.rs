//! What SDKs are served: every ruleset in memory, the streams that carry its changes, and the way to the other nodes.
//!
//! A write ends in [`Hub::publish`]: the next ruleset is derived and shown, its change is encoded once, every stream of
//! the environment wakes, and the [`Bus`] tells the other nodes. They, and this node when it missed something, read the
//! heads of all environments once a second and take from history what they lack.
//!
//! # Invariants
//!
//! - Serving takes nothing from the database, Redis or an identity provider. The one exception is a list that is not in
//!   memory yet.
//! - There is no queue for a client. A stream knows what it sent last, and what it holds is bounded.
//! - Nothing is served whose digest is not that of its items; nothing is told as news that is lower than what was sent,
//!   within an incarnation.
//! - A write never waits for the bus, for a stream or for a list.

mod admission;
mod bus;
mod claims;
mod derive;
mod environment;
mod follower;
mod frame;
mod hub;
mod items;
mod keys;
mod lists;
mod metrics;
mod ring;
mod stream;
#[cfg(test)]
pub(crate) mod tests;
mod whole;

pub use admission::Rate;
pub use bus::{Bus, BusError, BusStatus};
pub use environment::Environment;
pub use hub::{Committed, Hub, Options, Refused};
pub use items::CommittedItem;
pub use keys::KeyScope;
pub use whole::Whole;
