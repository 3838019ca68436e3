//! Our side, the only file that knows by which door an application comes in.

use std::sync::Arc;

use arc_swap::ArcSwap;
use storyflag_evaluation::{CohortList, Context, Identity, Ruleset, Value};

pub struct Ours(ArcSwap<Ruleset>);

impl Ours {
    pub fn new(flags: &[String], cohort: &str, list_of: &str, list: Arc<CohortList>) -> Self {
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let ruleset = Ruleset::compile(Identity::default(), &flags, &[cohort], None);
        Self(ArcSwap::from_pointee(ruleset.with_list(list_of, &list.digest(), list)))
    }

    #[inline]
    pub fn is_on(&self, key: &str, context: &Context) -> bool {
        self.0.load().evaluate(key, context).is_on()
    }

    /// The length of the text, since a borrowed one would hold the pointer.
    #[inline]
    pub fn text_length(&self, key: &str, context: &Context) -> usize {
        match self.0.load().evaluate(key, context).value() {
            Some(Value::Text(text)) => text.len(),
            _ => 0,
        }
    }

    /// Several flags for one context, with one look at the pointer.
    #[inline]
    pub fn on_of(&self, keys: &[String], context: &Context) -> u64 {
        let ruleset = self.0.load();
        keys.iter().map(|key| u64::from(ruleset.evaluate(key, context).is_on())).sum()
    }
}

pub fn load(text: &str) -> serde_json::Result<Ruleset> {
    #[derive(serde::Deserialize)]
    struct Document<'a> {
        #[serde(borrow)]
        flags: Vec<&'a serde_json::value::RawValue>,
    }
    let document: Document<'_> = serde_json::from_str(text)?;
    let flags: Vec<&str> = document.flags.iter().map(|flag| flag.get()).collect();
    Ok(Ruleset::compile(Identity::default(), &flags, &[], None))
}
