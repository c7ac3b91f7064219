//! The choice of inner loops: the best that this machine has. Each level computes the same sums; they differ in the
//! order of floating-point additions.

use std::sync::OnceLock;

use super::{TILE, portable};

/// Input rows that a kernel takes at once.
pub(super) const ROWS: usize = 2;

/// Sixteen rows of weights.
pub(super) struct Tile<'a> {
    pub(super) quants: &'a [u8],
    pub(super) scales: &'a [f32],
}

/// One quantised input row. `offsets` are the sums that the shift of the weights adds to each block, negated.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) quants: &'a [i8],
    pub(super) scales: &'a [f32],
    pub(super) offsets: &'a [i32],
}

/// The query heads that share one head of keys and values, at one position.
///
/// `queries`, `values` and the output hold rows of `size` numbers. `keys` holds tiles of [`super::POSITIONS`]
/// positions: first the first number of each, then the second of each, and so on. `size` is a multiple of four.
pub(crate) struct Heads<'a> {
    pub(crate) queries: &'a [f32],
    pub(crate) keys: &'a [f32],
    pub(crate) values: &'a [f32],
    pub(crate) size: usize,
}

/// What the machine can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// 512-bit vectors with byte products (VNNI).
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// 256-bit vectors.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// What the compiler's baseline has.
    Portable,
}

/// The best level of this machine.
pub(super) fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(detect)
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Level {
    let vnni = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni");
    let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    match (vnni && avx2, avx2) {
        (true, _) => Level::Avx512,
        (_, true) => Level::Avx2,
        _ => Level::Portable,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> Level {
    Level::Portable
}

/// The products of a tile with `R` input rows. `level` must come from [`level`].
pub(super) fn products<const R: usize>(
    level: Level,
    tile: &Tile<'_>,
    rows: &[Row<'_>; R],
) -> [[f32; TILE]; R] {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => super::x86::products_avx512(tile, rows),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => super::x86::products_avx2(tile, rows),
        Level::Portable => portable::products(tile, rows),
    }
}

/// Attention of one position's heads over the positions of `heads.values`, written to `out`.
pub(crate) fn attend(heads: &Heads<'_>, out: &mut [f32]) {
    match level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => super::x86::attend_avx512(heads, out),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => super::x86::attend_avx2(heads, out),
        Level::Portable => portable::attend::<false>(heads, out),
    }
}

/// Quantises a row: each block's largest number becomes 127. Writes the scales, and the offsets that undo the weights'
/// shift.
pub(super) fn quantise(numbers: &[f32], quants: &mut [i8], scales: &mut [f32], offsets: &mut [i32]) {
    match level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => super::x86::quantise_avx512(numbers, quants, scales, offsets),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => super::x86::quantise_avx2(numbers, quants, scales, offsets),
        Level::Portable => portable::quantise(numbers, quants, scales, offsets),
    }
}

/// The gated activation of a feed-forward part: `gate · sigmoid(gate) · up`, number by number.
pub(crate) fn gate(gate: &[f32], up: &[f32], out: &mut [f32]) {
    match level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => super::x86::gate_avx512(gate, up, out),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => super::x86::gate_avx2(gate, up, out),
        Level::Portable => portable::gate(gate, up, out),
    }
}
