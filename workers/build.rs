//! Tells the linker how the binary is packed.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let on_linux = std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux");
    if on_linux {
        // Addresses that the loader fixes at each start, an eighth of a megabyte instead of eight.
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
