//! Compiles `proto/` in this process (no protoc): messages and services to Rust, and their descriptors to a file.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use prost::Message as _;
use prost_types::FileDescriptorSet;

const ROOT: &str = "proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={ROOT}");
    let mut files = Vec::new();
    collect(Path::new(ROOT), &mut files)?;
    // A folder's order is the disk's; the generated code must not depend on it.
    files.sort();
    let descriptors = protox::compile(files, [ROOT])?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), without_sources(descriptors.clone()).encode_to_vec())?;
    // Bytes are slices of what was received; metadata is in the order of its names, as core has it. An RPC that a
    // service does not write answers UNIMPLEMENTED. Connections are not the generated clients' business.
    tonic_prost_build::configure()
        .bytes(".")
        .btree_map(".")
        .generate_default_stubs(true)
        .build_transport(false)
        .compile_fds(descriptors)?;
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|ending| ending == "proto") {
            files.push(path);
        }
    }
    Ok(())
}

/// Comments and places are for the generator alone.
fn without_sources(mut descriptors: FileDescriptorSet) -> FileDescriptorSet {
    for file in &mut descriptors.file {
        file.source_code_info = None;
    }
    descriptors
}
