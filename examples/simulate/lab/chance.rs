//! Chance that falls the same way on every machine.
//!
//! Only operations that IEEE 754 defines to the last bit are used: what `ln`, `exp` and `cos` return differs between the
//! systems' maths libraries. And each draw belongs to what it decides (a call, an attempt), not to the order in which
//! things happen, so that two arms meet the same luck and their difference is theirs.

use rand::{Rng, SeedableRng, rngs::Xoshiro256PlusPlus};

/// A stream of draws.
#[derive(Debug, Clone)]
pub(crate) struct Chance(Xoshiro256PlusPlus);

impl Chance {
    /// The stream that belongs to `path` under `seed`.
    pub(crate) fn new(seed: u64, path: &[u64]) -> Self {
        let mixed = path.iter().fold(mix(seed), |state, part| {
            mix(state ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        });
        Self(Xoshiro256PlusPlus::seed_from_u64(mixed))
    }

    /// Uniform in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        // 53 bits, the precision of the type.
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Nearly normal, with mean 0 and deviation 1: twelve uniform draws. Its tails end at ± 6.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    /// Log-normal, with this median.
    pub(crate) fn log_normal(&mut self, median: f64, spread: f64) -> f64 {
        median * exp(spread * self.normal())
    }

    /// The time to the next of events that come `rate` times a second, each for itself, in seconds.
    pub(crate) fn poisson_gap(&mut self, rate: f64) -> f64 {
        -ln(1.0 - self.unit()) / rate
    }
}

/// The finish of `SplitMix64`: neighbours become strangers.
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// eˣ for the moderate `x` that this laboratory needs: 2ᵏ · eʳ, and a series for the small rest.
fn exp(x: f64) -> f64 {
    let k = (x / std::f64::consts::LN_2).round().clamp(-1000.0, 1000.0);
    let r = x - k * std::f64::consts::LN_2;
    let (mut term, mut sum) = (1.0, 1.0);
    for n in 1..16 {
        term *= r / f64::from(n);
        sum += term;
    }
    sum * f64::from_bits(((k as i64 + 1023) as u64) << 52)
}

/// ln x for normal positive `x`: of its exponent, and a series for its mantissa.
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i64 - 1023;
    let mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let (mut power, mut sum) = (s, 0.0);
    for n in 0..24 {
        sum += power / f64::from(2 * n + 1);
        power *= s * s;
    }
    2.0 * sum + exponent as f64 * std::f64::consts::LN_2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_and_ln_are_those_of_the_maths_library_but_for_the_last_bits() {
        for n in 1..400 {
            let x = f64::from(n) / 40.0;
            assert!((ln(x) - x.ln()).abs() < 1e-12, "ln {x}");
            let x = x - 5.0;
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-12, "exp {x}");
        }
    }

    #[test]
    fn draws_belong_to_their_path() {
        let draw = |path: &[u64]| Chance::new(7, path).unit().to_bits();
        assert_eq!(draw(&[1, 2]), draw(&[1, 2]));
        assert_ne!(draw(&[1, 2]), draw(&[2, 1]));
        assert_ne!(draw(&[1, 2]), draw(&[1, 3]));
    }

    #[test]
    fn waits_and_latencies_have_the_mean_and_median_that_were_asked_for() {
        let mut chance = Chance::new(1, &[]);
        let mean = (0..20_000).map(|_| chance.poisson_gap(4.0)).sum::<f64>() / 20_000.0;
        assert!((mean - 0.25).abs() < 0.01, "{mean}");
        let above = (0..20_000)
            .filter(|_| chance.log_normal(2.0, 0.5) > 2.0)
            .count();
        assert!((9_700..10_300).contains(&above), "{above}");
    }
}
