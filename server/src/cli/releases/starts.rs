//! A release begins: created, and started unless it has a time of its own.

use std::io::{self, Write};

use serde_json::{Map, Value};

use super::{
    super::{
        Said,
        client::{Answer, Client, Target},
        failure::Failure,
        table::{lasting, plain},
        writes::warnings_in_words,
    },
    NewArgs, StartArgs,
    commands::look_first,
    find::{Found, by_id, of_plan},
    shape::Release,
    view::place_in_words,
    watch,
};
use crate::app::now_ms;

/// Creates a release.
pub(super) fn create(target: &Target, args: &NewArgs) -> Result<Said, Failure> {
    let answer = send_new(&target.client()?, target, args)?;
    if target.json {
        return Ok(Said::json(&[answer]));
    }
    let release = Release::read(&answer.text)?;
    Ok(told(&release, target.required_environment()?, "is created"))
}

/// Creates a release and starts it. One that is created already, named by its id or the only thing that its plan waits
/// for, is started instead.
pub(super) fn start(target: &Target, args: &StartArgs) -> Result<Said, Failure> {
    let (client, environment) = (target.client()?, target.required_environment()?);
    let waiting = match by_id(&client, target, &args.new.plan)? {
        Some(found) => Some(found.release),
        None if args.new.at.is_none() && args.new.time_scale.is_none() => {
            of_plan(&client, target, &args.new.plan, true)?.into_iter().find(Release::is_scheduled)
        }
        None => None,
    };
    let (answer, is_new) = match waiting {
        Some(release) if args.new.at.is_some() || args.new.time_scale.is_some() => {
            let text = format!("{} is created already: --at and --time-scale are said when a release is created", release.id);
            return Err(Failure::usage(text));
        }
        Some(release) => {
            let started = send_start(&client, target, args, &release.id);
            let again = |failure: Failure| match start_again(&failure.text(), &release.id, environment) {
                again if again.contains("--from") => failure.or_next(again),
                _ => look_first(failure, target, &release.id),
            };
            (started.map_err(again)?, false)
        }
        None => {
            let created = Found::read(send_new(&client, target, &args.new)?)?;
            if args.new.at.is_some() {
                (created.answer, true)
            } else {
                let started = send_start(&client, target, args, &created.release.id);
                (started.map_err(|failure| not_started(failure, &created.release, environment))?, true)
            }
        }
    };
    let found = Found::read(answer)?;
    let done = match (found.release.is_scheduled(), is_new) {
        (true, _) => "is created",
        (false, true) => "is created and started",
        (false, false) => "is started",
    };
    let said = if target.json { Said::json(std::slice::from_ref(&found.answer)) } else { told(&found.release, environment, done) };
    if !args.watch {
        return Ok(said);
    }
    if !target.json {
        // What is assumed and warned of is read before the view, which stands below it.
        let _ = io::stderr().write_all(said.out.as_bytes());
    }
    watch::watch_found(target, &client, found)
}

fn send_new(client: &Client, target: &Target, args: &NewArgs) -> Result<Answer, Failure> {
    let mut body = Map::new();
    body.insert("plan".to_owned(), Value::String(args.plan.clone()));
    body.extend(args.at.clone().map(|at| ("start_at".to_owned(), Value::String(at))));
    body.extend(args.from.clone().map(|from| ("from".to_owned(), Value::Number(from))));
    body.extend(args.time_scale.map(|scale| ("time_scale".to_owned(), Value::from(scale))));
    let answer = client.send("POST", &target.in_environment(&["releases"])?, &args.saying.query(), &Value::Object(body));
    let environment = target.required_environment()?;
    // Whatever stands in the way, this shows whether a release does.
    answer.map_err(|failure| failure.or_next(format!("storyflag release list --live -e {environment}, which shows what runs")))
}

fn send_start(client: &Client, target: &Target, args: &StartArgs, id: &str) -> Result<Answer, Failure> {
    let mut body = Map::new();
    body.extend(args.new.from.clone().map(|from| ("from".to_owned(), Value::Number(from))));
    client.send("POST", &target.in_environment(&["releases", id, "start"])?, &args.new.saying.query(), &Value::Object(body))
}

/// It is there all the same: what was refused can be mended, and the start said again.
fn not_started(failure: Failure, release: &Release, environment: &str) -> Failure {
    let (id, is_open) = (&release.id, release.to_tick().next().is_some());
    let first =
        if is_open { format!("storyflag release tick {id} -e {environment}, which lists what to tick; then ") } else { String::new() };
    match failure {
        Failure::Refused { text, problem, .. } => {
            let again = format!("{first}{}", start_again(&text, id, environment));
            Failure::Refused { text: format!("{id} is created, but not started: {text}"), next: Some(again), problem }
        }
        usage @ Failure::Usage(_) => usage,
    }
}

/// What starts a release that was refused for this.
fn start_again(why: &str, id: &str, environment: &str) -> String {
    let from = if why.contains("(from)") { " --from PERCENT" } else { "" };
    format!("storyflag release start {id}{from} -e {environment}")
}

fn told(release: &Release, environment: &str, done: &str) -> Said {
    let now = jiff::Timestamp::from_millisecond(now_ms()).unwrap_or_default();
    let id = plain(&release.id);
    let bake = release.step.as_ref().map(|step| format!(", watched for {}", lasting(step.bake_ms))).unwrap_or_default();
    let mut text = format!("{id} in {environment} {done}: {}{bake}\n", plain(&place_in_words(release, now)));
    text.extend(release.assumed.iter().map(|assumed| format!("assumed: {}\n", plain(assumed))));
    text.push_str(&warnings_in_words(&release.warnings));
    let open: Vec<_> = release.checklist.iter().filter(|check| check.gate == "start" && !check.done).collect();
    if release.is_scheduled() && !open.is_empty() {
        text.extend(open.iter().map(|check| format!("to tick before the start: {}\n", plain(&check.text))));
        return Said::out(text).with_note(format!("next: storyflag release tick {id} ITEM... -e {environment}"));
    }
    let verb = if release.is_scheduled() && release.start_at.is_none() { "start" } else { "watch" };
    Said::out(text).with_note(format!("next: storyflag release {verb} {id} -e {environment}"))
}
