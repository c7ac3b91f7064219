//! Inner loops for x86-64 with AVX2 and with AVX-512 VNNI. Elsewhere the portable ones serve.
#![expect(
    unsafe_code,
    reason = "calls behind feature detection and unaligned vector loads have no safe form"
)]

use std::arch::x86_64::{
    __m256i, __m512, __m512i, _mm_loadu_si128, _mm256_add_epi32, _mm256_cvtepi32_ps, _mm256_cvtepu8_epi16,
    _mm256_fmadd_ps, _mm256_hadd_epi32, _mm256_loadu_ps, _mm256_madd_epi16, _mm256_mul_ps,
    _mm256_permute4x64_epi64, _mm256_set1_epi32, _mm256_set1_epi64x, _mm256_set1_ps, _mm256_setzero_ps,
    _mm256_setzero_si256, _mm256_storeu_ps, _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps,
    _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps,
    _mm512_storeu_ps,
};

use super::kernel::{Heads, Row, Tile};
use super::{BLOCK, GROUP, TILE, portable};

const GROUP_BYTES: usize = TILE * GROUP;

/// The products of a tile with `R` rows. Only where [`super::kernel::level`] says AVX-512.
pub(super) fn products_avx512<const R: usize>(tile: &Tile<'_>, rows: &[Row<'_>; R]) -> [[f32; TILE]; R] {
    // SAFETY: the level was detected on this machine.
    unsafe { vnni(tile, rows) }
}

/// The products of a tile with `R` rows. Only where [`super::kernel::level`] says AVX2.
pub(super) fn products_avx2<const R: usize>(tile: &Tile<'_>, rows: &[Row<'_>; R]) -> [[f32; TILE]; R] {
    // SAFETY: the level was detected on this machine.
    unsafe { avx2(tile, rows) }
}

/// A portable loop compiled for both levels. Each only where [`super::kernel::level`] says so.
macro_rules! widened {
    ($body:expr, $avx512:ident, $avx2:ident, ($($argument:ident: $type:ty),*)) => {
        widened!(@ $avx512, "avx2,fma,avx512f,avx512bw,avx512vl", $body, ($($argument: $type),*));
        widened!(@ $avx2, "avx2,fma", $body, ($($argument: $type),*));
    };
    (@ $name:ident, $features:literal, $body:expr, ($($argument:ident: $type:ty),*)) => {
        pub(super) fn $name($($argument: $type),*) {
            #[target_feature(enable = $features)]
            fn wide($($argument: $type),*) {
                $body($($argument),*);
            }
            // SAFETY: the level was detected on this machine.
            unsafe { wide($($argument),*) }
        }
    };
}

widened!(portable::attend::<true>, attend_avx512, attend_avx2, (heads: &Heads<'_>, out: &mut [f32]));
widened!(portable::gate, gate_avx512, gate_avx2, (gate: &[f32], up: &[f32], out: &mut [f32]));
widened!(
    portable::quantise,
    quantise_avx512,
    quantise_avx2,
    (numbers: &[f32], quants: &mut [i8], scales: &mut [f32], offsets: &mut [i32])
);

#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512vnni")]
fn vnni<const R: usize>(tile: &Tile<'_>, rows: &[Row<'_>; R]) -> [[f32; TILE]; R] {
    let mut totals = [_mm512_setzero_ps(); R];
    let blocks = tile.quants.as_chunks::<{ TILE * BLOCK }>().0.iter().zip(tile.scales.as_chunks::<TILE>().0);
    for (block, (quants, scales)) in blocks.enumerate() {
        let scales = load_16_floats(scales);
        let mut sums: [__m512i; R] = std::array::from_fn(|r| _mm512_set1_epi32(rows[r].offsets[block]));
        let inputs: [&[u8; BLOCK]; R] = std::array::from_fn(|r| input_block(rows[r].quants, block));
        for (group, quants) in quants.as_chunks::<GROUP_BYTES>().0.iter().enumerate() {
            let weights = load_64_bytes(quants);
            for r in 0..R {
                let four = _mm512_set1_epi32(i32::from_le_bytes(inputs[r].as_chunks::<GROUP>().0[group]));
                sums[r] = _mm512_dpbusd_epi32(sums[r], weights, four);
            }
        }
        for r in 0..R {
            let scale = _mm512_mul_ps(scales, _mm512_set1_ps(rows[r].scales[block]));
            totals[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[r]), scale, totals[r]);
        }
    }
    totals.map(|total| {
        let mut out = [0_f32; TILE];
        // SAFETY: sixteen floats are written to an array of sixteen.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), total) };
        out
    })
}

/// As [`vnni`] with pairs of 16-bit products: bytes are widened first, because AVX2's product of bytes saturates.
#[target_feature(enable = "avx2,fma")]
fn avx2<const R: usize>(tile: &Tile<'_>, rows: &[Row<'_>; R]) -> [[f32; TILE]; R] {
    let mut totals = [[_mm256_setzero_ps(); 2]; R];
    let blocks = tile.quants.as_chunks::<{ TILE * BLOCK }>().0.iter().zip(tile.scales.as_chunks::<TILE>().0);
    for (block, (quants, scales)) in blocks.enumerate() {
        for r in 0..R {
            // Each vector holds four rows of two sums, whose sum is the row's.
            let mut sums = [_mm256_setzero_si256(); 4];
            let inputs = input_block(rows[r].quants, block).as_chunks::<GROUP>().0;
            for (quants, four) in quants.as_chunks::<GROUP_BYTES>().0.iter().zip(inputs) {
                let wide = four.map(|byte| i16::from(byte.cast_signed()).cast_unsigned());
                let wide = wide.iter().rev().fold(0_u64, |all, x| (all << 16) | u64::from(*x));
                let input = _mm256_set1_epi64x(wide.cast_signed());
                for (sum, quants) in sums.iter_mut().zip(quants.as_chunks::<TILE>().0) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(load_widened(quants), input));
                }
            }
            for half in 0..2 {
                // Adding neighbours interleaves the two vectors' halves: 0 2 1 3 puts them back in order.
                let paired = _mm256_hadd_epi32(sums[half * 2], sums[half * 2 + 1]);
                let ordered = _mm256_permute4x64_epi64::<0b11_01_10_00>(paired);
                let sum = _mm256_add_epi32(ordered, _mm256_set1_epi32(rows[r].offsets[block]));
                // SAFETY: eight floats are read from the half that starts there, of sixteen.
                let scales = unsafe { _mm256_loadu_ps(scales[half * 8..][..8].as_ptr()) };
                let scale = _mm256_mul_ps(scales, _mm256_set1_ps(rows[r].scales[block]));
                totals[r][half] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), scale, totals[r][half]);
            }
        }
    }
    totals.map(|halves| {
        let mut out = [0_f32; TILE];
        for (out, total) in out.chunks_exact_mut(8).zip(halves) {
            // SAFETY: eight floats are written to a chunk of eight.
            unsafe { _mm256_storeu_ps(out.as_mut_ptr(), total) };
        }
        out
    })
}

fn input_block(quants: &[i8], block: usize) -> &[u8; BLOCK] {
    let quants = quants[block * BLOCK..][..BLOCK].as_ptr().cast::<[u8; BLOCK]>();
    // SAFETY: the slice holds BLOCK bytes, and any signed byte is a byte.
    unsafe { &*quants }
}

#[target_feature(enable = "avx512f")]
fn load_64_bytes(bytes: &[u8; GROUP_BYTES]) -> __m512i {
    // SAFETY: 64 bytes are read from an array of 64; the load needs no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
fn load_16_floats(floats: &[f32; TILE]) -> __m512 {
    // SAFETY: sixteen floats are read from an array of sixteen.
    unsafe { _mm512_loadu_ps(floats.as_ptr()) }
}

#[target_feature(enable = "avx2")]
fn load_widened(bytes: &[u8; TILE]) -> __m256i {
    // SAFETY: sixteen bytes are read from an array of sixteen; the load needs no alignment.
    _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
}
