//! The manual: every default with its reason, and what is done about each known attack.
//!
//! How each thing is done is on the [front page](crate).

pub mod defaults;
pub mod threats;
