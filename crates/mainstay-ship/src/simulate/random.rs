//! Random numbers from a seed, the same on every machine: xoshiro256++ over integers, and logarithms of additions and
//! multiplications alone, since those of a platform's library differ in their last bits.

/// A source of random numbers.
#[derive(Clone, Debug)]
pub(super) struct Random {
    state: [u64; 4],
}

impl Random {
    /// A source that gives the same numbers for the same seed.
    pub(super) fn new(seed: u64) -> Self {
        // splitmix64 spreads the seed, so that near seeds give far states.
        let mut at = seed;
        let mut next = || {
            at = at.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = at;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        Self { state: [next(), next(), next(), next()] }
    }

    fn bits(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let found = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        found
    }

    /// Between 0 and 1, neither of them.
    pub(super) fn unit(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// An exponential waiting time with this mean.
    pub(super) fn exponential(&mut self, mean: f64) -> f64 {
        -ln(self.unit()) * mean
    }

    /// A standard normal number, as the sum of twelve even ones: its tails end at six.
    pub(super) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    /// A log-normal number with this median and this deviation of its logarithm.
    pub(super) fn log_normal(&mut self, median: f64, deviation: f64) -> f64 {
        median * exp(self.normal() * deviation)
    }

    /// A gamma-distributed number with mean 1 (Marsaglia and Tsang's way; below shape 1 through the shape above it).
    pub(super) fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let above = self.gamma(shape + 1.0) * (shape + 1.0);
            return above * exp(ln(self.unit()) / shape) / shape;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = 1.0 + c * x;
            let v = v * v * v;
            if v > 0.0 && ln(self.unit()) < 0.5 * x * x + d - d * v + d * ln(v) {
                return d * v / shape;
            }
        }
    }
}

const LN_2: f64 = std::f64::consts::LN_2;

/// The natural logarithm of a positive number, to about fifteen digits.
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let exponent = (bits >> 52) as i64 - 1023;
    let mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    // The mantissa lies in 1..2; the series of its area tangent converges by a ninth a step.
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let mut power = s;
    let mut sum = 0.0;
    for n in 0..17 {
        sum += power / f64::from(2 * n + 1);
        power *= s * s;
    }
    2.0 * sum + exponent as f64 * LN_2
}

/// The exponential of a number between -700 and 700, to about fifteen digits.
fn exp(x: f64) -> f64 {
    let x = x.clamp(-700.0, 700.0);
    let k = (x / LN_2).round();
    let rest = x - k * LN_2;
    let mut term = 1.0;
    let mut sum = 1.0;
    for n in 1..18 {
        term *= rest / f64::from(n);
        sum += term;
    }
    sum * f64::from_bits(((k as i64 + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_numbers_of_a_seed_are_those_of_the_published_generator() {
        // State 1, 2, 3, 4 of the authors' C code: rotl(1 + 4, 23) + 1 first.
        let mut random = Random { state: [1, 2, 3, 4] };
        assert_eq!(random.bits(), (5_u64 << 23) + 1);
        assert_eq!(random.bits(), 58_720_359);
    }

    #[test]
    fn logarithm_and_exponential_agree_with_the_platforms() {
        for x in [1e-9, 0.1, 0.5, 1.0, 1.5, 2.0, 3.25, 1e6] {
            assert!((ln(x) - x.ln()).abs() < 1e-13 * x.ln().abs().max(1.0), "ln {x}");
        }
        for x in [-20.0, -1.0, 0.0, 0.3, 1.0, 7.5, 20.0_f64] {
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-13, "exp {x}");
        }
    }

    #[test]
    fn means_are_what_they_should_be() {
        let mut random = Random::new(7);
        let mean = |of: &mut dyn FnMut() -> f64| (0..20_000).map(|_| of()).sum::<f64>() / 20_000.0;
        assert!((mean(&mut || random.exponential(3.0)) - 3.0).abs() < 0.1);
        assert!(mean(&mut || random.normal()).abs() < 0.03);
        assert!((mean(&mut || random.gamma(0.25)) - 1.0).abs() < 0.06);
        assert!((mean(&mut || random.gamma(4.0)) - 1.0).abs() < 0.02);
    }
}
