use super::*;
use crate::plan::condition::Failing;

fn canonical(text: &str) -> String {
    Condition::parse(text).unwrap_or_else(|why| panic!("{text}: {why}")).text
}

#[test]
fn the_language_reads_back() {
    for text in [
        "error_rate > 5%",
        "success_rate < 99.9%",
        "p50_latency > 1ms",
        "p99_latency >= 60000ms",
        "slow(1000ms) > 1.25x control",
        "slow(1000ms) > 5%",
        "event(purchase) < 0.9x control",
        "event(purchase) < 2",
        "error_rate > 1.25x control",
        "prometheus(\"sum(rate(x{a=\\\"b\\\"}[5m]))\") > 3 for 5m",
        "prometheus(\"up\") <= 0",
    ] {
        assert_eq!(canonical(text), text);
    }
    assert_eq!(canonical("p95_latency>1s"), "p95_latency > 1000ms");
    assert_eq!(canonical("prometheus(\"up\") < 1 for 300s"), "prometheus(\"up\") < 1 for 5m");
}

#[test]
fn the_words_of_the_template_are_conditions() {
    for (words, text) in [
        ("Error rate > 5%", "error_rate > 5%"),
        ("Error rate: < 0.1%", "error_rate < 0.1%"),
        ("Response time > 1000ms (p95)", "p95_latency > 1000ms"),
        ("Response time (p95): < 200ms", "p95_latency < 200ms"),
        ("Success rate > 99.9%", "success_rate > 99.9%"),
        ("Success rate: ≥ 99 %", "success_rate >= 99%"),
    ] {
        assert_eq!(canonical(words), text);
    }
}

#[test]
fn errors_point_at_the_column_and_say_what_would_be_right() {
    for (text, column, part) in [
        ("", 1, "begins with"),
        ("eror_rate > 5%", 1, "did you mean error_rate"),
        ("p97_latency > 5ms", 1, "did you mean p9"),
        ("error_rate = 5%", 12, ">, >="),
        ("error_rate > five", 14, "a number"),
        ("error_rate > 5", 15, "5%"),
        ("error_rate > 500ms", 17, "percent"),
        ("error_rate > 101%", 14, "0 to 100"),
        ("error_rate > 0.00001%", 14, "four decimals"),
        ("p95_latency > 5%", 16, "ms or s"),
        ("p95_latency > 1.25x control", 15, "slow(1000ms)"),
        ("p95_latency > 0.5ms", 15, "whole"),
        ("Response time > 1000ms", 23, "(p95)"),
        ("Response time > 1000ms (p94)", 25, "p95"),
        ("error_rate > 1.25x treatment", 20, "control"),
        ("error_rate > 5% for 5m", 17, "prometheus"),
        ("error_rate > 5% always", 17, "nothing"),
        ("prometheus(up) > 1", 12, "quotation"),
        ("prometheus(\"up) > 1", 12, "never closed"),
        ("slow(fast) > 1%", 6, "slow(1000ms)"),
        ("event() > 1", 7, "name"),
    ] {
        let why = Condition::parse(text).expect_err(text);
        assert_eq!(why.column, column, "{text}: {why}");
        assert!(why.detail.contains(part), "{text}: {why}");
    }
}

#[test]
fn three_triggers_are_one_test() {
    for (text, failing) in [
        ("error_rate > 5%", Failing::Error),
        ("success_rate < 95%", Failing::NotSuccess),
        ("p95_latency > 1000ms", Failing::Slow { limit_ms: 1000 }),
        ("slow(1000ms) > 5%", Failing::Slow { limit_ms: 1000 }),
    ] {
        let condition = Condition::parse(text).unwrap();
        assert_eq!(condition.failing(), Some(failing), "{text}");
        assert_eq!(condition.failing_limit(), Percentage::from_millionths(50_000), "{text}");
        assert_eq!(condition.holds_when_bad(), Some(true), "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,60}") {
        let _ = Condition::parse(&text);
    }

    #[test]
    fn what_is_read_reads_back(text in "(error_rate|success_rate|p9[059]_latency|slow\\([1-9]{1,3}ms\\)|event\\(a\\)|prometheus\\(\"[a-z\\\\ ]{1,9}\"\\)) ?[<>]=? ?[0-9]{1,3}(\\.[0-9]{1,4})?(%|ms|s|x control)?( for 5m)?") {
        if let Ok(condition) = Condition::parse(&text) {
            proptest::prop_assert_eq!(Condition::parse(&condition.text), Ok(condition));
        }
    }
}
