//! Logarithms of sums and of the gamma function.

/// `ln(exp(a) + exp(b))` without overflow.
pub(crate) fn log_add_exp(a: f64, b: f64) -> f64 {
    let (high, low) = if a >= b { (a, b) } else { (b, a) };
    // Below this the smaller one is under half a unit in the last place of the larger one.
    if high - low > 37.0 { high } else { high + (low - high).exp().ln_1p() }
}

/// `ln` of the sum of `exp` of each; the lowest f64 for none.
pub(crate) fn log_sum_exp(logs: impl IntoIterator<Item = f64>) -> f64 {
    logs.into_iter().fold(f64::MIN, log_add_exp)
}

/// `ln` of the gamma function for `x > 0`: Stirling's series, shifted up to where it is exact to 1e-14.
pub(crate) fn ln_gamma(x: f64) -> f64 {
    const LN_SQRT_TAU: f64 = 0.918_938_533_204_672_8;
    let (mut x, mut product) = (x.max(f64::MIN_POSITIVE), 1.0);
    while x < 12.0 {
        product *= x;
        x += 1.0;
    }
    let square = 1.0 / (x * x);
    let series = (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square * (1.0 / 1680.0 - square / 1188.0)))) / x;
    (x - 0.5) * x.ln() - x + LN_SQRT_TAU + series - f64::ln(product)
}

/// `ln` of the beta function for `a, b > 0`.
pub(crate) fn ln_beta(a: f64, b: f64) -> f64 {
    ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)
}

/// A count as a float. Above 2^53 the last digits go: no decision hangs on them.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gamma_is_the_factorial() {
        let mut factorial = 0.0;
        for n in 1..40_u32 {
            assert!((ln_gamma(f64::from(n)) - factorial).abs() < 1e-12 * f64::max(1.0, factorial), "{n}");
            factorial += f64::from(n).ln();
        }
        assert!((ln_gamma(0.5) - 0.5 * std::f64::consts::PI.ln()).abs() < 1e-13);
    }

    #[test]
    fn sums_of_exponentials_do_not_overflow() {
        assert!((log_add_exp(1_000.0, 1_000.0) - 1_000.0 - std::f64::consts::LN_2).abs() < 1e-12);
        assert_eq!(log_add_exp(f64::MIN, 3.0), 3.0);
        assert!(log_sum_exp([]) == f64::MIN);
    }
}
