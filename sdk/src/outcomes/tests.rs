//! What is counted, without a network.

use std::{panic, sync::Arc, thread, time::Duration};

use storyflag_evaluation::{Arm, Context, Ruleset, bucket, flag_seed};

use super::{Outcome, Outcomes, Scope, tally::MOST_UNITS, track};
use crate::{
    detail::boolean,
    environment::{Environment, flag_watched},
    message::{ArmCounts, EventCounts},
    shared::Shared,
    status::State,
};

const KEY: &str = "US-1";
const FAST: Duration = Duration::from_millis(3);

/// A client that watches a flag at 50 %.
fn watching() -> Shared {
    let shared = Shared::new(State::NotReady, Outcomes::new(true));
    serve(&shared, &[&flag_watched(KEY, 50.0, 812)]);
    shared
}

fn serve(shared: &Shared, flags: &[&str]) {
    let mut environment = Environment::new();
    flags.iter().enumerate().for_each(|(index, text)| drop(environment.flags.insert(format!("{index}"), (*text).to_owned())));
    shared.serve(Ruleset::compile(environment.identity(), flags, &[], None));
}

/// The users of one arm.
fn users(arm: Arm) -> impl Iterator<Item = Context> {
    let is_in = arm == Arm::Treatment;
    let names = (0_u64..).map(|number| format!("user-{number}"));
    names.filter(move |name| (bucket(name.as_bytes(), flag_seed(KEY)) < 500_000) == is_in).map(|name| Context::new(name.as_str()))
}

fn user(arm: Arm) -> Context {
    users(arm).next().unwrap()
}

fn ask(shared: &Shared, context: &Context) -> bool {
    shared.served().ask(KEY, context, boolean).unwrap()
}

/// One request of one user.
fn request(shared: &Shared, context: &Context, outcome: Outcome, latency: Duration) {
    let scope = Scope::open();
    scope.enter(|| ask(shared, context));
    scope.finish_after(outcome, latency);
}

fn close(shared: &Shared) -> Vec<ArmCounts> {
    shared.outcomes().close_second(false);
    shared.outcomes().take().sum()
}

fn row(rows: &[ArmCounts], arm: Arm) -> &ArmCounts {
    rows.iter().find(|row| row.arm == arm).unwrap()
}

fn event(rows: &[ArmCounts], arm: Arm, name: &str) -> (u64, u64, u64) {
    let event = &row(rows, arm).events[name];
    (event.count, event.at_risk, event.first)
}

#[test]
fn an_outcome_counts_for_the_arm_that_was_asked_for() {
    let shared = watching();
    let (inside, outside) = (user(Arm::Treatment), user(Arm::Control));
    request(&shared, &inside, Outcome::Success, FAST);
    request(&shared, &inside, Outcome::Failure, FAST);
    request(&shared, &outside, Outcome::Error, Duration::from_millis(201));
    request(&shared, &outside, Outcome::Cancelled, Duration::from_secs(9));
    let rows = close(&shared);
    let numbers = |arm| {
        let row = row(&rows, arm);
        (row.requests, row.success, row.failure, row.error, row.cancelled, row.new_units)
    };
    assert_eq!(numbers(Arm::Treatment), (2, 1, 1, 0, 0, 1));
    assert_eq!(numbers(Arm::Control), (2, 0, 0, 1, 1, 1));
    assert_eq!(event(&rows, Arm::Treatment, "not_success"), (1, 1, 1));
    for (name, expected) in [("error", (1, 1, 1)), ("not_success", (1, 1, 1)), ("slow_200", (1, 1, 1)), ("slow_1000", (0, 1, 0))] {
        assert_eq!(event(&rows, Arm::Control, name), expected, "{name}");
    }
    assert_eq!(row(&rows, Arm::Treatment).latency_us, [(3_007, 2)]);
    assert_eq!(row(&rows, Arm::Control).latency_us, [(201_727, 1)], "who did not wait tells no latency");
    let failed = &row(&rows, Arm::Control).events["error"].units;
    let hash = storyflag_evaluation::unit_hash(outside.unit_of("targetingKey").unwrap().as_bytes(), flag_seed(KEY));
    assert_eq!(failed, &[format!("{hash:016x}")]);

    let rows = close(&shared);
    assert!(rows.len() == 4 && rows.iter().all(ArmCounts::is_zero), "zero is told, too: {rows:?}");
    assert_eq!(row(&rows, Arm::Cohort).events.len(), 4);
}

#[test]
fn a_unit_is_at_risk_until_its_first_event() {
    let shared = watching();
    let users: Vec<_> = users(Arm::Treatment).take(10).collect();
    users.iter().for_each(|user| request(&shared, user, Outcome::Success, FAST));
    request(&shared, &users[0], Outcome::Error, FAST);
    request(&shared, &users[0], Outcome::Error, FAST);
    assert_eq!(event(&close(&shared), Arm::Treatment, "error"), (2, 10, 1), "at risk when the second began");
    users.iter().for_each(|user| request(&shared, user, Outcome::Error, FAST));
    let rows = close(&shared);
    assert_eq!(event(&rows, Arm::Treatment, "error"), (10, 9, 9));
    assert_eq!(event(&rows, Arm::Treatment, "slow_200"), (0, 10, 0), "each event has its own risk");
    assert_eq!((row(&rows, Arm::Treatment).new_units, row(&rows, Arm::Treatment).events["error"].units.len()), (0, 8));
    request(&shared, &users[3], Outcome::Success, FAST);
    assert_eq!(event(&close(&shared), Arm::Treatment, "error"), (0, 0, 0));

    serve(&shared, &[&flag_watched(KEY, 50.0, 813)]);
    request(&shared, &users[3], Outcome::Error, FAST);
    let rows = close(&shared);
    assert_eq!((rows.len(), row(&rows, Arm::Treatment).rollout_revision), (4, 813));
    assert_eq!(event(&rows, Arm::Treatment, "error"), (1, 1, 1), "a new rollout begins anew");
}

#[test]
fn two_arms_in_one_scope_are_credited_to_neither() {
    let shared = watching();
    let scope = Scope::open();
    scope.enter(|| (ask(&shared, &user(Arm::Treatment)), ask(&shared, &user(Arm::Control))));
    scope.track("purchase", 1.0);
    scope.finish(Outcome::Error);
    let rows = close(&shared);
    assert_eq!((row(&rows, Arm::Treatment).mixed, row(&rows, Arm::Control).mixed), (1, 0), "told once, where it began");
    assert!(rows.iter().all(|row| row.requests == 0 && row.new_units == 0 && row.events.values().all(|event| event.count == 0)));

    // One arm under two rollouts is no better.
    let scope = Scope::open();
    scope.enter(|| ask(&shared, &user(Arm::Treatment)));
    serve(&shared, &[&flag_watched(KEY, 50.0, 813)]);
    scope.enter(|| ask(&shared, &user(Arm::Treatment)));
    scope.finish(Outcome::Success);
    drop(scope);
    let rows = close(&shared);
    assert_eq!(
        rows.iter().map(|row| (row.rollout_revision, row.mixed)).collect::<Vec<_>>(),
        [(812, 1), (813, 0), (813, 0), (813, 0), (813, 0)]
    );
}

#[test]
fn several_units_of_one_arm_are_one_request() {
    let shared = watching();
    let users: Vec<_> = users(Arm::Control).take(100).collect();
    let scope = Scope::open();
    scope.enter(|| users.iter().chain(&users).for_each(|user| _ = ask(&shared, user)));
    scope.finish_after(Outcome::Error, FAST);
    let rows = close(&shared);
    let control = row(&rows, Arm::Control);
    assert_eq!((control.requests, control.error, control.new_units), (1, 1, 64), "a scope remembers 64");
    assert_eq!(control.overflow, 136 - 64, "and says what it forgot");
    assert_eq!(event(&rows, Arm::Control, "error"), (1, 64, 64));
}

#[test]
fn what_is_tracked_counts_where_it_is_told_and_after() {
    let shared = watching();
    let (first, second) = { (user(Arm::Treatment), users(Arm::Treatment).nth(1).unwrap()) };
    let scope = Scope::open();
    scope.enter(|| {
        track("purchase", 74.5);
        ask(&shared, &first);
    });
    scope.finish_after(Outcome::Success, FAST);
    scope.track("purchase", f64::NAN);
    shared.served().track(&second, "purchase", 0.5);
    shared.served().track(&user(Arm::Control), "purchase", 2.0);
    for name in ["error", "slow_7", "not_success", "", &"x".repeat(65)] {
        shared.served().track(&second, name, 1.0);
    }
    track("nobody listens", 1.0);
    let rows = close(&shared);
    let purchase = &row(&rows, Arm::Treatment).events["purchase"];
    assert_eq!((purchase.count, purchase.sum, purchase.first, purchase.at_risk), (3, Some(75.0), 2, 1));
    assert_eq!((row(&rows, Arm::Treatment).new_units, row(&rows, Arm::Treatment).overflow), (1, 5), "names that are ours");
    assert_eq!(row(&rows, Arm::Control).events["purchase"].sum, Some(2.0));
    request(&shared, &second, Outcome::Success, FAST);
    let rows = close(&shared);
    assert_eq!((row(&rows, Arm::Treatment).new_units, event(&rows, Arm::Treatment, "purchase")), (1, (0, 0, 0)), "it had one");
    for number in 0..40 {
        shared.served().track(&first, &format!("event-{number}"), 1.0);
    }
    let rows = close(&shared);
    assert_eq!((row(&rows, Arm::Treatment).events.len(), row(&rows, Arm::Treatment).overflow), (4 + 16, 25));
}

#[test]
fn units_are_bounded_and_the_bound_is_told() {
    let shared = watching();
    let bound = u64::try_from(MOST_UNITS).unwrap();
    users(Arm::Treatment).take(MOST_UNITS + 500).for_each(|user| request(&shared, &user, Outcome::Success, FAST));
    shared.outcomes().close_second(true);
    let rows = shared.outcomes().take().sum();
    let treatment = row(&rows, Arm::Treatment);
    assert_eq!((treatment.requests, treatment.new_units, treatment.overflow), (bound + 500, bound, 500));
    assert_eq!(event(&rows, Arm::Treatment, "error").1, bound);
    assert_eq!(treatment.distinct_units.as_ref().map(String::len), Some(4_096));
    request(&shared, &user(Arm::Treatment), Outcome::Error, FAST);
    assert_eq!(event(&close(&shared), Arm::Treatment, "error"), (1, 1, 1), "who is remembered is followed");
}

#[test]
fn the_first_end_counts_and_no_end_is_one() {
    let shared = watching();
    let context = user(Arm::Treatment);
    let scope = Scope::open();
    scope.enter(|| ask(&shared, &context));
    scope.clone().finish(Outcome::Success);
    scope.finish(Outcome::Error);
    scope.enter(|| ask(&shared, &user(Arm::Control)));
    drop(scope);
    let scope = Scope::open();
    scope.enter(|| ask(&shared, &context));
    drop(scope);
    let (asking, panicking) = (&shared, context.clone());
    let panicked = panic::catch_unwind(panic::AssertUnwindSafe(|| {
        let scope = Scope::open();
        scope.enter(|| ask(asking, &panicking));
        panic!("as a job may");
    }));
    assert!(panicked.is_err() && Scope::current().is_none());
    let rows = close(&shared);
    let treatment = row(&rows, Arm::Treatment);
    assert_eq!((treatment.success, treatment.error, treatment.cancelled, treatment.mixed), (1, 1, 1, 0));
    assert_eq!(row(&rows, Arm::Control).requests, 0, "asked for after the end");
}

#[test]
fn scopes_nest_and_are_carried_to_threads() {
    let shared = watching();
    let (outer, inner) = (Scope::open(), Scope::open());
    outer.enter(|| {
        inner.enter(|| ask(&shared, &user(Arm::Treatment)));
        let carried = Scope::current().unwrap();
        thread::scope(|threads| threads.spawn(|| carried.enter(|| ask(&shared, &user(Arm::Control)))).join().unwrap());
    });
    ask(&shared, &user(Arm::Treatment));
    inner.finish(Outcome::Success);
    outer.finish(Outcome::Failure);
    let rows = close(&shared);
    assert_eq!((row(&rows, Arm::Treatment).success, row(&rows, Arm::Control).failure), (1, 1));
}

#[test]
fn only_watched_flags_are_remembered_and_the_last_of_them_is_told() {
    let shared = watching();
    let scope = Scope::open();
    scope.enter(|| ask(&shared, &user(Arm::Treatment)));
    serve(&shared, &[&flag_watched("US-2", 50.0, 900), &crate::environment::flag(KEY, 50.0)]);
    scope.enter(|| ask(&shared, &user(Arm::Treatment)));
    let rows = close(&shared);
    assert!(rows.iter().all(|row| row.flag == "US-2"), "an old one has nothing to say");
    scope.finish_after(Outcome::Success, FAST);
    drop(scope);
    let rows = close(&shared);
    assert_eq!(rows.iter().map(|row| (row.flag.as_str(), row.requests)).collect::<Vec<_>>()[0], (KEY, 1));
    serve(&shared, &[&crate::environment::flag(KEY, 50.0)]);
    close(&shared);
    close(&shared);
    shared.outcomes().close_second(false);
    assert_eq!(shared.outcomes().take().seconds.len(), 0, "nothing is watched");
}

#[test]
fn what_waits_is_bounded_and_the_oldest_goes() {
    let shared = watching();
    let context = user(Arm::Treatment);
    let second = |outcome| {
        request(&shared, &context, outcome, FAST);
        shared.outcomes().close_second(false);
    };
    (0..3).for_each(|_| second(Outcome::Error));
    let unsent = shared.outcomes().take();
    (0..9).for_each(|_| second(Outcome::Success));
    shared.outcomes().put_back(unsent);
    let waiting = shared.outcomes().take();
    assert_eq!((waiting.dropped, waiting.seconds.len()), (2, 10));
    let rows = waiting.sum();
    assert_eq!((row(&rows, Arm::Treatment).error, row(&rows, Arm::Treatment).success), (1, 9));
    let latency = &row(&rows, Arm::Treatment).latency_us;
    assert_eq!(latency, &[(3_007, 10)]);
}

#[test]
fn threads_lose_nothing() {
    let shared = Arc::new(watching());
    let users: Arc<Vec<_>> = Arc::new(users(Arm::Control).take(200).collect());
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (shared, users) = (Arc::clone(&shared), Arc::clone(&users));
            thread::spawn(move || (0..5).for_each(|_| users.iter().for_each(|user| request(&shared, user, Outcome::Error, FAST))))
        })
        .collect();
    let mut rows = Vec::new();
    while threads.iter().any(|thread| !thread.is_finished()) {
        rows.extend(close(&shared));
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    rows.extend(close(&shared));
    let sum = |of: fn(&ArmCounts) -> u64| rows.iter().filter(|row| row.arm == Arm::Control).map(of).sum::<u64>();
    let first: u64 = rows.iter().filter_map(|row| row.events.get("error")).map(|event: &EventCounts| event.first).sum();
    assert_eq!((sum(|row| row.error), sum(|row| row.new_units), first), (8_000, 200, 200));
}

#[test]
fn a_client_that_reports_nothing_counts_nothing() {
    let shared = Shared::new(State::Fixed, Outcomes::new(false));
    serve(&shared, &[&flag_watched(KEY, 50.0, 812)]);
    request(&shared, &user(Arm::Treatment), Outcome::Error, FAST);
    assert!(shared.served().watched.is_empty() && close(&shared).is_empty());
}
