//! The machine, evaluation by evaluation.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod machine {
    mod ends;
    mod injuries;
    mod path;
    mod people;
    pub(crate) mod play;
    mod properties;
}
