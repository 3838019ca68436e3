//! Our side: the SDK's public API, as an application comes in.

use std::sync::Arc;

use storyflag::{Client, ForContext};
use storyflag_evaluation::{CohortList, Context, Identity, Ruleset};

pub struct Ours(Client);

impl Ours {
    pub fn of(client: Client) -> Self {
        Self(client)
    }

    pub fn new(flags: &[String], cohort: &str, list: &CohortList) -> Self {
        let folder = std::env::temp_dir().join(format!("storyflag-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let ruleset = folder.join("ruleset.json");
        let document = format!(r#"{{"format":1,"flags":[{}],"cohorts":[{cohort}],"absorbed":[]}}"#, flags.join(","));
        std::fs::write(&ruleset, document).unwrap();
        std::fs::write(folder.join(format!("{}.list", list.digest())), list.to_bytes()).unwrap();
        let client = Client::from_file(&ruleset).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        Self(client)
    }

    #[inline]
    pub fn is_on(&self, key: &str, context: &Context) -> bool {
        self.0.is_on(key, context)
    }

    /// As a request does it: one look at the pointer, and then everything that it asks.
    pub fn request(&self, context: &Context) -> ForContext {
        self.0.for_context(context.clone())
    }

    /// Several flags for one context, with one look at the pointer.
    #[inline]
    pub fn on_of(&self, keys: &[String], context: &Context) -> u64 {
        let request = self.request(context);
        keys.iter().map(|key| u64::from(request.is_on(key))).sum()
    }
}

/// What a client does with everything that it is sent, but for the socket.
pub fn load(text: &str) -> serde_json::Result<Arc<Ruleset>> {
    #[derive(serde::Deserialize)]
    struct Document<'a> {
        #[serde(borrow)]
        flags: Vec<&'a serde_json::value::RawValue>,
    }
    let document: Document<'_> = serde_json::from_str(text)?;
    let flags: Vec<&str> = document.flags.iter().map(|flag| flag.get()).collect();
    Ok(Arc::new(Ruleset::compile(Identity::default(), &flags, &[], None)))
}
