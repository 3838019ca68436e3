//! `storyflag flags`: what there is, what is on, and how a flag comes and goes.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Said,
    client::{Answer, Query, Target},
    failure::Failure,
    flag_list::{ListArgs, list},
    invocation,
    table::{Table, plain},
    targeting::{Targeting, state},
    writes::{WriteArgs, dry_run_in_words},
};

#[derive(Debug, Args)]
pub(super) struct FlagsArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    list: ListArgs,
    #[command(subcommand)]
    verb: Option<FlagsVerb>,
}

#[derive(Debug, Subcommand)]
enum FlagsVerb {
    /// List flags; with -e, what is on there
    List(ListArgs),
    /// Show one flag, and what is on where
    Show {
        /// The flag's key
        key: String,
    },
    /// Create a flag: it is born in every environment, at 0 %
    Create(Box<CreateArgs>),
    /// Archive a flag: it is gone everywhere, and its key is never used again
    Archive {
        /// The flag's key
        key: String,
        #[command(flatten)]
        write: WriteArgs,
        /// Even if it serves somebody in a protected environment, or was asked for today
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// The flag's key, such as US-123-checkout
    key: String,
    /// The user story that it releases
    #[arg(long)]
    story: Option<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Who answers for it
    #[arg(long)]
    owner: Option<String>,
    /// For finding it; may be given again
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Name to value as JSON, such as {"light": "#fff", "dark": "#000"}; on and off unless given
    #[arg(long, value_name = "JSON", value_parser = json_object, requires = "off", requires = "serve")]
    variants: Option<Map<String, Value>>,
    /// The variant of who is out
    #[arg(long, value_name = "VARIANT")]
    off: Option<String>,
    /// The variant of who is in
    #[arg(long, value_name = "VARIANT")]
    serve: Option<String>,
    /// The seed text of its buckets, to share them with another flag; the key unless given
    #[arg(long, value_name = "TEXT")]
    seed: Option<String>,
    /// Browsers and phones may see it
    #[arg(long)]
    client: bool,
    #[command(flatten)]
    write: WriteArgs,
}

/// An argument that is a JSON object.
pub(super) fn json_object(text: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err("it is no JSON object such as {\"name\": \"value\"}".to_owned()),
        Err(error) => Err(format!("it is no JSON: {error}")),
    }
}

/// As much of a flag as is shown.
#[derive(Debug, Deserialize)]
pub(super) struct Flag {
    pub(super) key: String,
    pub(super) story: String,
    pub(super) description: String,
    pub(super) variants: Map<String, Value>,
    off: String,
    serve: String,
    pub(super) tags: Vec<String>,
    pub(super) owner: String,
    seed: String,
    client: bool,
    archived_at: Option<String>,
    created_at: String,
}

#[derive(Debug, Deserialize)]
struct Environments {
    environments: Vec<Environment>,
}

#[derive(Debug, Deserialize)]
struct Environment {
    key: String,
}

pub(super) fn flags(args: FlagsArgs) -> Result<Said, Failure> {
    let FlagsArgs { target, list: before, verb } = args;
    if verb.is_some() && !before.is_empty() {
        return Err(Failure::usage("--query and --tag go behind `list`: storyflag flags list --query ..."));
    }
    match verb {
        None => list(&target, &before),
        Some(FlagsVerb::List(args)) => list(&target, &args),
        Some(FlagsVerb::Show { key }) => show(&target, &key),
        Some(FlagsVerb::Create(args)) => create(&target, *args),
        Some(FlagsVerb::Archive { key, write, force }) => archive(&target, &key, &write, force),
    }
}

fn show(target: &Target, key: &str) -> Result<Said, Failure> {
    let client = target.client()?;
    let answer = client.get(&target.in_project(&["flags", key]), &Query::default())?;
    if target.json {
        return match target.environment() {
            Some(_) => Ok(Said::json(&[client.get(&target.in_environment(&["flags", key])?, &Query::default())?])),
            None => Ok(Said::json(&[answer])),
        };
    }
    let flag: Flag = answer.read()?;
    let mut text = card(&flag);
    if flag.archived_at.is_some() {
        return Ok(Said::out(text));
    }
    let environments = client.get(&target.in_project(&["environments"]), &Query::default())?.read::<Environments>()?.environments;
    let mut table = Table::new(["ENVIRONMENT", "STATE", "ROLLOUT", "COHORTS", "CHANGED", "BY"]);
    for Environment { key: environment } in environments {
        let path = target.in_project(&["environments", &environment, "flags", key]);
        // A token may be for some environments only: what it may not see is left out, and said so.
        let Ok(answer) = client.get(&path, &Query::default()) else {
            table.row([environment, "not for this token".to_owned(), String::new(), String::new(), String::new(), String::new()]);
            continue;
        };
        let targeting: Targeting = answer.read()?;
        let served = format!("{} %", targeting.rollout.percentage);
        let state = state(targeting.enabled, targeting.killed).to_owned();
        table.row([environment, state, served, targeting.rollout.cohorts.join(", "), targeting.updated_at, targeting.updated_by]);
    }
    text.push('\n');
    text.push_str(&table.render());
    Ok(Said::out(text))
}

/// A flag's own lines.
fn card(flag: &Flag) -> String {
    let variants = flag.variants.iter().map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join(", ");
    let seed = if flag.seed == flag.key { "" } else { flag.seed.as_str() };
    let (client, tags) = (if flag.client { "yes" } else { "" }, flag.tags.join(", "));
    let lines = [
        ("flag", flag.key.as_str()),
        ("archived", flag.archived_at.as_deref().unwrap_or_default()),
        ("story", &flag.story),
        ("description", &flag.description),
        ("variants", &variants),
        ("who is in gets", &flag.serve),
        ("who is out gets", &flag.off),
        ("tags", &tags),
        ("owner", &flag.owner),
        ("seed", seed),
        ("browsers may see it", client),
        ("created", &flag.created_at),
    ];
    lines.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{name:<20}{}\n", plain(value))).collect()
}

fn create(target: &Target, args: CreateArgs) -> Result<Said, Failure> {
    let mut body = Map::new();
    let texts = [
        ("story", args.story),
        ("description", args.description),
        ("owner", args.owner),
        ("off", args.off),
        ("serve", args.serve),
        ("seed", args.seed),
    ];
    body.extend(texts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::String(value?)))));
    body.extend(args.variants.map(|variants| ("variants".to_owned(), Value::Object(variants))));
    if !args.tags.is_empty() {
        body.insert("tags".to_owned(), json!(args.tags));
    }
    if args.client {
        body.insert("client".to_owned(), json!(true));
    }
    let path = target.in_project(&["flags", &args.key]);
    let body = Value::Object(body);
    let answer = target.client()?.send("PUT", &path, &args.write.query(), &body);
    let answer = answer.map_err(|failure| there_already(failure, target, &args.key, &path, body))?;
    if target.json {
        return Ok(Said::json(&[answer]));
    }
    if args.write.dry_run {
        return Ok(Said::out(dry_run_in_words(&answer, &args.key)?));
    }
    let key = &args.key;
    let text = if answer.status == 201 {
        format!("{key} is created: in every environment, at 0 %\n")
    } else {
        format!("{key} is there already, and just so\n")
    };
    let environment = target.environment().unwrap_or("staging");
    Ok(Said::out(text).with_note(format!("next: storyflag rollout {key} 0.1 -e {environment}")))
}

/// What a key that is taken makes one want to type: there is no command that changes a flag, so it is the request.
fn there_already(failure: Failure, target: &Target, key: &str, path: &str, mut body: Value) -> Failure {
    let text = failure.text();
    if text.contains("keys are never used again") {
        return failure.or_next("the same with another key");
    }
    if !text.contains("is there with another content") {
        return failure;
    }
    // The seed is given at a flag's birth, and never again.
    body.as_object_mut().map(|fields| fields.remove("seed"));
    let (key, url) = (invocation::quoted(key), invocation::quoted(&target.address(path)));
    let body = invocation::quoted(&body.to_string());
    failure.or_next(format!(
        "storyflag flags show {key}, which tells what stands; to change that:\n  \
         curl -sS -X PATCH {url} -H \"authorization: Bearer $STORYFLAG_TOKEN\" -H 'content-type: application/json' -d {body}"
    ))
}

fn archive(target: &Target, key: &str, write: &WriteArgs, force: bool) -> Result<Said, Failure> {
    let query = write.query().with_flag("force", force);
    let answer = target.client()?.delete(&target.in_project(&["flags", key]), &query)?;
    if target.json {
        return Ok(Said::json(&[answer]));
    }
    if write.dry_run {
        return Ok(Said::out(would_archive(&answer, key)?));
    }
    Ok(Said::out(format!("{key} is archived: gone everywhere, and its key is never used again\n")))
}

/// What an archive would do is not seen in its one difference, a time.
fn would_archive(answer: &Answer, key: &str) -> Result<String, Failure> {
    let told = answer.read::<Value>()?;
    let changes = told.get("differences").and_then(Value::as_array).is_some_and(|differences| !differences.is_empty());
    Ok(if changes {
        format!(
            "{key}: nothing was changed; this would archive it: gone from every environment at once, where applications get their own \
             default, and its key never used again\n"
        )
    } else {
        format!("{key} is archived already: this would change nothing\n")
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// As the service tells it.
    pub(in crate::cli) fn flag() -> Value {
        json!({"key": "US-1", "story": "US-1", "description": "The cart", "variants": {"off": false, "on": true}, "off": "off", "serve": "on",
            "tags": ["shop", "beta"], "owner": "", "seed": "US-1", "client": false, "version": 1,
            "created_at": "2026-12-01T00:00:00Z", "updated_at": "2026-12-01T00:00:00Z"})
    }

    #[test]
    fn a_card_leaves_out_what_is_not_said() {
        let flag: Flag = serde_json::from_value(flag()).unwrap();
        let card = card(&flag);
        assert!(card.contains("variants            off = false, on = true\n"), "{card}");
        assert!(!card.contains("owner") && !card.contains("seed") && !card.contains("archived"), "{card}");
    }

    #[test]
    fn variants_are_an_object() {
        assert!(json_object("{\"a\": 1}").is_ok());
        assert!(json_object("[1]").unwrap_err().contains("no JSON object"));
        assert!(json_object("{a}").unwrap_err().contains("line 1"));
    }
}
