//! Which cryptography verifies in this build.

#[test]
fn the_live_backend_is_the_one_that_was_asked_for() {
    // Both on: the faster one, always.
    let expected = if cfg!(feature = "aws-lc-rs") { "aws-lc-rs" } else { "rust-crypto" };
    assert_eq!(tower_bearer::crypto_backend(), Some(expected));
}
