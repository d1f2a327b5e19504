//! What the benchmarks share, and in part `peers` too.

#![allow(dead_code, reason = "each takes what it needs")]

pub(crate) mod measure;
pub(crate) mod requests;
pub(crate) mod tokens;
pub(crate) mod workers;

/// So many; few if each benchmark is only run once, to see that it does.
pub(crate) fn at_most(count: usize) -> usize {
    if std::env::args().any(|argument| argument == "--test") { count.min(100) } else { count }
}
