//! What may be believed of a message: its types are the SDK's own, `storyflag::TelemetryMessage`.

use std::collections::BTreeMap;

use storyflag::{ArmCounts, TelemetryMessage};

/// The longest id of an instance, and name of an SDK, a flag or an event.
const LONGEST_NAME: usize = 128;
/// A billion times a second for ten seconds: more has nobody counted, and sums stay far from their end.
const MOST_COUNTED: u64 = 10_000_000_000;
/// Rows of a message: arms of watched flags, by rollout revision.
const MOST_ROWS: usize = 1_000;
/// Events of a row.
const MOST_EVENTS: usize = 256;
/// Units that an event names.
const MOST_UNITS: usize = 8;
/// Digits that tell of different units.
const REGISTERS: usize = 4_096;

/// What JSON's types do not say.
///
/// # Errors
/// The fault, named.
pub fn check(message: &TelemetryMessage) -> Result<(), &'static str> {
    let visible = |text: &str| !text.is_empty() && text.len() <= LONGEST_NAME && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !visible(&message.instance) {
        return Err("`instance` is 1 to 128 visible ASCII characters");
    }
    if !visible(&message.sdk) {
        return Err("`sdk` is 1 to 128 visible ASCII characters");
    }
    if message.usage.values().flat_map(BTreeMap::values).any(|count| *count > MOST_COUNTED) {
        return Err("a count in `usage` is at most 10,000,000,000 a message");
    }
    if message.watched.len() > MOST_ROWS {
        return Err("`watched` has at most 1,000 rows");
    }
    if message.dropped_seconds > MOST_COUNTED {
        return Err("`dropped_seconds` is at most 10,000,000,000");
    }
    message.watched.iter().try_for_each(check_row)
}

fn check_row(row: &ArmCounts) -> Result<(), &'static str> {
    let is_name = |text: &str| !text.is_empty() && text.len() <= LONGEST_NAME;
    if !is_name(&row.flag) || !row.events.keys().all(|name| is_name(name)) {
        return Err("a flag or event in `watched` has a name of 1 to 128 bytes");
    }
    if row.events.len() > MOST_EVENTS {
        return Err("a row in `watched` has at most 256 events");
    }
    let counts = [row.requests, row.success, row.failure, row.error, row.cancelled, row.mixed, row.new_units, row.overflow];
    let of_events = row.events.values().flat_map(|event| [event.count, event.at_risk, event.first]);
    let of_latency = row.latency_us.iter().map(|(_, count)| *count);
    if counts.into_iter().chain(of_events).chain(of_latency).any(|count| count > MOST_COUNTED) {
        return Err("a count in `watched` is at most 10,000,000,000 a message");
    }
    let is_unit = |unit: &String| unit.len() == 16 && unit.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !row.events.values().all(|event| event.units.len() <= MOST_UNITS && event.units.iter().all(is_unit)) {
        return Err("`units` are at most 8, of 16 hexadecimal digits each");
    }
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    if !row.distinct_units.as_ref().is_none_or(|digits| digits.len() == REGISTERS && digits.bytes().all(is_digit)) {
        return Err("`distinct_units` has 4,096 digits of base64");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<TelemetryMessage, String> {
        let message: TelemetryMessage = serde_json::from_str(text).map_err(|error| error.to_string())?;
        check(&message)?;
        Ok(message)
    }

    #[test]
    fn reads_a_message_and_passes_over_what_it_does_not_know() {
        let message = read(
            r#"{"format":1,"instance":"0f3a","sequence":42,"sdk":"rust/0.1.0","applied":"1764000000000-813-9f2c41d0a6e7b358","goodbye":false,
                "usage":{"US-123-checkout":{"on":120,"off":9000}},"watched":[{"flag":"US-123-checkout","arm":"treatment","requests":40}],"new":[[]]}"#,
        );
        let message = message.unwrap();
        assert_eq!((message.sequence, message.applied.unwrap().revision, message.usage["US-123-checkout"]["off"]), (42, 813, 9000));
        let least = read(r#"{"instance":"a","sequence":0,"sdk":"x"}"#).unwrap();
        assert!(least.applied.is_none() && !least.goodbye && least.usage.is_empty());
    }

    #[test]
    fn refuses_what_is_no_message() {
        for text in [
            "",
            "{}",
            "[]",
            r#"{"instance":"a","sequence":-1,"sdk":"x"}"#,
            r#"{"instance":"a","sequence":1.5,"sdk":"x"}"#,
            r#"{"instance":7,"sequence":1,"sdk":"x"}"#,
            r#"{"instance":"","sequence":1,"sdk":"x"}"#,
            r#"{"instance":"a b","sequence":1,"sdk":"x"}"#,
            r#"{"instance":"a","sequence":1,"sdk":"\u0000"}"#,
            r#"{"instance":"a","sequence":1,"sdk":"x","applied":"813"}"#,
            r#"{"instance":"a","sequence":1,"sdk":"x","goodbye":"no"}"#,
            r#"{"instance":"a","sequence":1,"sdk":"x","usage":{"f":{"on":-3}}}"#,
            r#"{"instance":"a","sequence":1,"sdk":"x","usage":{"f":7}}"#,
            r#"{"instance":"a","sequence":1,"sdk":"x","usage":{"f":{"on":9223372036854775807}}}"#,
            r#"{"instance":"a","sequence":1,"sdk":"x"} trailing"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read(&format!(r#"{{"instance":"{}","sequence":1,"sdk":"x"}}"#, "a".repeat(129))).is_err());
    }

    #[test]
    fn refuses_counts_that_nobody_counted() {
        let row = |more: &str| {
            read(&format!(r#"{{"instance":"a","sequence":1,"sdk":"x","watched":[{{"flag":"f","arm":"control"{more}}}]}}"#)).map(|_| ())
        };
        let events = (0..257).map(|number| format!(r#""e{number}":{{}}"#)).collect::<Vec<_>>().join(",");
        let units = [r#""77a0000000000000""#; 9].join(",");
        for (more, why) in [
            (r#","requests":10000000001"#.to_owned(), "a count in `watched`"),
            (r#","events":{"error":{"first":10000000001}}"#.to_owned(), "a count in `watched`"),
            (r#","latency_us":[[1,10000000001]]"#.to_owned(), "a count in `watched`"),
            (format!(r#","events":{{"{}":{{}}}}"#, "e".repeat(129)), "a flag or event"),
            (r#","events":{"":{}}"#.to_owned(), "a flag or event"),
            (format!(r#","events":{{{events}}}"#), "a row in `watched`"),
            (r#","events":{"error":{"units":["77a"]}}"#.to_owned(), "`units`"),
            (r#","events":{"error":{"units":["+7a0000000000000"]}}"#.to_owned(), "`units`"),
            (format!(r#","events":{{"error":{{"units":[{units}]}}}}"#), "`units`"),
            (r#","distinct_units":"AAA""#.to_owned(), "`distinct_units`"),
            (format!(r#","distinct_units":"{}-""#, "A".repeat(4_095)), "`distinct_units`"),
        ] {
            let refused = row(&more).unwrap_err();
            assert!(refused.starts_with(why), "{more:.100}: {refused}");
        }
        for more in [
            String::new(),
            format!(r#","distinct_units":"{}""#, "A".repeat(4_096)),
            r#","events":{"error":{"units":["77a0000000000000"],"count":10000000000}},"rollout_revision":18446744073709551615"#.to_owned(),
        ] {
            assert_eq!(row(&more), Ok(()), "{more:.100}");
        }
        let rows = vec![r#"{"flag":"f","arm":"control"}"#; 1_001].join(",");
        assert!(read(&format!(r#"{{"instance":"a","sequence":1,"sdk":"x","watched":[{rows}]}}"#)).unwrap_err().starts_with("`watched`"));
    }
}
