//! The binary that goes into an image: an ELF file for a machine that OCI has a name for, without an interpreter, since
//! an image of nothing else has no loader and no libraries.

use std::path::Path;

use anyhow::{Context as _, bail};
use mainstay_core::{Error, codes};

/// Program headers of this type name the loader.
const INTERPRETER: u32 = 3;

/// The bytes of the binary, and its machine as OCI names it. Errors: it cannot be read, or cannot run in an image.
pub(crate) fn read(path: &Path) -> anyhow::Result<(Vec<u8>, String)> {
    let bytes = std::fs::read(path).with_context(|| format!("read `{}`", path.display()))?;
    let Some(elf) = Elf::of(&bytes) else {
        bail!("`{}` is no 64-bit ELF binary, which images of Linux run", path.display());
    };
    let architecture = match elf.machine {
        62 => "amd64",
        183 => "arm64",
        other => bail!("`{}` is for the machine {other}, which images have no name for", path.display()),
    };
    if elf.interpreted {
        let message = format!("`{}` needs libraries of this machine, and an image has none", path.display());
        return Err(Error::new(&codes::SHIP_UNSUPPORTED, message)
            .with_help("give one that is statically linked with `--binary` (`cargo xtask release` makes it)")
            .into());
    }
    Ok((bytes, architecture.to_owned()))
}

/// What a head says of an executable.
struct Elf {
    machine: u16,
    interpreted: bool,
}

impl Elf {
    /// Reads the head of a little-endian 64-bit file (System V ABI, chapter 4).
    fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.get(..6)? != b"\x7fELF\x02\x01" {
            return None;
        }
        let short = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let table = usize::try_from(u64::from_le_bytes(bytes.get(32..40)?.try_into().ok()?)).ok()?;
        let (size, count) = (usize::from(short(54)?), usize::from(short(56)?));
        let kinds = (0..count).map(|n| word(table.checked_add(n.checked_mul(size)?)?));
        let kinds: Vec<u32> = kinds.collect::<Option<_>>()?;
        Some(Self { machine: short(18)?, interpreted: kinds.contains(&INTERPRETER) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_that_needs_a_loader_is_told_from_one_that_does_not() {
        let mut head = vec![0_u8; 64 + 56];
        head[..6].copy_from_slice(b"\x7fELF\x02\x01");
        head[18] = 62;
        head[32] = 64;
        head[54] = 56;
        head[56] = 1;
        for (kind, interpreted) in [(1, false), (3, true)] {
            head[64] = kind;
            let elf = Elf::of(&head).unwrap();
            assert_eq!((elf.machine, elf.interpreted), (62, interpreted));
        }
        assert!(Elf::of(b"#!/bin/sh\n").is_none());
        assert!(Elf::of(&head[..66]).is_none(), "a table beyond the end");
    }
}
