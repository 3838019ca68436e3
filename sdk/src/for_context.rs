//! One context and one ruleset for a whole request.

use std::{fmt, sync::Arc};

use arc_swap::Guard;
use storyflag_evaluation::{Context, Evaluation, Identity, Value};

use crate::{
    detail::{Detail, FlagValue, boolean, integer, number, text},
    shared::Served,
};

/// A client's answers for one context, all from one ruleset: what a request sees does not change under it.
///
/// It owns what it needs, so it can be moved into a task or kept in a request's extensions. The ruleset lives at least as
/// long as it; keep it for a request, not for ever.
pub struct ForContext {
    served: Guard<Arc<Served>>,
    context: Context,
}

impl ForContext {
    pub(crate) fn new(served: Guard<Arc<Served>>, context: Context) -> Self {
        Self { served, context }
    }

    /// Whether a boolean flag is on; `false` when unsure: no such flag, no ruleset yet, another type.
    #[inline]
    pub fn is_on(&self, key: &str) -> bool {
        self.is_on_or(key, false)
    }

    /// Whether a boolean flag is on; `default` when unsure.
    #[inline]
    pub fn is_on_or(&self, key: &str, default: bool) -> bool {
        self.served.ask(key, &self.context, boolean).unwrap_or(default)
    }

    /// The text that a flag serves; `default` when unsure.
    #[inline]
    pub fn string<'a>(&'a self, key: &str, default: &'a str) -> &'a str {
        self.served.ask(key, &self.context, text).unwrap_or(default)
    }

    /// The whole number that a flag serves; `default` when unsure, and where the number is not whole.
    pub fn integer(&self, key: &str, default: i64) -> i64 {
        self.served.ask(key, &self.context, integer).unwrap_or(default)
    }

    /// The number that a flag serves; `default` when unsure.
    pub fn number(&self, key: &str, default: f64) -> f64 {
        self.served.ask(key, &self.context, number).unwrap_or(default)
    }

    /// What a flag of any type serves, as JSON; `default` when unsure.
    pub fn json(&self, key: &str, default: serde_json::Value) -> serde_json::Value {
        self.served.ask(key, &self.context, |value| Some(value.to_json())).unwrap_or(default)
    }

    /// What a flag answers and why, whatever its type; its value is none where a getter would give its default.
    pub fn detail(&self, key: &str) -> Detail<Option<Value>> {
        self.served.detail(key, &self.context)
    }

    /// What a flag of this type answers and why; a flag of another type is an error, and `default` is served.
    pub fn detail_or<T: FlagValue>(&self, key: &str, default: T) -> Detail<T> {
        self.served.detail_or(key, &self.context, default)
    }

    /// Every flag's answer, in no particular order. Looking at them all is not counted as use.
    pub fn all(&self) -> impl Iterator<Item = (&str, Evaluation<'_>)> {
        self.served.ruleset.evaluate_all(&self.context)
    }

    /// The context.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The ruleset that answers, if there is one yet.
    pub fn identity(&self) -> Option<Identity> {
        self.served.is_ready.then(|| self.served.ruleset.identity())
    }
}

impl fmt::Debug for ForContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ForContext").field("context", &self.context).field("applied", &self.identity()).finish()
    }
}

impl Clone for ForContext {
    fn clone(&self) -> Self {
        Self { served: Guard::from_inner(Arc::clone(&self.served)), context: self.context.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_can_be_kept_in_a_request_and_moved_between_threads() {
        fn is_portable<T: Send + Sync + Clone + 'static>() {}
        is_portable::<ForContext>();
        is_portable::<crate::Client>();
    }
}
