//! Inner loops in plain Rust, for every machine. All but the products are also the bodies of the wider levels: the
//! compiler vectorises them for whatever level calls them.

use super::kernel::{Heads, Row, Tile};
use super::{BLOCK, GROUP, POSITIONS, SHIFT, TILE};

/// The products of a tile with `R` input rows.
pub(super) fn products<const R: usize>(tile: &Tile<'_>, rows: &[Row<'_>; R]) -> [[f32; TILE]; R] {
    let mut totals = [[0_f32; TILE]; R];
    let blocks = tile.quants.chunks_exact(TILE * BLOCK).zip(tile.scales.chunks_exact(TILE));
    for (block, (quants, scales)) in blocks.enumerate() {
        for (row, totals) in rows.iter().zip(&mut totals) {
            let mut sums = [row.offsets[block]; TILE];
            let groups = quants.chunks_exact(TILE * GROUP);
            for (quants, input) in groups.zip(row.quants[block * BLOCK..][..BLOCK].chunks_exact(GROUP)) {
                for (sum, four) in sums.iter_mut().zip(quants.chunks_exact(GROUP)) {
                    let pairs = four.iter().zip(input);
                    *sum += pairs.map(|(w, x)| i32::from(*w) * i32::from(*x)).sum::<i32>();
                }
            }
            for ((total, sum), scale) in totals.iter_mut().zip(sums).zip(scales) {
                *total += sum as f32 * (scale * row.scales[block]);
            }
        }
    }
    totals
}

/// Sixteen sums side by side. Plain loops over arrays: of all forms, these become vector instructions most reliably.
#[derive(Clone, Copy)]
struct Lanes([f32; POSITIONS]);

impl Lanes {
    #[inline(always)]
    fn zero() -> Self {
        Self([0.0; POSITIONS])
    }

    /// Adds `factor` times each of `numbers`.
    #[inline(always)]
    fn add_scaled<const FUSED: bool>(&mut self, factor: f32, numbers: &[f32; POSITIONS]) {
        for (sum, number) in self.0.iter_mut().zip(numbers) {
            *sum = if FUSED { factor.mul_add(*number, *sum) } else { factor * number + *sum };
        }
    }

    #[inline(always)]
    fn add(&mut self, other: &Self) {
        for i in 0..POSITIONS {
            self.0[i] += other.0[i];
        }
    }

    #[inline(always)]
    fn scaled(self, factor: f32) -> [f32; POSITIONS] {
        let mut scaled = self.0;
        for number in &mut scaled {
            *number *= factor;
        }
        scaled
    }
}

/// Attention of one position's heads. `FUSED` where the caller's machine multiplies and adds in one step; elsewhere
/// that would be a library call per number. Tiles are taken one after another for all heads, while they are in the
/// nearest cache.
#[inline(always)]
pub(super) fn attend<const FUSED: bool>(heads: &Heads<'_>, out: &mut [f32]) {
    let (size, positions) = (heads.size, heads.values.len() / heads.size);
    let scale = 1.0 / (size as f32).sqrt();
    let (tiles, count) = (positions.div_ceil(POSITIONS), heads.queries.len() / size);
    let mut weights = vec![[0_f32; POSITIONS]; tiles * count];
    for (tile, keys) in heads.keys.chunks_exact(size * POSITIONS).take(tiles).enumerate() {
        for (head, query) in heads.queries.chunks_exact(size).enumerate() {
            weights[head * tiles + tile] = scores::<FUSED>(query, keys).scaled(scale);
        }
    }
    let mut totals = vec![0_f32; count];
    for (weights, total) in weights.chunks_exact_mut(tiles).zip(&mut totals) {
        // What the last tile holds beyond the last position is not part of the conversation.
        weights.as_flattened_mut()[positions..].fill(f32::MIN);
        *total = softmax(weights);
    }
    out.fill(0.0);
    for (tile, values) in heads.values.chunks(size * POSITIONS).enumerate() {
        for (head, out) in out.chunks_exact_mut(size).enumerate() {
            mix::<FUSED>(&weights[head * tiles + tile], values, out);
        }
    }
    for (out, total) in out.chunks_exact_mut(size).zip(totals) {
        for number in out {
            *number /= total;
        }
    }
}

/// The products of a query with the keys of a tile, in four sums each so that none waits for the one before.
#[inline(always)]
fn scores<const FUSED: bool>(query: &[f32], keys: &[f32]) -> Lanes {
    let [mut a, mut b, mut c, mut d] = [Lanes::zero(); 4];
    let keys = keys.as_chunks::<POSITIONS>().0.as_chunks::<4>().0;
    for (query, keys) in query.as_chunks::<4>().0.iter().zip(keys) {
        a.add_scaled::<FUSED>(query[0], &keys[0]);
        b.add_scaled::<FUSED>(query[1], &keys[1]);
        c.add_scaled::<FUSED>(query[2], &keys[2]);
        d.add_scaled::<FUSED>(query[3], &keys[3]);
    }
    a.add(&b);
    c.add(&d);
    a.add(&c);
    a
}

/// Adds the values of a tile's positions, weighed, to one head's output.
#[inline(always)]
fn mix<const FUSED: bool>(weights: &[f32; POSITIONS], values: &[f32], out: &mut [f32]) {
    let size = out.len();
    let (lanes, rest) = out.as_chunks_mut::<POSITIONS>();
    let done = lanes.len() * POSITIONS;
    for (index, out) in lanes.iter_mut().enumerate() {
        let mut sum = Lanes(*out);
        for (weight, values) in weights.iter().zip(values.chunks_exact(size)) {
            sum.add_scaled::<FUSED>(*weight, &values.as_chunks().0[index]);
        }
        *out = sum.0;
    }
    for (weight, values) in weights.iter().zip(values.chunks_exact(size)) {
        for (out, value) in rest.iter_mut().zip(&values[done..]) {
            *out += weight * value;
        }
    }
}

/// Replaces scores by their exponentials relative to the largest, and returns their sum.
#[inline(always)]
fn softmax(scores: &mut [[f32; POSITIONS]]) -> f32 {
    let mut most = [f32::MIN; POSITIONS];
    for scores in scores.iter() {
        for i in 0..POSITIONS {
            most[i] = if scores[i] > most[i] { scores[i] } else { most[i] };
        }
    }
    let most = most.iter().fold(f32::MIN, |most, score| most.max(*score));
    let mut total = Lanes::zero();
    for scores in scores.iter_mut() {
        for score in scores.iter_mut() {
            *score = exp(*score - most);
        }
        total.add(&Lanes(*scores));
    }
    total.0.iter().sum()
}

/// Quantises a row: each block's largest number becomes 127.
#[inline(always)]
pub(super) fn quantise(numbers: &[f32], quants: &mut [i8], scales: &mut [f32], offsets: &mut [i32]) {
    let blocks = numbers.as_chunks::<BLOCK>().0.iter().zip(quants.as_chunks_mut::<BLOCK>().0);
    for ((numbers, quants), (scale, offset)) in blocks.zip(scales.iter_mut().zip(offsets)) {
        let largest = largest(numbers);
        let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        let mut sum = 0;
        for (quant, number) in quants.iter_mut().zip(numbers) {
            // 1.5 × 2^23: above it, a float's last bits count whole numbers, which makes adding it a rounding.
            let whole = (number * inverse + 12_582_912.0).to_bits() as i32 - 12_582_912_f32.to_bits() as i32;
            *quant = whole as i8;
            sum += whole;
        }
        *scale = largest / 127.0;
        *offset = -SHIFT * sum;
    }
}

#[inline(always)]
fn largest(numbers: &[f32; BLOCK]) -> f32 {
    let mut most = [0_f32; 8];
    for eight in numbers.as_chunks::<8>().0 {
        for (most, number) in most.iter_mut().zip(eight) {
            *most = if number.abs() > *most { number.abs() } else { *most };
        }
    }
    most.iter().fold(0.0, |most, number| most.max(*number))
}

/// The gated activation of a feed-forward part.
#[inline(always)]
pub(super) fn gate(gate: &[f32], up: &[f32], out: &mut [f32]) {
    for (out, (gate, up)) in out.iter_mut().zip(gate.iter().zip(up)) {
        *out = gate / (1.0 + exp(-gate)) * up;
    }
}

/// `e` to the power of `x`, to a relative error of 2e-7, in arithmetic that the compiler can vectorise (Cephes'
/// `expf`). Below -87 it stays at 1e-38, above 88 at 1e38.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // 1.5 × 2^23: above it, a float's last bits count whole numbers.
    const WHOLE: f32 = 12_582_912.0;
    // The natural logarithm of two in two parts, so that the remainder is exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let counted = x * std::f32::consts::LOG2_E + WHOLE;
    let power = counted - WHOLE;
    let r = x - power * LN_2_HIGH - power * LN_2_LOW;
    let mut series = 1.987_569_1e-4 * r + 1.398_2e-3;
    series = series * r + 8.333_452e-3;
    series = series * r + 4.166_579_6e-2;
    series = series * r + 1.666_666_6e-1;
    series = series * r + 0.5;
    let mantissa = series * r * r + r + 1.0;
    // The counted whole number, moved to where a float has its exponent.
    mantissa * f32::from_bits((counted.to_bits() << 23).wrapping_add(127 << 23))
}
