//! Flags that depend on one that serves less: whoever lowers or kills it may raise them, and is told so.

use storyflag_evaluation::FlagItem;

use super::{App, Done, Place, targetings::TargetingState};

/// As many are named.
const MOST_NAMED: usize = 20;

impl App {
    /// The same, with a warning where a flag served less raises others. From memory: it holds no kill up.
    pub(super) fn warned(&self, place: &Place, flag: &str, mut done: Done<TargetingState>) -> Done<TargetingState> {
        let before = done.before.as_ref().map(|state| &state.item);
        let more = before.and_then(|before| served_more(before, &done.after.item).map(str::to_owned));
        if let (Some(variant), Some(environment)) = (more, self.hub.environment(place.environment.id)) {
            let ruleset = environment.ruleset();
            let mut dependents: Vec<&str> = ruleset.flags().filter(|other| other.needs(flag, &variant)).map(|other| other.key()).collect();
            dependents.sort_unstable();
            done.warnings.extend(warning(&dependents, &variant));
        }
        done
    }
}

/// The variant of those who are out, where more are out than before.
fn served_more<'i>(before: &FlagItem, after: &'i FlagItem) -> Option<&'i str> {
    if after.killed && !before.killed {
        return Some(&after.off);
    }
    let is_lowered = after.rollout.millionths < before.rollout.millionths;
    is_lowered.then(|| after.rollout.otherwise.as_ref().unwrap_or(&after.off).as_str())
}

fn warning(dependents: &[&str], variant: &str) -> Option<String> {
    let named: Vec<&str> = dependents.iter().take(MOST_NAMED).copied().collect();
    let (named, others) = (named.join(", "), dependents.len().saturating_sub(MOST_NAMED));
    match (dependents, others) {
        ([], _) => None,
        ([_], _) => Some(format!("{named} depends on {variant:?} of this flag, which more users get now: it may be served to more users")),
        (_, 0) => Some(format!("{named} depend on {variant:?} of this flag, which more users get now: they may be served to more users")),
        _ => Some(format!("{named} and {others} others depend on {variant:?} of this flag: they may be served to more users now")),
    }
}
