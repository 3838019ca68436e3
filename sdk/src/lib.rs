//! **Storyflag SDK**: asks "is this on for this user?" millions of times a second.
//!
//! A [`Client`] keeps everything that is needed to answer for one environment in memory, and keeps it up to date over one
//! stream. Asking costs one pointer, one look-up and one hash: it never waits, locks or allocates, from asynchronous code
//! as from plain threads.
//!
//! ```no_run
//! use storyflag::{Client, Context};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let sdk_key = std::env::var("STORYFLAG_SDK_KEY")?;
//!     let flags = Client::builder("http://localhost:8080", sdk_key)
//!         .disk_cache("/var/cache/shop")
//!         .connect()
//!         .await?;
//!
//!     // Once a request: every answer comes from one ruleset, whatever arrives meanwhile.
//!     let user = flags.for_context(Context::new("user-42").with("country", "DE"));
//!     if user.is_on("US-123-checkout") {
//!         println!("the new checkout, in the {} theme", user.string("US-124-theme", "light"));
//!     }
//!
//!     // Somebody wonders why.
//!     let detail = user.detail("US-123-checkout");
//!     println!("{:?}: {:?} because of {:?}, bucket {:?}", detail.variant, detail.value, detail.reason, detail.bucket);
//!
//!     flags.close().await;
//!     Ok(())
//! }
//! ```
//!
//! # When something is wrong
//!
//! | what | the client |
//! |---|---|
//! | address or key cannot be one | [`Builder::connect`] is an error: nothing else is |
//! | the service is away at the start | serves the disk cache, marked [`State::Stale`]; without one, the caller's defaults |
//! | the stream breaks | keeps what it has, and tries again: stream, poll beside it, next [`Builder::endpoint`] |
//! | the service sends garbage, a gap, or something older | keeps what it has, and asks for everything |
//! | the key is revoked | keeps what it has, and asks twice or more a minute |
//! | a flag needs a newer SDK | that flag answers with the caller's default; a kill still reaches it |
//!
//! What was good once never expires: staleness is told by [`Client::status`] and never changes an answer.
//! `is_on` is `false` when unsure, and every other getter takes the default to answer with.
//!
//! # Outcomes report themselves
//!
//! While a release watches a flag, the service wants to know how requests went for those who got the new code and for
//! those who did not. The application says it once, with a layer around its service:
//!
#![cfg_attr(feature = "tower", doc = "```")]
#![cfg_attr(not(feature = "tower"), doc = "```ignore")]
//! use axum::{Router, extract::{Path, State}, routing::post};
//! use storyflag::{Client, Context, OutcomeLayer, track};
//!
//! async fn checkout(State(flags): State<Client>, Path(user): Path<String>) -> &'static str {
//!     if flags.is_on("US-123-checkout", &Context::new(user)) {
//!         track("purchase", 74.5);
//!         return "one page, one click";
//!     }
//!     "four pages"
//! }
//!
//! fn shop(flags: Client) -> Router {
//!     Router::new().route("/checkout/{user}", post(checkout)).layer(OutcomeLayer::new()).with_state(flags)
//! }
//! ```
//!
//! Every request is a [`Scope`] that remembers which watched flags were asked for in it, in which [`Arm`] and for whom.
//! When the head of its answer leaves, [`Outcome`] and latency are credited to the arm: 4xx is the caller's failure; 5xx,
//! a time-out and a panic are errors; who hung up is cancelled and in no rate. A request that saw two arms of one flag
//! counts for neither. [`OutcomeLayer::classify`] judges otherwise, [`Scope::open`] serves code without HTTP,
//! [`Scope::current`] and [`Scope::run`] carry it into spawned tasks, and [`Client::track`] tells of what happens elsewhere.
//!
//! What was counted is told once a second, zeros included, and only while something is watched. Nothing that names a user
//! is told: of units that failed, up to eight hashes. Ten seconds wait for a service that is away; what is older is dropped,
//! and how much was is told.
//!
//! # In tests
//!
//! [`Client::fixed`] gives everybody what the test says, [`Client::from_file`] what stands in a file:
//!
//! ```
//! use storyflag::{Client, Context};
//!
//! let flags = Client::fixed([("US-123-checkout", true)]);
//! assert!(flags.is_on("US-123-checkout", &Context::new("anybody")));
//! ```
//!
//! # Features
//!
//! - `tower` (default): [`OutcomeLayer`], for two small crates of traits.
//! - `tls` (default): `https://` addresses by rustls, for the Mozilla roots and [`Builder::root_certificates`].
//!
//! A client needs a tokio runtime with I/O and time enabled for [`Builder::connect`] and the task that it starts; asking
//! needs none. Logs go to `tracing`.

mod backoff;
mod builder;
mod client;
mod connection;
mod detail;
mod disk_cache;
mod disk_writer;
mod driver;
mod endpoint;
mod fixed;
mod for_context;
mod key;
mod ladder;
mod lists;
mod message;
mod outcomes;
mod problem;
mod protocol;
mod report;
mod shared;
mod sse;
mod status;
mod stored;
mod task;
#[cfg(feature = "tls")]
mod tls;
mod usage;
mod wire;

#[cfg(test)]
#[path = "../tests/support/environment.rs"]
mod environment;

pub use builder::{Builder, ConnectError};
pub use client::{Client, FileError};
pub use detail::{Detail, FlagValue};
pub use endpoint::AddressError;
pub use for_context::ForContext;
pub use key::{KeyError, SdkKey};
pub use message::{ArmCounts, EventCounts, TelemetryMessage};
#[cfg(feature = "tower")]
pub use outcomes::{Head, OutcomeFuture, OutcomeLayer, OutcomeService};
pub use outcomes::{InScope, Outcome, Scope, track};
pub use status::{Changes, State, Status};
pub use storyflag_evaluation::{Arm, Attribute, Context, Evaluation, EvaluationError, Identity, Reason, Value};
