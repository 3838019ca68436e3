//! `storyflag channels`: where people hear of what happens in an environment.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use super::{
    Said,
    client::{Answer, Query, Target},
    failure::Failure,
    invocation,
    table::{Table, plain},
    writes::{WriteArgs, dry_run_in_words},
};

#[derive(Debug, Args)]
pub(super) struct ChannelsArgs {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    verb: Option<ChannelsVerb>,
}

#[derive(Debug, Subcommand)]
enum ChannelsVerb {
    /// List channels
    List,
    /// Create a channel, whose secret is printed once, or change it
    Put(PutArgs),
    /// Delete a channel: what it has not received yet is given up
    Delete {
        /// The channel's key
        key: String,
        #[command(flatten)]
        write: WriteArgs,
    },
    /// Send a message to a channel, to see it arrive
    Test {
        /// The channel's key
        key: String,
        #[command(flatten)]
        write: WriteArgs,
    },
}

#[derive(Debug, Args)]
struct PutArgs {
    /// The channel's key, such as team-shop
    key: String,
    /// Where messages are sent, such as https://hooks.example.com/storyflag
    // Under another name than the option that says where the service is.
    #[arg(id = "webhook", value_name = "WEBHOOK_URL")]
    webhook: String,
    /// What it receives, separated by commas: team, on_call, stakeholders, changes
    #[arg(long, value_delimiter = ',', required = true, value_name = "AUDIENCES")]
    receives: Vec<String>,
    /// Sign with another secret from now on; it is printed once
    #[arg(long)]
    rotate: bool,
    #[command(flatten)]
    write: WriteArgs,
}

#[derive(Debug, Deserialize)]
struct Channels {
    channels: Vec<Channel>,
}

#[derive(Debug, Deserialize)]
struct Channel {
    key: String,
    kind: String,
    url: String,
    receives: Vec<String>,
    secret: Option<String>,
    waiting: u64,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Test {
    message: String,
}

pub(super) fn channels(args: &ChannelsArgs) -> Result<Said, Failure> {
    let target = &args.target;
    match &args.verb {
        None | Some(ChannelsVerb::List) => {
            let answer = target.client()?.get(&target.in_environment(&["channels"])?, &Query::default())?;
            if target.json { Ok(Said::json(&[answer])) } else { Ok(Said::out(table_of(answer.read()?))) }
        }
        Some(ChannelsVerb::Put(args)) => put(target, args),
        Some(ChannelsVerb::Delete { key, write }) => {
            let answer = target.client()?.delete(&target.in_environment(&["channels", key])?, &write.query())?;
            told(target, &answer, key, write.dry_run, || Ok(format!("{} is deleted\n", plain(&target.place_of(key)))))
        }
        Some(ChannelsVerb::Test { key, write }) => {
            let answer = target.client()?.send("POST", &target.in_environment(&["channels", key, "test"])?, &write.query(), &json!({}))?;
            told(target, &answer, key, write.dry_run, || {
                let Test { message } = answer.read()?;
                Ok(format!("{} is sent {}\n", plain(&target.place_of(key)), plain(&message)))
            })
        }
    }
}

fn put(target: &Target, args: &PutArgs) -> Result<Said, Failure> {
    let PutArgs { key, webhook, receives, rotate, write } = args;
    let receives: Vec<&str> = receives.iter().map(|one| one.trim()).filter(|one| !one.is_empty()).collect();
    let path = target.in_environment(&["channels", key])?;
    let query = write.query().with_flag("rotate", *rotate);
    let answer = target.client()?.send("PUT", &path, &query, &json!({"url": webhook, "receives": receives}))?;
    if target.json || write.dry_run {
        return told(target, &answer, key, write.dry_run, || Ok(String::new()));
    }
    put_in_words(target, &answer, key)
}

/// Nothing but a new secret goes to the standard output, so that a script can take it.
fn put_in_words(target: &Target, answer: &Answer, key: &str) -> Result<Said, Failure> {
    let (channel, place): (Channel, _) = (answer.read()?, plain(&target.place_of(key)));
    let done = if answer.status == 201 { "is created" } else { "is as you said" };
    let Some(secret) = channel.secret else { return Ok(Said::out(format!("{place} {done}\n"))) };
    let (key, environment) = (invocation::quoted(key), invocation::quoted(target.required_environment()?));
    let note = format!("{place} {done}; its secret is shown once\nnext: storyflag channels test {key} -e {environment}");
    Ok(Said::out(format!("{}\n", plain(&secret))).with_note(note))
}

fn told(
    target: &Target,
    answer: &Answer,
    key: &str,
    dry_run: bool,
    done: impl FnOnce() -> Result<String, Failure>,
) -> Result<Said, Failure> {
    if target.json {
        return Ok(Said::json(std::slice::from_ref(answer)));
    }
    Ok(Said::out(if dry_run { dry_run_in_words(answer, &plain(&target.place_of(key)))? } else { done()? }))
}

fn table_of(channels: Channels) -> String {
    let mut table = Table::new(["CHANNEL", "KIND", "RECEIVES", "WAITING", "LAST ERROR", "URL"]);
    for channel in channels.channels {
        let waiting = if channel.waiting == 0 { String::new() } else { channel.waiting.to_string() };
        table.row([channel.key, channel.kind, channel.receives.join(","), waiting, channel.error.unwrap_or_default(), channel.url]);
    }
    if table.is_empty() { "no channels: what is told goes to the log of the service\n".to_owned() } else { table.render() }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn channel(key: &str, waiting: u64, error: Option<&str>) -> Value {
        json!({"key": key, "kind": "webhook", "url": "http://a", "receives": ["team", "changes"], "waiting": waiting, "error": error})
    }

    #[test]
    fn a_channel_that_does_not_answer_says_so() {
        let well = json!({"channels": [channel("a", 0, None)]});
        assert_eq!(
            table_of(serde_json::from_value(well).unwrap()),
            "CHANNEL  KIND     RECEIVES      URL\na        webhook  team,changes  http://a\n"
        );
        let ill = json!({"channels": [channel("a", 7, Some("answered 500"))]});
        let text = table_of(serde_json::from_value(ill).unwrap());
        assert!(text.contains("7        answered 500  http://a"), "{text}");
        assert!(table_of(Channels { channels: Vec::new() }).contains("log"));
    }
}
