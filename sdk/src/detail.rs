//! An answer with everything that can be said about it.

use storyflag_evaluation::{Arm, Context, Evaluation, EvaluationError, Reason, Value};

use crate::shared::Served;

/// What a flag answers, and why. For people who wonder and for OpenFeature; the plain getters cost less.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Detail<T> {
    /// What is served: the variant's value, or the caller's default where there is an error.
    pub value: T,
    /// The variant's name; none where the default is served.
    pub variant: Option<String>,
    /// Why.
    pub reason: Reason,
    /// What went wrong, exactly where the reason is [`Reason::Error`].
    pub error: Option<EvaluationError>,
    /// The id of the rule that decided.
    pub rule: Option<String>,
    /// The unit's bucket, 0 to 999,999, where the rollout looked at it.
    pub bucket: Option<u32>,
    /// Where the answer stands in an experiment's sense.
    pub arm: Arm,
    /// The revision of the ruleset that answered.
    pub revision: u64,
}

/// The types that a flag can be asked for: `bool`, `String`, `i64`, `f64`, and `serde_json::Value` for any.
pub trait FlagValue: Sized + sealed::Read {}

pub(crate) mod sealed {
    use super::Value;

    /// How a type is read from a variant's value.
    pub trait Read: Sized {
        /// `None` where the value has another type.
        fn read(value: &Value) -> Option<Self>;
    }
}

macro_rules! flag_values {
    ($($type:ty: $read:expr;)*) => { $(
        impl FlagValue for $type {}
        impl sealed::Read for $type {
            #[inline]
            fn read(value: &Value) -> Option<Self> {
                $read(value)
            }
        }
    )* };
}
flag_values! {
    bool: boolean;
    String: |value| text(value).map(str::to_owned);
    i64: integer;
    f64: number;
    serde_json::Value: |value: &Value| Some(value.to_json());
}

#[inline]
pub(crate) fn boolean(value: &Value) -> Option<bool> {
    if let Value::Boolean(value) = value { Some(*value) } else { None }
}

#[inline]
pub(crate) fn text(value: &Value) -> Option<&str> {
    if let Value::Text(text) = value { Some(text) } else { None }
}

/// A whole number, however it was written: 42 and 42.0 are one.
pub(crate) fn integer(value: &Value) -> Option<i64> {
    let Value::Number(number) = value else { return None };
    number.as_i64().or_else(|| {
        let whole = number.as_f64().filter(|number| number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0)?;
        // Whole and within 2^53: nothing is cut off.
        #[allow(clippy::cast_possible_truncation)]
        Some(whole as i64)
    })
}

pub(crate) fn number(value: &Value) -> Option<f64> {
    if let Value::Number(number) = value { number.as_f64() } else { None }
}

impl Served {
    /// The answer as it is, whatever its type. Counted.
    pub(crate) fn detail(&self, key: &str, context: &Context) -> Detail<Option<Value>> {
        let answer = self.ruleset.evaluate(key, context);
        self.tell(&answer, context, answer.value().cloned())
    }

    /// The answer as a `T`; of another type, it is an error. Counted.
    pub(crate) fn detail_or<T: FlagValue>(&self, key: &str, context: &Context, default: T) -> Detail<T> {
        let answer = self.ruleset.evaluate(key, context);
        match answer.value().map(T::read) {
            Some(Some(value)) => self.tell(&answer, context, value),
            None => self.tell(&answer, context, default),
            Some(None) => {
                self.usage.count_error(EvaluationError::TypeMismatch);
                let error = Some(EvaluationError::TypeMismatch);
                Detail { variant: None, reason: Reason::Error, error, ..self.describe(&answer, default) }
            }
        }
    }

    fn tell<T>(&self, answer: &Evaluation<'_>, context: &Context, value: T) -> Detail<T> {
        let detail = self.describe(answer, value);
        match (answer.slot(), detail.error) {
            (_, Some(error)) => self.usage.count_error(error),
            (Some(slot), None) => {
                self.usage.count(slot);
                self.remember(slot, answer, context);
            }
            (None, None) => {}
        }
        detail
    }

    fn describe<T>(&self, answer: &Evaluation<'_>, value: T) -> Detail<T> {
        Detail {
            value,
            variant: answer.variant().map(str::to_owned),
            reason: answer.reason(),
            error: answer.error().map(|error| self.error(Some(error))),
            rule: answer.rule().map(str::to_owned),
            bucket: answer.bucket(),
            arm: answer.arm(),
            revision: answer.revision(),
        }
    }
}
