//! Inputs of a multiplication, quantised row by row to signed bytes with one scale per block. The buffers are reused
//! from call to call.

use rayon::prelude::*;

use super::BLOCK;
use super::kernel::{Row, quantise};

/// Rows from which filling is worth spreading over threads.
const ROWS_PARALLEL_MIN: usize = 4;

/// Quantised rows.
#[derive(Debug, Default)]
pub(crate) struct Activations {
    rows: usize,
    columns: usize,
    quants: Vec<i8>,
    scales: Vec<f32>,
    offsets: Vec<i32>,
}

impl Activations {
    /// Replaces the content by `rows` rows; `produce(row, numbers)` writes each one's numbers.
    pub(crate) fn fill(&mut self, rows: usize, columns: usize, produce: impl Fn(usize, &mut [f32]) + Sync) {
        debug_assert!(columns.is_multiple_of(BLOCK), "matrices were checked when they were packed");
        let blocks = columns / BLOCK;
        (self.rows, self.columns) = (rows, columns);
        self.quants.resize(rows * columns, 0);
        self.scales.resize(rows * blocks, 0.0);
        self.offsets.resize(rows * blocks, 0);
        let one =
            |numbers: &mut Vec<f32>, row, quants: &mut [i8], scales: &mut [f32], offsets: &mut [i32]| {
                numbers.resize(columns, 0.0);
                produce(row, numbers);
                quantise(numbers, quants, scales, offsets);
            };
        if rows < ROWS_PARALLEL_MIN {
            let mut numbers = Vec::new();
            let parts = self.quants.chunks_mut(columns).zip(self.scales.chunks_mut(blocks));
            for (row, ((q, s), o)) in parts.zip(self.offsets.chunks_mut(blocks)).enumerate() {
                one(&mut numbers, row, q, s, o);
            }
        } else {
            let parts = self.quants.par_chunks_mut(columns).zip(self.scales.par_chunks_mut(blocks));
            let parts = parts.zip(self.offsets.par_chunks_mut(blocks)).enumerate();
            parts.for_each_init(Vec::new, |numbers, (row, ((q, s), o))| one(numbers, row, q, s, o));
        }
    }

    /// Rows held.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// One row.
    pub(super) fn row(&self, index: usize) -> Row<'_> {
        let blocks = self.columns / BLOCK;
        Row {
            quants: &self.quants[index * self.columns..][..self.columns],
            scales: &self.scales[index * blocks..][..blocks],
            offsets: &self.offsets[index * blocks..][..blocks],
        }
    }
}
