//! Products against plain sums, at every level of this machine.

use super::kernel::{Level, ROWS};
use super::*;

fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 * 2.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// `Q8_0` bytes of the numbers, and the numbers as those bytes say them.
pub(crate) fn q8_0(numbers: &[f32]) -> (Vec<u8>, Vec<f32>) {
    let (mut bytes, mut rounded) = (Vec::new(), Vec::new());
    for block in numbers.chunks_exact(BLOCK) {
        let largest = block.iter().fold(0_f32, |most, n| most.max(n.abs()));
        let scale = f16::from_f32(largest / 127.0);
        bytes.extend_from_slice(&scale.to_le_bytes());
        for number in block {
            let quant = (number / scale.to_f32()).round().clamp(-127.0, 127.0);
            bytes.push((quant as i8).cast_unsigned());
            rounded.push(quant * scale.to_f32());
        }
    }
    (bytes, rounded)
}

fn check_product(rows: usize, columns: usize, inputs: usize) {
    let (bytes, weights) = q8_0(&numbers(rows * columns, 7));
    let matrix = Matrix::from_q8_0(rows, columns, &bytes).unwrap();
    let input = numbers(inputs * columns, 11);
    let mut quantised = Activations::default();
    quantised.fill(inputs, columns, |row, out| out.copy_from_slice(&input[row * columns..][..columns]));
    let mut out = vec![f32::NAN; inputs * rows];
    multiply(&quantised, &mut [(&matrix, &mut out)]);
    for (i, product) in out.iter().enumerate() {
        let (row, column) = (i / rows, i % rows);
        let pairs = weights[column * columns..][..columns].iter().zip(&input[row * columns..][..columns]);
        let exact: f32 = pairs.map(|(w, x)| w * x).sum();
        let tolerance = 0.01 * (columns as f32).sqrt();
        assert!((product - exact).abs() < tolerance, "{rows}×{columns} at {i}: {product} for {exact}");
    }
}

#[test]
fn a_product_is_the_sum_of_products() {
    for rows in [1, 15, 16, 17, 200] {
        for inputs in [1, 2, 3, 5, 40] {
            check_product(rows, 96, inputs);
        }
    }
}

#[test]
fn every_level_of_this_machine_gives_the_same_sums() {
    let (bytes, _) = q8_0(&numbers(TILE * 128, 3));
    let matrix = Matrix::from_q8_0(TILE, 128, &bytes).unwrap();
    let mut input = Activations::default();
    let values = numbers(ROWS * 128, 5);
    input.fill(ROWS, 128, |row, out| out.copy_from_slice(&values[row * 128..][..128]));
    let rows: [Row<'_>; ROWS] = std::array::from_fn(|i| input.row(i));
    let expected = kernel::products(Level::Portable, &matrix.tile(0), &rows);
    let mut levels = vec![kernel::level()];
    #[cfg(target_arch = "x86_64")]
    if kernel::level() == Level::Avx512 {
        levels.push(Level::Avx2);
    }
    for level in levels {
        let sums = kernel::products(level, &matrix.tile(0), &rows);
        for (sum, expected) in sums.as_flattened().iter().zip(expected.as_flattened()) {
            assert!((sum - expected).abs() < 1e-4, "{level:?}: {sum} for {expected}");
        }
    }
}

#[test]
fn the_largest_weights_and_inputs_do_not_overflow() {
    let (bytes, _) = q8_0(&vec![1.0; TILE * BLOCK]);
    let matrix = Matrix::from_q8_0(TILE, BLOCK, &bytes).unwrap();
    let mut input = Activations::default();
    input.fill(1, BLOCK, |_, out| out.fill(-1.0));
    for level in [kernel::level(), Level::Portable] {
        let [sums] = kernel::products(level, &matrix.tile(0), &[input.row(0)]);
        assert!(sums.iter().all(|sum| (sum + BLOCK as f32).abs() < 0.02), "{level:?}: {sums:?}");
    }
}

#[test]
fn a_row_reads_back_as_it_was_packed() {
    let (bytes, weights) = q8_0(&numbers(20 * 64, 9));
    let matrix = Matrix::from_q8_0(20, 64, &bytes).unwrap();
    let mut row = vec![0.0; 64];
    matrix.row(17, &mut row);
    assert_eq!(row, weights[17 * 64..18 * 64]);
}

#[test]
fn bytes_that_do_not_fill_the_shape_are_refused() {
    assert!(Matrix::from_q8_0(2, 32, &[0; 67]).is_none());
    assert!(Matrix::from_q8_0(1, 33, &[0; 34]).is_none());
}

#[test]
fn the_exponential_is_close_to_the_library_s() {
    for step in -800..=800 {
        let x = step as f32 / 10.0;
        let (ours, exact) = (portable::exp(x), x.exp());
        assert!((ours - exact).abs() <= exact * 3e-7, "exp({x}) = {ours} for {exact}");
    }
}

/// Keys in tiles, from rows.
fn tiled(keys: &[f32], size: usize) -> Vec<f32> {
    let positions = (keys.len() / size).next_multiple_of(POSITIONS);
    let mut tiled = vec![f32::NAN; positions * size];
    for (position, key) in keys.chunks_exact(size).enumerate() {
        for (i, number) in key.iter().enumerate() {
            tiled[(position / POSITIONS * size + i) * POSITIONS + position % POSITIONS] = *number;
        }
    }
    tiled
}

fn check_attention(size: usize, positions: usize) {
    let (queries, keys, values) =
        (numbers(3 * size, 1), numbers(positions * size, 2), numbers(positions * size, 3));
    let likeness = |head: usize, p: usize| -> f32 {
        let query = &queries[head * size..][..size];
        let sum: f32 = query.iter().zip(&keys[p * size..][..size]).map(|(q, k)| q * k).sum();
        (sum / (size as f32).sqrt()).exp()
    };
    let heads = Heads { queries: &queries, keys: &tiled(&keys, size), values: &values, size };
    let (mut out, mut portable) = (vec![0.0; 3 * size], vec![0.0; 3 * size]);
    attend(&heads, &mut out);
    portable::attend::<false>(&heads, &mut portable);
    for (at, (out, portable)) in out.iter().zip(portable).enumerate() {
        let (head, i) = (at / size, at % size);
        let total: f32 = (0..positions).map(|p| likeness(head, p)).sum();
        let exact: f32 = (0..positions).map(|p| likeness(head, p) / total * values[p * size + i]).sum();
        assert!(
            (out - exact).abs() < 1e-5 && (portable - exact).abs() < 1e-5,
            "{out} {portable} for {exact}"
        );
    }
}

#[test]
fn attention_weighs_values_by_likeness() {
    for (size, positions) in [(20, 7), (64, 1), (64, 16), (64, 100), (32, 17)] {
        check_attention(size, positions);
    }
}
