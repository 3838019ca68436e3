//! `storyflag cohorts`: named sets of units, by list and by conditions.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Said,
    client::{Answer, Query, Target},
    failure::Failure,
    invocation,
    members::{MembersArgs, members},
    table::{Table, counted, plain, shortened},
    writes::{WriteArgs, dry_run_in_words},
};

#[derive(Debug, Args)]
pub(super) struct CohortsArgs {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    verb: Option<CohortsVerb>,
}

#[derive(Debug, Subcommand)]
enum CohortsVerb {
    /// List cohorts
    List,
    /// Show one cohort
    Show {
        /// The cohort's key
        key: String,
    },
    /// Create a cohort, or replace its description, unit and conditions
    Put(PutArgs),
    /// Show, replace or change a cohort's list
    Members(MembersArgs),
    /// Delete a cohort that no flag names
    Delete {
        /// The cohort's key
        key: String,
        #[command(flatten)]
        write: WriteArgs,
    },
}

#[derive(Debug, Args)]
struct PutArgs {
    /// The cohort's key, such as internal-users
    key: String,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// The attribute that its list names; the targeting key unless given
    #[arg(long, value_name = "ATTRIBUTE")]
    unit: Option<String>,
    /// Conditions that all must hold, such as [{"attribute": "email", "ends_with": "@example.com"}]
    #[arg(long = "if", value_name = "JSON", value_parser = json_conditions)]
    conditions: Option<Value>,
    /// Even if it is there with another content, which is gone then; its list stays
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    write: WriteArgs,
}

/// A list of conditions, or one.
fn json_conditions(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(Value::Array(conditions)) => Ok(Value::Array(conditions)),
        Ok(Value::Object(condition)) => Ok(json!([condition])),
        Ok(_) => Err("it is no condition such as {\"attribute\": \"country\", \"in\": [\"DE\"]}, nor a list of them".to_owned()),
        Err(error) => Err(format!("it is no JSON: {error}")),
    }
}

#[derive(Debug, Deserialize)]
struct Cohorts {
    cohorts: Vec<Cohort>,
}

#[derive(Debug, Deserialize)]
struct Cohort {
    key: String,
    description: String,
    unit: String,
    #[serde(rename = "if")]
    conditions: Vec<Value>,
    members: u64,
    updated_at: String,
}

pub(super) fn cohorts(args: &CohortsArgs) -> Result<Said, Failure> {
    let target = &args.target;
    match &args.verb {
        None | Some(CohortsVerb::List) => {
            let pages = target.client()?.pages(&target.in_environment(&["cohorts"])?, &Query::default())?;
            if target.json { Ok(Said::json(&pages)) } else { table_of(&pages, target) }
        }
        Some(CohortsVerb::Show { key }) => {
            let answer = target.client()?.get(&target.in_environment(&["cohorts", key])?, &Query::default())?;
            if target.json { Ok(Said::json(&[answer])) } else { Ok(Said::out(card(&answer.read()?))) }
        }
        Some(CohortsVerb::Put(args)) => put(target, args),
        Some(CohortsVerb::Members(args)) => members(target, args),
        Some(CohortsVerb::Delete { key, write }) => {
            let answer = target.client()?.delete(&target.in_environment(&["cohorts", key])?, &write.query())?;
            told(target, &answer, key, write.dry_run, "is deleted")
        }
    }
}

fn put(target: &Target, args: &PutArgs) -> Result<Said, Failure> {
    let mut body = Map::new();
    let texts = [("description", &args.description), ("unit", &args.unit)];
    body.extend(texts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value.as_ref()?)))));
    body.extend(args.conditions.clone().map(|conditions| ("if".to_owned(), conditions)));
    let path = target.in_environment(&["cohorts", &args.key])?;
    let client = target.client()?;
    let stands = if args.replace { client.etag(&path)? } else { None };
    let answer = client.send_if("PUT", &path, &args.write.query(), &Value::Object(body), stands.as_deref())?;
    let done = if answer.status == 201 { "is created" } else { "is as you said" };
    let said = told(target, &answer, &args.key, args.write.dry_run, done)?;
    if target.json || answer.status != 201 {
        return Ok(said);
    }
    let environment = target.required_environment()?;
    let (key, environment) = (invocation::quoted(&args.key), invocation::quoted(environment));
    let next = format!("next: storyflag cohorts members {key} --replace FILE -e {environment}");
    Ok(said.with_note(format!("its list comes from a file with one unit a line\n{next}")))
}

fn told(target: &Target, answer: &Answer, key: &str, dry_run: bool, done: &str) -> Result<Said, Failure> {
    if target.json {
        return Ok(Said::json(std::slice::from_ref(answer)));
    }
    let place = plain(&target.place_of(key));
    Ok(Said::out(if dry_run { dry_run_in_words(answer, &place)? } else { format!("{place} {done}\n") }))
}

fn table_of(pages: &[Answer], target: &Target) -> Result<Said, Failure> {
    let mut table = Table::new(["COHORT", "MEMBERS", "UNIT", "CONDITIONS", "DESCRIPTION", "CHANGED"]);
    for page in pages {
        for cohort in page.read::<Cohorts>()?.cohorts {
            let conditions = if cohort.conditions.is_empty() { String::new() } else { conditions_of(&cohort.conditions) };
            let members = cohort.members.to_string();
            let description = shortened(&cohort.description, 60);
            table.row([cohort.key, members, cohort.unit, shortened(&conditions, 60), description, cohort.updated_at]);
        }
    }
    if table.is_empty() {
        let environment = plain(target.required_environment()?);
        return Ok(
            Said::out(format!("no cohorts in {environment}\n")).with_note(format!("next: storyflag cohorts put KEY -e {environment}"))
        );
    }
    Ok(Said::out(table.render()))
}

fn conditions_of(conditions: &[Value]) -> String {
    conditions.iter().map(Value::to_string).collect::<Vec<_>>().join(" and ")
}

fn card(cohort: &Cohort) -> String {
    let members = counted(cohort.members, "unit");
    let conditions = conditions_of(&cohort.conditions);
    let lines = [
        ("cohort", &cohort.key),
        ("description", &cohort.description),
        ("list", &members),
        ("its unit", &cohort.unit),
        ("or if", &conditions),
        ("changed", &cohort.updated_at),
    ];
    lines.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{name:<13}{}\n", plain(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_condition_is_a_list_of_one() {
        let condition = json!({"attribute": "country", "in": ["DE"]});
        assert_eq!(json_conditions(&condition.to_string()), Ok(json!([condition])));
        assert_eq!(json_conditions("[]"), Ok(json!([])));
        assert!(json_conditions("7").unwrap_err().contains("no condition"));
    }

    #[test]
    fn a_card_tells_list_and_conditions() {
        let cohort = json!({"key": "us", "description": "", "unit": "targetingKey", "members": 100_000, "version": 1, "updated_at": "T",
            "if": [{"attribute": "email", "ends_with": "@example.com"}]});
        let text = card(&serde_json::from_value(cohort).unwrap());
        assert_eq!(
            text,
            "cohort       us\nlist         100,000 units\nits unit     targetingKey\n\
             or if        {\"attribute\":\"email\",\"ends_with\":\"@example.com\"}\nchanged      T\n"
        );
    }
}
