//! How far a targeting lets its flag out: what is safe, what is bounded, and what a change moves.

use storyflag_evaluation::{FlagItem, Percentage, Serve};

const ALL: u32 = Percentage::ALL.millionths();

/// Ranges of buckets, from and to, in which something is so.
type Buckets = [(u32, u32); 2];

/// Where the rollout serves anything but `off`, which is the off variant that stood before a change: another off variant
/// is news for everybody who is out. A flag that is killed counts as if it were not: what it would serve.
fn served(item: &FlagItem, off: &str) -> Buckets {
    let rollout = &item.rollout;
    if !item.enabled {
        return if item.off == off { [(0, 0), (0, 0)] } else { [(0, ALL), (0, 0)] };
    }
    let below = rollout.millionths.millionths();
    let inside = if serves_off(&rollout.serve, off) { 0 } else { below };
    let outside = if otherwise(item) == off { ALL } else { below };
    [(0, inside), (outside, ALL)]
}

fn serves_off(serve: &Serve, off: &str) -> bool {
    match serve {
        Serve::Variant(variant) => variant == off,
        Serve::Split(weights) => weights.iter().all(|weight| weight.variant == off || weight.millionths == Percentage::ZERO),
    }
}

/// The variant of who is out.
fn otherwise(item: &FlagItem) -> &str {
    item.rollout.otherwise.as_deref().unwrap_or(&item.off)
}

fn contains(buckets: &Buckets, bucket: u32) -> bool {
    buckets.iter().any(|(from, to)| (*from..*to).contains(&bucket))
}

/// How many buckets are in the first and not in the second.
fn without(these: &Buckets, those: &Buckets) -> u32 {
    let mut ends: Vec<u32> = these.iter().chain(those).flat_map(|(from, to)| [*from, *to]).chain([0, ALL]).collect();
    ends.sort_unstable();
    let pieces = ends.iter().zip(ends.iter().skip(1));
    pieces.filter(|(from, _)| contains(these, **from) && !contains(those, **from)).map(|(from, to)| to.saturating_sub(*from)).sum()
}

fn percentage(buckets: u32) -> Percentage {
    Percentage::from_millionths(buckets).unwrap_or(Percentage::ALL)
}

/// The share of all units that the rollout serves anything but `off`, by bucket.
pub(super) fn exposure(item: &FlagItem, off: &str) -> Percentage {
    percentage(without(&served(item, off), &[(0, 0), (0, 0)]))
}

/// The shares of all units that a change adds and loses, by bucket: of those that nothing before the rollout decides.
pub fn moved(before: &FlagItem, after: &FlagItem) -> (Percentage, Percentage) {
    let off = &before.off;
    let live = |item: &FlagItem| if item.killed { [(0, 0), (0, 0)] } else { served(item, off) };
    let (before, after) = (live(before), live(after));
    (percentage(without(&after, &before)), percentage(without(&before, &after)))
}

/// Whether a flag can serve nothing but its off variant: by no rollout, cohort, rule or override.
pub(super) fn serves_only_off(item: &FlagItem) -> bool {
    let rollout = &item.rollout;
    let inside = rollout.millionths != Percentage::ZERO && !serves_off(&rollout.serve, &item.off);
    let by_rollout = inside || otherwise(item) != item.off;
    !by_rollout && rollout.cohorts.is_empty() && item.rules.is_empty() && item.overrides.is_empty()
}

/// Whether a change only lowers exposure: nothing but a smaller percentage, fewer cohorts, `enabled: false`, or a kill.
pub(super) fn is_safe(before: &FlagItem, after: &FlagItem) -> bool {
    let mut same_otherwise = before.clone();
    same_otherwise.killed = after.killed;
    same_otherwise.enabled = after.enabled;
    same_otherwise.rollout.millionths = after.rollout.millionths;
    same_otherwise.rollout.cohorts.clone_from(&after.rollout.cohorts);
    // Where those who are out get something, a smaller percentage gives it to more.
    let out_is_off = before.rollout == after.rollout || otherwise(after) == after.off;
    same_otherwise == *after
        && out_is_off
        && (after.killed || !before.killed)
        && (before.enabled || !after.enabled)
        && after.rollout.millionths <= before.rollout.millionths
        && after.rollout.cohorts.iter().all(|cohort| before.rollout.cohorts.contains(cohort))
}

/// Whether somebody may be served more by a change than before it: all that is neither safe nor serves nobody.
pub(super) fn raises(before: &FlagItem, after: &FlagItem) -> bool {
    let serves_nobody = after.killed || ((!after.enabled || serves_only_off(after)) && after.off == before.off);
    !is_safe(before, after) && !serves_nobody
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use storyflag_evaluation::Rollout;

    use super::*;

    fn item(percentage: f64, cohorts: &[&str]) -> FlagItem {
        FlagItem {
            key: "a".to_owned(),
            killed: false,
            off: "off".to_owned(),
            variants: [("on".to_owned(), true.into()), ("off".to_owned(), false.into())].into(),
            enabled: true,
            seed: "a".to_owned(),
            unit: "targetingKey".to_owned(),
            prerequisites: Vec::new(),
            overrides: BTreeMap::new(),
            rules: Vec::new(),
            rollout: Rollout {
                cohorts: cohorts.iter().map(|&key| key.to_owned()).collect(),
                millionths: Percentage::from_percent(percentage).unwrap(),
                serve: Serve::Variant("on".to_owned()),
                otherwise: None,
            },
            client: None,
            watch: None,
        }
    }

    #[test]
    fn safe_is_what_only_lowers_exposure() {
        let stands = item(10.0, &["internal", "beta"]);
        for safe in [
            item(9.9999, &["internal", "beta"]),
            item(10.0, &["beta"]),
            item(0.0, &[]),
            FlagItem { enabled: false, ..stands.clone() },
            FlagItem { killed: true, ..stands.clone() },
        ] {
            assert!(is_safe(&stands, &safe), "{safe:?}");
        }
        for raise in [
            item(10.0001, &["internal", "beta"]),
            item(1.0, &["internal", "vip"]),
            FlagItem { overrides: [("u".to_owned(), "off".to_owned())].into(), ..stands.clone() },
            FlagItem { unit: "account".to_owned(), ..stands.clone() },
        ] {
            assert!(!is_safe(&stands, &raise), "{raise:?}");
        }
        assert!(!is_safe(&FlagItem { enabled: false, ..stands.clone() }, &stands));
        assert!(!is_safe(&FlagItem { killed: true, ..stands.clone() }, &stands));
    }

    #[test]
    fn a_raise_is_what_may_serve_somebody_more() {
        let stands = item(10.0, &["internal"]);
        let killed = FlagItem { killed: true, ..stands.clone() };
        let disabled = FlagItem { enabled: false, ..stands.clone() };
        for (before, after, raise) in [
            (&stands, item(11.0, &["internal"]), true),
            (&stands, item(9.0, &["internal"]), false),
            (&stands, item(9.0, &["internal", "beta"]), true),
            (&stands, FlagItem { overrides: [("u".to_owned(), "on".to_owned())].into(), ..stands.clone() }, true),
            (&stands, FlagItem { unit: "account".to_owned(), ..item(0.0, &[]) }, false),
            (&stands, FlagItem { off: "on".to_owned(), ..item(0.0, &[]) }, true),
            (&killed, stands.clone(), true),
            (&killed, FlagItem { killed: true, ..item(50.0, &[]) }, false),
            (&disabled, FlagItem { enabled: false, ..item(50.0, &[]) }, false),
            (&disabled, stands.clone(), true),
        ] {
            assert_eq!(raises(before, &after), raise, "{after:?}");
        }
    }

    #[test]
    fn what_those_get_who_are_out_counts() {
        let plain = item(50.0, &[]);
        let mut turned = plain.clone();
        turned.rollout.serve = Serve::Variant("off".to_owned());
        turned.rollout.otherwise = Some("on".to_owned());
        let mut lowered = turned.clone();
        lowered.rollout.millionths = Percentage::ZERO;
        assert!(!is_safe(&turned, &lowered), "everybody would get it");
        assert!(!serves_only_off(&lowered) && serves_only_off(&item(0.0, &[])));
        assert_eq!([&plain, &turned, &lowered].map(|item| exposure(item, "off").percent()), [50.0, 50.0, 100.0]);
        let other_off = FlagItem { off: "on".to_owned(), ..item(0.0, &[]) };
        assert_eq!(exposure(&other_off, "off").percent(), 100.0, "another off variant reaches everybody");
        assert!(is_safe(&turned, &FlagItem { killed: true, ..turned.clone() }), "a kill is safe whatever it is");
        let percent = |(added, lost): (Percentage, Percentage)| (added.percent(), lost.percent());
        assert_eq!(percent(moved(&plain, &turned)), (50.0, 50.0));
        assert_eq!(percent(moved(&item(0.1, &[]), &item(1.0, &["internal"]))), (0.9, 0.0));
        assert_eq!(percent(moved(&plain, &FlagItem { killed: true, ..plain.clone() })), (0.0, 50.0));
    }
}
