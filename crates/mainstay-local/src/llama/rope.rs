//! Rotary positions: neighbouring pairs of each head are turned by an angle that grows with the position.

use mainstay_core::Result;
use rayon::prelude::*;

use super::Hyper;
use crate::gguf::{Gguf, unusable};

/// The angles of every position.
#[derive(Debug)]
pub(super) struct Rope {
    pairs: usize,
    /// Cosine and sine, pair by pair, position by position.
    turns: Vec<(f32, f32)>,
}

impl Rope {
    /// Computes the angles for the model's context, with the file's own scaling.
    pub(super) fn new(gguf: &mut Gguf, hyper: &Hyper) -> Result<Self> {
        let pairs = hyper.rotated / 2;
        let factors = match gguf.has("rope_freqs.weight") {
            true => gguf.vector("rope_freqs.weight", pairs)?,
            false => vec![linear_factor(gguf)?; pairs],
        };
        let exponent = |pair: usize| -2.0 * pair as f64 / hyper.rotated as f64;
        let step = |pair: usize| f64::from(hyper.rope_base).powf(exponent(pair)) / f64::from(factors[pair]);
        let steps: Vec<f64> = (0..pairs).map(step).collect();
        let turn = |(position, step): (usize, &f64)| {
            let (sin, cos) = (position as f64 * step).sin_cos();
            (cos as f32, sin as f32)
        };
        let positions = 0..hyper.context;
        let turns =
            positions.flat_map(|position| steps.iter().map(move |step| turn((position, step)))).collect();
        Ok(Self { pairs, turns })
    }

    /// Turns the heads of rows that stand at positions `first`, `first + 1`, ….
    pub(super) fn rotate(&self, numbers: &mut [f32], row_width: usize, head_size: usize, first: usize) {
        let rotate_row = |(row, numbers): (usize, &mut [f32])| {
            let turns = &self.turns[(first + row) * self.pairs..][..self.pairs];
            for head in numbers.chunks_exact_mut(head_size) {
                for (pair, (cos, sin)) in head.chunks_exact_mut(2).zip(turns) {
                    let (a, b) = (pair[0], pair[1]);
                    pair[0] = a * cos - b * sin;
                    pair[1] = a * sin + b * cos;
                }
            }
        };
        if numbers.len() <= row_width * 4 {
            numbers.chunks_exact_mut(row_width).enumerate().for_each(rotate_row);
        } else {
            numbers.par_chunks_exact_mut(row_width).enumerate().for_each(rotate_row);
        }
    }
}

fn linear_factor(gguf: &Gguf) -> Result<f32> {
    match gguf.text("llama.rope.scaling.type") {
        None | Some("none") => Ok(1.0),
        Some("linear") => Ok(gguf.fraction("llama.rope.scaling.factor").unwrap_or(1.0)),
        Some(other) => {
            Err(unusable(gguf.name(), format!("its positions are scaled by `{other}`, which is not known")))
        }
    }
}
