//! Who is calling, and what they may do: people by tokens (JWT), applications by SDK keys.

mod caller;
mod role;
mod token;

pub use caller::Caller;
pub use role::{Right, Role};
pub use token::{Claims, TOKEN_LIFE, Tokens, TokensError};
