//! Numbers as people read them.

/// A share as a percentage: `11.9 %`, `0.05 %`.
pub fn percent(share: f64) -> String {
    if !share.is_finite() {
        return "unknown".into();
    }
    let percent = share * 100.0;
    let decimals = if percent >= 99.95 || percent == 0.0 {
        0
    } else if percent >= 1.0 {
        1
    } else if percent >= 0.1 {
        2
    } else {
        4
    };
    let text = format!("{percent:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} %")
}

/// A count with its thousands apart: `1,203`.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// An e-value: `e = 1,203`, beyond a million as a power of ten.
pub fn e_value(e: f64) -> String {
    if !e.is_finite() || e > 1e6 {
        return format!("e = 10^{:.0}", e.min(f64::MAX).log10());
    }
    if e < 10.0 {
        return format!("e = {e:.1}");
    }
    // Between 10 and a million.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let whole = e as u64;
    format!("e = {}", count(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_well() {
        for (share, text) in [(0.11875, "11.9 %"), (0.05, "5 %"), (0.005, "0.5 %"), (0.0005, "0.05 %"), (1.0, "100 %"), (0.0, "0 %")] {
            assert_eq!(percent(share), text);
        }
        assert_eq!(percent(f64::NAN), "unknown");
        assert_eq!((count(0), count(999), count(1_203), count(1_000_000)), ("0".into(), "999".into(), "1,203".into(), "1,000,000".into()));
        assert_eq!((e_value(1_203.5), e_value(2.7e43), e_value(0.0)), ("e = 1,203".into(), "e = 10^43".into(), "e = 0.0".into()));
    }
}
