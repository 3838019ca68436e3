//! `storyflag rollout`: the percentage, shown, raised and lowered.

use clap::Args;
use serde::Deserialize;
use serde_json::{Map, Number, Value};

use super::{
    Said,
    client::{Answer, Query, Target},
    failure::Failure,
    table::{counted, plain},
    targeting::{Targeting, state},
    writes::{WriteArgs, dry_run_in_words, warnings_in_words},
};

#[derive(Debug, Args)]
pub(super) struct RolloutArgs {
    /// The flag's key
    key: String,
    /// To so many percent, such as 1, 0.1 or 50%; without it, what stands is shown
    #[arg(value_parser = percent, allow_hyphen_values = true)]
    percent: Option<Number>,
    /// Only if so many percent stand
    #[arg(long, value_name = "PERCENT", value_parser = percent, requires = "percent")]
    from: Option<Number>,
    #[command(flatten)]
    write: WriteArgs,
    /// Past the bounds of a protected environment
    #[arg(long)]
    force: bool,
    /// Away from the release that drives the flag: nothing watches it then
    #[arg(long)]
    take_over: bool,
    #[command(flatten)]
    target: Target,
}

/// A number, with or without its sign; whether it is a percentage is the service's to say.
pub(super) fn percent(text: &str) -> Result<Number, String> {
    let number = text.trim().trim_end_matches('%').trim_end();
    serde_json::from_str(number).map_err(|_| "it is no percentage such as 0.1, 1 or 50%".to_owned())
}

/// What a bump did.
#[derive(Debug, Deserialize)]
struct Bump {
    from: f64,
    to: f64,
    revision: i64,
    instances: u64,
    warnings: Vec<String>,
}

pub(super) fn rollout(args: &RolloutArgs) -> Result<Said, Failure> {
    let target = &args.target;
    let path = target.in_environment(&["flags", &args.key])?;
    let Some(percent) = &args.percent else {
        let answer = target.client()?.get(&path, &Query::default())?;
        return if target.json { Ok(Said::json(&[answer])) } else { shown(&answer, &target.place_of(&args.key)) };
    };
    let mut body = Map::new();
    body.insert("percentage".to_owned(), Value::Number(percent.clone()));
    body.extend(args.from.clone().map(|from| ("from".to_owned(), Value::Number(from))));
    let query = args.write.query().with_flag("force", args.force).with_flag("take_over", args.take_over);
    let answer = target.client()?.send("PATCH", &format!("{path}/rollout"), &query, &Value::Object(body));
    let answer = answer.map_err(|failure| if args.from.is_some() { look_first(failure, args) } else { failure })?;
    if target.json {
        return Ok(Said::json(&[answer]));
    }
    let place = target.place_of(&args.key);
    if args.write.dry_run { Ok(Said::out(dry_run_in_words(&answer, &place)?)) } else { bumped(&answer, &place) }
}

/// What a `--from` that was not so makes one want to know.
fn look_first(failure: Failure, args: &RolloutArgs) -> Failure {
    let environment = args.target.environment().unwrap_or_default();
    failure.or_next(format!("storyflag rollout {} -e {environment}, which shows what stands", args.key))
}

fn bumped(answer: &Answer, place: &str) -> Result<Said, Failure> {
    let Bump { from, to, revision, instances, warnings } = answer.read()?;
    let moved = if (from - to).abs() < f64::EPSILON { format!("stays at {to} %") } else { format!("{from} % -> {to} %") };
    let instances = counted(instances, "instance");
    let text = format!("{}: {moved}  (revision {revision}, {instances})\n{}", plain(place), warnings_in_words(&warnings));
    Ok(Said::out(text))
}

fn shown(answer: &Answer, place: &str) -> Result<Said, Failure> {
    let targeting: Targeting = answer.read()?;
    let mut text = format!("{}: {}\n", plain(place), targeting.rollout_in_words());
    if targeting.killed || !targeting.enabled {
        let state = state(targeting.enabled, targeting.killed);
        text.push_str(&format!("but it is {state}: everybody gets {}\n", plain(&targeting.off)));
    }
    if let Some(before) = targeting.before_in_words() {
        text.push_str(&format!("{before}\n"));
    }
    text.push_str(&format!("since {} by {}\n", plain(&targeting.updated_at), plain(&targeting.updated_by)));
    Ok(Said::out(text))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::{super::targeting::tests::targeting, *};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: RolloutArgs,
    }

    fn answer(body: &Value) -> Answer {
        Answer { status: 200, text: body.to_string() }
    }

    #[test]
    fn percentages_are_typed_as_people_do() {
        for (text, number) in
            [("1", json!(1)), ("0.1", json!(0.1)), ("50%", json!(50)), ("50 %", json!(50)), ("-1", json!(-1)), ("0.00001", json!(0.00001))]
        {
            assert_eq!(percent(text).map(Value::Number), Ok(number), "{text}");
        }
        for text in ["ten", "", "%", "NaN", "0,1", "1 2"] {
            assert!(percent(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_negative_percentage_reaches_the_service_and_from_needs_a_percentage() {
        let line = Line::try_parse_from(["rollout", "US-1", "-1", "-e", "staging"]).unwrap();
        assert_eq!(line.args.percent, Some(Number::from(-1)));
        assert_eq!(line.args.target.environment(), Some("staging"));
        assert!(Line::try_parse_from(["rollout", "US-1", "--from", "1"]).is_err());
        assert!(Line::try_parse_from(["rollout", "US-1", "--json"]).unwrap().args.percent.is_none());
    }

    #[test]
    fn a_bump_is_one_line_and_its_warnings() {
        let body = json!({"from": 0.1, "to": 1.0, "revision": 813, "instances": 42, "version": 2, "warnings": ["not enabled here: nobody is served"]});
        let said = bumped(&answer(&body), "US-123-checkout in production").unwrap();
        let line = "US-123-checkout in production: 0.1 % -> 1 %  (revision 813, 42 instances)";
        assert_eq!(said.out, format!("{line}\nwarning: not enabled here: nobody is served\n"));
        let body = json!({"from": 1.0, "to": 1.0, "revision": 813, "instances": 1, "version": 2, "warnings": []});
        assert_eq!(bumped(&answer(&body), "a in b").unwrap().out, "a in b: stays at 1 %  (revision 813, 1 instance)\n");
    }

    #[test]
    fn what_stands_says_whether_anybody_gets_it() {
        let said = shown(&answer(&targeting(json!({"killed": true, "rules": [{}]}))), "US-1 in staging").unwrap();
        let lines: Vec<&str> = said.out.lines().collect();
        assert_eq!(
            lines,
            [
                "US-1 in staging: 10 % get on, everyone else off",
                "but it is KILLED: everybody gets off",
                "asked before that: 1 rule",
                "since 2026-12-01T00:00:00Z by ann",
            ]
        );
    }
}
