//! The manual: every default with its reason, what an operator is told, and what is done about each known attack.
//!
//! How each thing is done is on the [front page](crate).

pub mod defaults;
pub mod observability;
pub mod threats;
