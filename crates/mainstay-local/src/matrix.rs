//! Weight matrices of eight-bit blocks, packed so that sixteen rows are multiplied at once. All multiplication of the
//! model happens here, on the rayon pool of the caller. It knows nothing of models or files.
//!
//! ```text
//! tile (16 rows) ── block (32 columns) ── group (4 columns): 64 bytes = 16 rows × 4 columns
//! ```

mod activations;
mod kernel;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use half::f16;
use rayon::prelude::*;

pub(crate) use activations::Activations;
use kernel::Row;
pub(crate) use kernel::{Heads, attend, gate};

/// Rows in a tile.
pub(crate) const TILE: usize = 16;
/// Positions whose keys stand together, number by number.
pub(crate) const POSITIONS: usize = 16;
/// Columns that share a scale.
pub(crate) const BLOCK: usize = 32;
/// Columns that stand together in a tile.
const GROUP: usize = 4;
/// Bytes of a block in GGUF's `Q8_0`: a half-precision scale and 32 signed weights.
pub(crate) const Q8_0_BYTES: usize = 2 + BLOCK;
/// Weights are stored shifted by this, because the machine multiplies unsigned by signed bytes.
const SHIFT: i32 = 128;
/// Jobs per thread of one multiplication: enough that a slow thread's share is taken over by the others.
const JOBS_PER_THREAD: usize = 4;
/// Input rows that one job takes at most, so that they stay in the nearest cache.
const JOB_ROWS_MAX: usize = 32;

/// A matrix of weights, one row per output.
#[derive(Debug)]
pub(crate) struct Matrix {
    rows: usize,
    columns: usize,
    quants: Vec<u8>,
    scales: Vec<f32>,
}

impl Matrix {
    /// Packs `rows × columns` weights that stand row by row as `Q8_0` blocks. `None` when the sizes do not fit.
    pub(crate) fn from_q8_0(rows: usize, columns: usize, bytes: &[u8]) -> Option<Self> {
        let blocks = columns / BLOCK;
        let fits = columns > 0 && columns.is_multiple_of(BLOCK) && bytes.len() == rows * blocks * Q8_0_BYTES;
        if !fits {
            return None;
        }
        let tiles = rows.div_ceil(TILE);
        // Rows that only fill up the last tile weigh nothing: their scale is zero.
        let mut quants = vec![0_u8; tiles * TILE * columns];
        let mut scales = vec![0_f32; tiles * TILE * blocks];
        let packed = quants.par_chunks_mut(TILE * columns).zip(scales.par_chunks_mut(TILE * blocks));
        packed.zip(bytes.par_chunks(TILE * blocks * Q8_0_BYTES)).for_each(|((quants, scales), bytes)| {
            for (row, bytes) in bytes.chunks(blocks * Q8_0_BYTES).enumerate() {
                pack_row(row, bytes, quants, scales);
            }
        });
        Some(Self { rows, columns, quants, scales })
    }

    /// Writes one row as numbers.
    pub(crate) fn row(&self, index: usize, out: &mut [f32]) {
        let (tile, lane) = (index / TILE, index % TILE);
        let quants = &self.quants[tile * TILE * self.columns..];
        let scales = &self.scales[tile * TILE * (self.columns / BLOCK)..];
        for (group, out) in out[..self.columns].chunks_exact_mut(GROUP).enumerate() {
            let scale = scales[group * GROUP / BLOCK * TILE + lane];
            let at = (group * TILE + lane) * GROUP;
            for (out, quant) in out.iter_mut().zip(&quants[at..at + GROUP]) {
                *out = (i32::from(*quant) - SHIFT) as f32 * scale;
            }
        }
    }

    fn tile(&self, index: usize) -> kernel::Tile<'_> {
        let blocks = self.columns / BLOCK;
        let quants = &self.quants[index * TILE * self.columns..][..TILE * self.columns];
        let scales = &self.scales[index * TILE * blocks..][..TILE * blocks];
        kernel::Tile { quants, scales }
    }
}

fn pack_row(row: usize, bytes: &[u8], quants: &mut [u8], scales: &mut [f32]) {
    for (block, bytes) in bytes.chunks_exact(Q8_0_BYTES).enumerate() {
        scales[block * TILE + row] = f16::from_le_bytes([bytes[0], bytes[1]]).to_f32();
        for (group, four) in bytes[2..].chunks_exact(GROUP).enumerate() {
            let at = ((block * (BLOCK / GROUP) + group) * TILE + row) * GROUP;
            for (quant, byte) in quants[at..at + GROUP].iter_mut().zip(four) {
                // Two's complement shifted by 128 is its sign bit turned over.
                *quant = byte ^ 0x80;
            }
        }
    }
}

/// One share of a multiplication: some input rows by some tiles. `out` holds `width` numbers per input row.
struct Job<'a> {
    matrix: &'a Matrix,
    tiles: std::ops::Range<usize>,
    input: std::ops::Range<usize>,
    out: &'a mut [f32],
    width: usize,
}

/// Multiplies the same input by several matrices: `out[row * matrix.rows() + i]` is the product of input row `row`
/// with the matrix's row `i`.
pub(crate) fn multiply(input: &Activations, products: &mut [(&Matrix, &mut [f32])]) {
    let level = kernel::level();
    let shares = rayon::current_num_threads() * JOBS_PER_THREAD;
    let mut jobs = Vec::with_capacity(shares + products.len());
    for (matrix, out) in products {
        let width = matrix.rows;
        let out = &mut out[..input.rows() * width];
        if input.rows() == 1 {
            split_outputs(matrix, out, shares.div_ceil(2), &mut jobs);
        } else {
            split_inputs(matrix, out, input.rows(), shares, &mut jobs);
        }
    }
    jobs.into_par_iter().with_max_len(1).for_each(|job| run(job, input, level));
}

fn split_outputs<'a>(matrix: &'a Matrix, out: &'a mut [f32], shares: usize, jobs: &mut Vec<Job<'a>>) {
    let tiles = matrix.rows.div_ceil(TILE);
    let share = tiles.div_ceil(shares).max(1);
    for (index, out) in out.chunks_mut(share * TILE).enumerate() {
        let first = index * share;
        let width = out.len();
        jobs.push(Job { matrix, tiles: first..(first + share).min(tiles), input: 0..1, out, width });
    }
}

fn split_inputs<'a>(
    matrix: &'a Matrix,
    out: &'a mut [f32],
    rows: usize,
    shares: usize,
    jobs: &mut Vec<Job<'a>>,
) {
    let share = rows.div_ceil(shares).next_multiple_of(kernel::ROWS).min(JOB_ROWS_MAX);
    let tiles = 0..matrix.rows.div_ceil(TILE);
    for (index, out) in out.chunks_mut(share * matrix.rows).enumerate() {
        let first = index * share;
        let input = first..(first + share).min(rows);
        jobs.push(Job { matrix, tiles: tiles.clone(), input, out, width: matrix.rows });
    }
}

fn run(job: Job<'_>, input: &Activations, level: kernel::Level) {
    for (column, tile) in job.tiles.enumerate() {
        let tile = job.matrix.tile(tile);
        let column = column * TILE;
        let lanes = TILE.min(job.width - column);
        let mut row = job.input.start;
        while row < job.input.end {
            let left = job.input.end - row;
            let at = (row - job.input.start) * job.width + column;
            if left >= kernel::ROWS {
                let rows: [Row<'_>; kernel::ROWS] = std::array::from_fn(|i| input.row(row + i));
                for (i, sums) in kernel::products(level, &tile, &rows).iter().enumerate() {
                    job.out[at + i * job.width..][..lanes].copy_from_slice(&sums[..lanes]);
                }
                row += kernel::ROWS;
            } else {
                let [sums] = kernel::products(level, &tile, &[input.row(row)]);
                job.out[at..at + lanes].copy_from_slice(&sums[..lanes]);
                row += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;
