//! `storyflag explain`: who got what, and why, in words for 3 a.m.

use clap::Args;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Said,
    client::{Query, Target},
    failure::Failure,
    flags::json_object,
    invocation,
    table::{grouped, plain},
    writes::in_words,
};

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The flag's key
    key: Option<String>,
    /// Who: the targeting key, such as user-42
    unit: Option<String>,
    /// A moment in the past, such as 2026-12-01T14:03:00Z; now unless given
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// What the application knows, as JSON, such as {"country": "DE"}
    #[arg(long, value_name = "JSON", value_parser = json_object)]
    context: Option<Map<String, Value>>,
    #[command(flatten)]
    target: Target,
}

/// What a flag answered, and why.
#[derive(Debug, Deserialize)]
struct Explanation {
    flag: String,
    value: Option<Value>,
    variant: Option<String>,
    reason: String,
    /// A service of the version before does not say.
    killed: Option<bool>,
    error: Option<String>,
    rule: Option<String>,
    bucket: Option<u64>,
    arm: String,
    enters_at: Option<f64>,
    #[serde(default)]
    not_given: Vec<String>,
    #[serde(default)]
    wanted_by: Vec<String>,
    revision: u64,
}

pub(super) fn explain(args: &ExplainArgs) -> Result<Said, Failure> {
    let target = &args.target;
    let environment = target.environment().unwrap_or("staging");
    let Some(key) = &args.key else {
        return Err(Failure::usage(format!(
            "which flag, and for whom? Such as: storyflag explain US-123-checkout user-42 -e {environment}"
        )));
    };
    if args.unit.is_none() && args.context.is_none() {
        let form = format!("storyflag explain {key} user-42 -e {environment}");
        return Err(Failure::usage(format!("for whom? Name a unit: {form}; or what the application knows: --context JSON")));
    }
    let path = format!("{}/explain", target.in_environment(&["flags", key])?);
    let answer = target.client()?.send("POST", &path, &Query::default(), &question(args)?)?;
    if target.json {
        return Ok(Said::json(&[answer]));
    }
    let unit = args.unit.as_deref().or_else(|| args.context.as_ref()?.get("targetingKey")?.as_str());
    let unit = unit.map_or_else(|| "whoever has no key".to_owned(), plain);
    Ok(Said::out(told(&answer.read()?, &unit, &plain(target.required_environment()?), args.at.as_deref())))
}

fn question(args: &ExplainArgs) -> Result<Value, Failure> {
    let mut context = args.context.clone().unwrap_or_default();
    if let Some(unit) = &args.unit {
        let before = context.insert("targetingKey".to_owned(), json!(unit));
        if before.is_some_and(|before| before != json!(unit)) {
            return Err(Failure::usage("--context has another targetingKey than the unit: leave one of them away"));
        }
    }
    let mut body = Map::new();
    body.insert("context".to_owned(), Value::Object(context));
    body.extend(args.at.as_ref().map(|at| ("at".to_owned(), json!(at))));
    Ok(Value::Object(body))
}

fn told(answer: &Explanation, unit: &str, environment: &str, at: Option<&str>) -> String {
    let (gives, is) = if at.is_some() { ("gave", "was") } else { ("gives", "is") };
    let got = match (&answer.variant, &answer.value) {
        // The variants of a boolean flag speak for themselves.
        (Some(variant), Some(value)) if value.is_boolean() => plain(variant),
        (Some(variant), Some(value)) => format!("{} ({})", plain(variant), in_words(value)),
        _ => "nothing: the application's own default counts".to_owned(),
    };
    let place = format!("{} in {environment}", plain(&answer.flag));
    let sentence = match answer.arm.as_str() {
        "treatment" | "cohort" => format!("{unit} {is} IN: {place} {gives} it {got}"),
        "control" => format!("{unit} {is} OUT: {place} {gives} it {got}"),
        _ => format!("{place} {gives} {unit} {got}"),
    };
    let mut text = format!("{sentence}, because {}.\n", because(answer, is));
    if let Some(enters_at) = answer.enters_at {
        text.push_str(&place_in_words(answer, enters_at));
    }
    text.push_str(&lack_in_words(answer));
    let when = at.map(|at| format!(" at {}", plain(at))).unwrap_or_default();
    text.push_str(&format!("That is what revision {} says{when}.\n", answer.revision));
    text
}

fn because(answer: &Explanation, is: &str) -> String {
    let rule = answer.rule.as_deref().map(plain);
    match (answer.reason.as_str(), answer.arm.as_str(), rule) {
        ("ERROR", ..) => broken(answer.error.as_deref().unwrap_or_default(), is),
        ("DISABLED", ..) => match answer.killed {
            Some(true) => format!("the flag {is} killed there"),
            Some(false) => format!("the flag {is} not enabled there"),
            None => format!("the flag {is} killed or not enabled there"),
        },
        (_, _, Some(rule)) => format!("rule {rule:?} holds"),
        (_, "cohort", _) => format!("it {is} in a cohort of the rollout, which is always in, whatever the percentage"),
        ("SPLIT", "treatment", _) => "of its bucket".to_owned(),
        ("SPLIT", "control", _) => "of its bucket: the percentage has not reached it".to_owned(),
        (_, "treatment", _) => format!("the percentage {is} 100: everybody is in"),
        (_, "control", _) => format!("the percentage {is} 0: nobody is in by bucket"),
        ("TARGETING_MATCH", ..) => "an override names it".to_owned(),
        ("DEFAULT", ..) => "another flag that this one depends on does not serve what it must".to_owned(),
        (other, ..) => format!("of {}", plain(other)),
    }
}

fn broken(error: &str, is: &str) -> String {
    match error {
        "FLAG_NOT_FOUND" => format!("there {is} no such flag there"),
        "TARGETING_KEY_MISSING" => format!("the percentage needs a unit and there {is} none: the application gave no key"),
        "TYPE_MISMATCH" => "the application asks for another type than the flag has".to_owned(),
        "PARSE_ERROR" => "the flag holds something that this version cannot evaluate".to_owned(),
        other => format!("of {}", plain(other)),
    }
}

/// What could not be judged, and what to add.
fn lack_in_words(answer: &Explanation) -> String {
    let (look, were) = match (answer.wanted_by.as_slice(), answer.not_given.as_slice()) {
        (_, []) => return String::new(),
        ([_], [_]) => ("looks", "was"),
        ([_], _) => ("looks", "were"),
        (_, [_]) => ("look", "was"),
        _ => ("look", "were"),
    };
    let context: Vec<String> = answer.not_given.iter().map(|name| format!("{}: \"...\"", Value::from(plain(name)))).collect();
    let (by, names) = (plain(&answer.wanted_by.join(", ")), plain(&answer.not_given.join(", ")));
    let context = invocation::quoted(&format!("{{{}}}", context.join(", ")));
    format!("{by} {look} at {names}, which {were} not given: add --context {context}\n")
}

fn place_in_words(answer: &Explanation, enters_at: f64) -> String {
    match answer.bucket {
        Some(bucket) => format!(
            "Its bucket is {} of 1,000,000: it enters at {enters_at} %, and is in at any percentage from there on.\n",
            grouped(bucket)
        ),
        None => format!("By its bucket alone it would enter at {enters_at} %.\n"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: ExplainArgs,
    }

    fn line(args: &[&str]) -> ExplainArgs {
        Line::parse_from([&["explain"], args].concat()).args
    }

    fn answer(change: Value) -> Explanation {
        let mut body = json!({"flag": "US-1", "value": true, "variant": "on", "reason": "SPLIT", "bucket": 4213, "arm": "treatment",
            "enters_at": 0.4214, "revision": 813});
        if let (Value::Object(body), Value::Object(change)) = (&mut body, change) {
            body.extend(change);
        }
        serde_json::from_value(body).unwrap()
    }

    #[test]
    fn who_is_in_by_bucket_is_told_from_where_on() {
        let text = told(&answer(json!({})), "user-42", "production", None);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "user-42 is IN: US-1 in production gives it on, because of its bucket.",
                "Its bucket is 4,213 of 1,000,000: it enters at 0.4214 %, and is in at any percentage from there on.",
                "That is what revision 813 says.",
            ]
        );
    }

    #[test]
    fn what_could_not_be_judged_is_told_with_what_to_add() {
        let text = told(&answer(json!({"not_given": ["email"], "wanted_by": ["internal-users"]})), "u", "staging", None);
        let line = "internal-users looks at email, which was not given: add --context '{\"email\": \"...\"}'";
        assert!(text.lines().any(|told| told == line), "{text}");
    }

    #[test]
    fn the_past_is_told_as_the_past() {
        let text = told(
            &answer(json!({"reason": "DISABLED", "arm": "outside", "killed": true, "variant": "off", "value": false, "bucket": null})),
            "u",
            "staging",
            Some("T"),
        );
        assert!(text.starts_with("US-1 in staging gave u off, because the flag was killed there.\n"), "{text}");
        assert!(text.ends_with("That is what revision 813 says at T.\n"), "{text}");
    }

    #[test]
    fn every_way_to_an_answer_has_its_words() {
        for (change, word) in [
            (json!({"arm": "control"}), "u is OUT"),
            (json!({"arm": "cohort", "reason": "TARGETING_MATCH"}), "cohort"),
            (json!({"arm": "outside", "reason": "TARGETING_MATCH", "rule": "germany"}), "rule \"germany\""),
            (json!({"arm": "outside", "reason": "SPLIT", "rule": "germany"}), "rule \"germany\""),
            (json!({"arm": "outside", "reason": "TARGETING_MATCH"}), "override"),
            (json!({"arm": "outside", "reason": "DEFAULT"}), "depends on"),
            (json!({"reason": "STATIC"}), "100"),
            (json!({"reason": "DISABLED", "arm": "outside", "killed": false}), "is not enabled there"),
            (json!({"reason": "DEFAULT", "arm": "control"}), "is 0"),
            (json!({"reason": "ERROR", "arm": "outside", "error": "TARGETING_KEY_MISSING", "value": null, "variant": null}), "no key"),
        ] {
            let text = told(&answer(change.clone()), "u", "e", None);
            assert!(text.lines().next().unwrap().contains(word), "{change}: {text}");
        }
    }

    #[test]
    fn whom_it_is_about_has_to_be_said() {
        for args in [&[][..], &["US-1"][..]] {
            let Err(Failure::Usage(text)) = explain(&line(args)) else { panic!("{args:?}") };
            assert!(text.contains("storyflag explain US-"), "{text}");
        }
    }

    #[test]
    fn unit_and_context_are_one_context() {
        let asked = question(&line(&["US-1", "user-42", "--context", "{\"country\": \"DE\"}", "--at", "T"])).unwrap();
        assert_eq!(asked, json!({"context": {"country": "DE", "targetingKey": "user-42"}, "at": "T"}));
        assert!(question(&line(&["US-1", "user-42", "--context", "{\"targetingKey\": \"user-7\"}"])).is_err());
    }
}
