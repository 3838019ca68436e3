//! Reports of whole releases: what they say, and that nothing others wrote breaks them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::default_trait_access,
    reason = "tests"
)]

mod report {
    mod any;
    mod hostile;
    mod readable;
    mod stage;
    mod whole;
}
