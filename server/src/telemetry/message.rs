//! What may be believed of a message: its types are the SDK's own, `storyflag::TelemetryMessage`.

use std::collections::BTreeMap;

use storyflag::TelemetryMessage;

/// The longest id of an instance or name of an SDK.
const LONGEST_NAME: usize = 128;
/// A billion times a second for ten seconds: more has nobody counted, and sums stay far from their end.
const MOST_COUNTED: u64 = 10_000_000_000;

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
}
