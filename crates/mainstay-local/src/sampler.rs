//! The choice of the next token from its logits. The same seed and logits give the same choice.

use std::hash::{BuildHasher, RandomState};

use mainstay_core::model::ModelRequest;

/// What is used where the request does not say: small models wander at higher temperatures.
const TEMPERATURE_DEFAULT: f32 = 0.2;
const TOP_P_DEFAULT: f32 = 0.9;

/// How to choose, and the state of the dice.
#[derive(Debug)]
pub(crate) struct Sampler {
    temperature: f32,
    top_p: f32,
    state: u64,
}

impl Sampler {
    /// As the request says; without a seed the dice are thrown anew.
    pub(crate) fn new(request: &ModelRequest) -> Self {
        let seed = request.seed.map_or_else(|| RandomState::new().hash_one(0), i64::cast_unsigned);
        Self {
            temperature: request.temperature.map_or(TEMPERATURE_DEFAULT, |t| t as f32),
            top_p: request.top_p.map_or(TOP_P_DEFAULT, |p| p as f32),
            state: seed,
        }
    }

    /// Chooses a token. At temperature zero, the likeliest.
    pub(crate) fn choose(&mut self, logits: &[f32]) -> u32 {
        let (best, most) = likeliest(logits);
        if self.temperature <= 0.0 || self.top_p <= 0.0 {
            return best;
        }
        let mut candidates = self.candidates(logits, most);
        candidates.sort_unstable_by(|(_, a), (_, b)| b.total_cmp(a));
        let total: f32 = candidates.iter().map(|(_, weight)| weight).sum();
        let mut kept = 0.0;
        let nucleus = candidates.iter().take_while(|(_, weight)| {
            let before = kept;
            kept += weight;
            before < total * self.top_p.min(1.0)
        });
        let nucleus: Vec<_> = nucleus.copied().collect();
        let mut ticket = self.fraction() * nucleus.iter().map(|(_, weight)| weight).sum::<f32>();
        for (token, weight) in &nucleus {
            ticket -= weight;
            if ticket < 0.0 {
                return *token;
            }
        }
        best
    }

    /// Tokens and their weights relative to the likeliest, without those too unlikely to matter.
    fn candidates(&self, logits: &[f32], most: f32) -> Vec<(u32, f32)> {
        // A weight below e^-20 (2e-9) times a vocabulary of 10^5 is less than the precision of the sum.
        const NEGLIGIBLE: f32 = -20.0;
        let scaled = (0..).zip(logits).map(|(token, logit)| (token, (logit - most) / self.temperature));
        scaled.filter(|(_, x)| *x > NEGLIGIBLE).map(|(token, x)| (token, x.exp())).collect()
    }

    /// The next number in [0, 1), by SplitMix64.
    fn fraction(&mut self) -> f32 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f32 / (1_u64 << 24) as f32
    }
}

fn likeliest(logits: &[f32]) -> (u32, f32) {
    let first = (0, f32::NEG_INFINITY);
    (0..).zip(logits).fold(first, |best, (token, logit)| if *logit > best.1 { (token, *logit) } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(temperature: f64, top_p: f64, seed: i64) -> Sampler {
        let (temperature, top_p) = (Some(temperature), Some(top_p));
        Sampler::new(&ModelRequest { temperature, top_p, seed: Some(seed), ..ModelRequest::default() })
    }

    #[test]
    fn zero_temperature_takes_the_likeliest() {
        assert_eq!(sampler(0.0, 1.0, 1).choose(&[0.1, 2.0, 1.9, f32::NAN]), 1);
    }

    #[test]
    fn a_seed_repeats_its_choices() {
        let logits: Vec<f32> = (0..100).map(|i| (i % 7) as f32).collect();
        let choose = |seed| {
            let mut sampler = sampler(1.0, 1.0, seed);
            (0..20).map(|_| sampler.choose(&logits)).collect::<Vec<_>>()
        };
        assert_eq!(choose(4), choose(4));
        assert_ne!(choose(4), choose(5));
    }

    #[test]
    fn choices_follow_the_weights() {
        let mut sampler = sampler(1.0, 1.0, 3);
        let logits = [3.0_f32.ln(), 0.0];
        let first = (0..4000).filter(|_| sampler.choose(&logits) == 0).count();
        assert!((2850..3150).contains(&first), "{first} of 4000 for odds of three to one");
    }

    #[test]
    fn the_nucleus_leaves_out_the_tail() {
        let mut sampler = sampler(1.0, 0.6, 3);
        let logits = [3.0_f32.ln(), 0.0, 0.0];
        assert!((0..1000).map(|_| sampler.choose(&logits)).all(|token| token < 2));
    }
}
