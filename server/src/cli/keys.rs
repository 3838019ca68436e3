//! `storyflag keys`: what applications connect with.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use super::{
    Said,
    client::{Answer, Query, Target},
    failure::Failure,
    table::{Table, plain},
};

#[derive(Debug, Args)]
pub(super) struct KeysArgs {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    verb: Option<KeysVerb>,
}

#[derive(Debug, Subcommand)]
enum KeysVerb {
    /// List SDK keys, without their secrets
    List,
    /// Make an SDK key, which is printed once
    Create {
        /// What it is for, such as the application's name
        name: String,
        /// Why; it stands in the history
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Revoke an SDK key: every stream with it is closed within about a second
    Revoke {
        /// The id of the key, as the list shows it
        id: String,
        /// Why; it stands in the history
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

#[derive(Debug, Deserialize)]
struct Keys {
    keys: Vec<Key>,
}

#[derive(Debug, Deserialize)]
struct Key {
    id: String,
    name: String,
    created_at: String,
    created_by: String,
    revoked_at: Option<String>,
}

#[derive(Debug, Deserialize)]
struct NewKey {
    key: String,
    id: String,
}

pub(super) fn keys(args: &KeysArgs) -> Result<Said, Failure> {
    let target = &args.target;
    let reason = |reason: &Option<String>| Query::default().with_some("reason", reason.as_deref());
    match &args.verb {
        None | Some(KeysVerb::List) => {
            let answer = target.client()?.get(&target.in_environment(&["keys"])?, &Query::default())?;
            if target.json { Ok(Said::json(&[answer])) } else { Ok(Said::out(table_of(answer.read()?))) }
        }
        Some(KeysVerb::Create { name, reason: why }) => {
            let path = target.in_environment(&["keys"])?;
            let answer = target.client()?.send("POST", &path, &reason(why), &json!({"name": name}))?;
            if target.json { Ok(Said::json(&[answer])) } else { created(&answer, &plain(target.required_environment()?)) }
        }
        Some(KeysVerb::Revoke { id, reason: why }) => {
            let id = id_of(id);
            let path = target.in_environment(&["keys", id])?;
            let answer =
                target.client()?.delete(&path, &reason(why)).map_err(|failure| failure.or_next("storyflag keys, which lists ids"))?;
            if target.json {
                return Ok(Said::json(&[answer]));
            }
            Ok(Said::out(format!("{} is revoked: its streams are closed within about a second\n", plain(&target.place_of(id)))))
        }
    }
}

/// The id, from an id or from a whole key: whoever revokes a key in a hurry has the key, not the list.
fn id_of(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix("sfs_").map_or(text, |rest| rest.split('_').next().unwrap_or(rest))
}

/// Nothing but the key goes to the standard output, so that a script can take it.
fn created(answer: &Answer, environment: &str) -> Result<Said, Failure> {
    let NewKey { key, id } = answer.read()?;
    let note = format!("an SDK key for {environment}, shown once; its id is {}", plain(&id));
    Ok(Said::out(format!("{}\n", plain(&key))).with_note(note))
}

fn table_of(keys: Keys) -> String {
    let mut table = Table::new(["ID", "NAME", "CREATED", "BY", "REVOKED"]);
    for key in keys.keys {
        table.row([key.id, key.name, key.created_at, key.created_by, key.revoked_at.unwrap_or_default()]);
    }
    if table.is_empty() { "no keys\n".to_owned() } else { table.render() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_stands_alone_on_its_line() {
        let answer = Answer { status: 201, text: json!({"key": "sfs_12_ab", "id": "12", "name": "shop"}).to_string() };
        let said = created(&answer, "staging").unwrap();
        assert_eq!(said.out, "sfs_12_ab\n");
        assert!(said.note.contains("shown once"), "{}", said.note);
    }

    #[test]
    fn a_whole_key_names_its_id() {
        assert_eq!((id_of("12ab"), id_of("sfs_12ab_secret"), id_of(" sfs_12ab ")), ("12ab", "12ab", "12ab"));
    }

    #[test]
    fn revoked_keys_show_when() {
        let key = |revoked: Option<&str>| json!({"id": "1", "name": "n", "created_at": "T", "created_by": "ann", "revoked_at": revoked});
        let text = table_of(serde_json::from_value(json!({"keys": [key(None), key(Some("T2"))]})).unwrap());
        assert_eq!(text, "ID  NAME  CREATED  BY   REVOKED\n1   n     T        ann\n1   n     T        ann  T2\n");
    }
}
