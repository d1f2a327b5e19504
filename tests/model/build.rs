//! Turns `src/sync.rs` into loom's, in this package alone: a flag for the compiler would reach every dependency.

fn main() {
    println!("cargo:rustc-cfg=tower_bearer_model");
    println!("cargo:rerun-if-changed=build.rs");
}
