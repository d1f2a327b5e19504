//! The manual: what each default is, and why.

pub mod defaults;
