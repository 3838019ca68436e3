//! Stakes, and logarithms of the gamma function.

/// A stake after a likelihood ratio. Clipped from above, which keeps a test valid and its sums finite; what sinks below the
/// smallest float is nothing, which is less than it should be, and that keeps it valid too.
pub(crate) fn grown(stake: f64, log_factor: f64) -> f64 {
    (stake * log_factor.min(50.0).exp()).min(1e200)
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
}
