//! From text to a [`Condition`]: one pass over its characters, and an error that points at one of them.

use std::fmt;

use storyflag_evaluation::Percentage;

use super::{Bound, Comparison, Condition, Measure, Quantile};
use crate::plan::{Span, suggest};

/// The longest condition that is read.
const LONGEST: usize = 1_000;

const KNOWN: [&str; 9] =
    ["error_rate", "success_rate", "p50_latency", "p90_latency", "p95_latency", "p99_latency", "slow", "event", "prometheus"];

/// Why a text is no condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionError {
    /// The character that it is about, counted from 1.
    pub column: usize,
    /// What is not right, and what would be.
    pub detail: String,
}

impl fmt::Display for ConditionError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "column {}: {}", self.column, self.detail)
    }
}

impl std::error::Error for ConditionError {}

type Result<T> = std::result::Result<T, ConditionError>;

/// A measure, or the template's "Response time", whose quantile may stand at either end.
enum Named {
    Measure(Measure),
    ResponseTime(Option<Quantile>),
}

pub(super) fn condition(text: &str) -> Result<Condition> {
    if text.len() > LONGEST {
        return Err(ConditionError { column: 1, detail: format!("a condition has at most {LONGEST} characters") });
    }
    let mut scan = Scan { letters: text.chars().collect(), at: 0 };
    let named = measure(&mut scan)?;
    scan.take(':');
    let comparison = comparison(&mut scan)?;
    let bound_at = scan.skip_space();
    let number = number(&mut scan)?;
    let unit_at = scan.skip_space();
    let unit = unit(&mut scan)?;
    let measure = match named {
        Named::Measure(measure) => measure,
        Named::ResponseTime(quantile) => {
            let at = scan.skip_space();
            let later = quantile_in_parentheses(&mut scan)?;
            Measure::Latency(quantile.or(later).ok_or_else(|| scan.error(at, "which part of the requests? Write for example (p95)"))?)
        }
    };
    let bound = bound(&scan, &measure, &number, unit, bound_at, unit_at)?;
    let lasting = lasting(&mut scan, &measure)?;
    let end = scan.skip_space();
    if end < scan.letters.len() {
        return Err(scan.error(end, "nothing was expected after the bound"));
    }
    Ok(Condition::new(measure, comparison, bound, lasting))
}

fn measure(scan: &mut Scan) -> Result<Named> {
    let at = scan.skip_space();
    let words = scan.take_while(|letter| letter.is_alphanumeric() || matches!(letter, '_' | ' ' | '-'));
    let name = words.split([' ', '_', '-']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_").to_lowercase();
    Ok(Named::Measure(match name.as_str() {
        "error_rate" => Measure::ErrorRate,
        "success_rate" => Measure::SuccessRate,
        "response_time" | "latency" => return Ok(Named::ResponseTime(quantile_in_parentheses(scan)?)),
        "slow" => slow(scan)?,
        "event" => Measure::Event(event(scan)?),
        "prometheus" => Measure::Prometheus(query(scan)?),
        "" => return Err(scan.error(at, "a condition begins with what is measured, for example error_rate > 5%")),
        _ => match Quantile::ALL.into_iter().find(|quantile| name == format!("{}_latency", quantile.name())) {
            Some(quantile) => Measure::Latency(quantile),
            None => {
                let detail = format!("{:?} is not a metric{}", words.trim(), suggest::hint(&name, &KNOWN));
                return Err(scan.error(at, &detail));
            }
        },
    }))
}

fn quantile_in_parentheses(scan: &mut Scan) -> Result<Option<Quantile>> {
    if !scan.take('(') {
        return Ok(None);
    }
    let at = scan.at;
    let name = scan.take_while(|letter| letter != ')').trim().to_lowercase();
    let quantile = Quantile::ALL.into_iter().find(|quantile| quantile.name() == name);
    let quantile = quantile.ok_or_else(|| scan.error(at, "a response time is p50, p90, p95 or p99"))?;
    scan.expect(')')?;
    Ok(Some(quantile))
}

fn slow(scan: &mut Scan) -> Result<Measure> {
    scan.expect('(')?;
    let at = scan.skip_space();
    let text = scan.take_while(|letter| letter != ')');
    let limit: Span = text.parse().map_err(|_| scan.error(at, "slow takes a latency, for example slow(1000ms)"))?;
    scan.expect(')')?;
    let limit_ms = limit.millis();
    if (1..=60_000).contains(&limit_ms) { Ok(Measure::Slow { limit_ms }) } else { Err(scan.error(at, "a latency is 1ms to 60s")) }
}

fn event(scan: &mut Scan) -> Result<String> {
    scan.expect('(')?;
    let at = scan.skip_space();
    let name = scan.take_while(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.' | '/'));
    if name.is_empty() || name.chars().count() > 100 {
        return Err(scan.error(at, "event takes a name of up to 100 letters, digits, _ - . /, for example event(purchase)"));
    }
    scan.expect(')')?;
    Ok(name)
}

fn query(scan: &mut Scan) -> Result<String> {
    scan.expect('(')?;
    let at = scan.skip_space();
    scan.expect('"').map_err(|_| scan.error(at, "prometheus takes a query in double quotation marks: prometheus(\"...\")"))?;
    let mut query = String::new();
    loop {
        match scan.next() {
            Some('"') => break,
            Some('\\') => query.extend(scan.next()),
            Some(letter) => query.push(letter),
            None => return Err(scan.error(at, "this quotation mark is never closed")),
        }
    }
    if query.trim().is_empty() {
        return Err(scan.error(at, "the query is empty"));
    }
    scan.expect(')')?;
    Ok(query)
}

fn comparison(scan: &mut Scan) -> Result<Comparison> {
    let at = scan.skip_space();
    let sign = scan.take_while(|letter| matches!(letter, '<' | '>' | '=' | '≤' | '≥' | '!'));
    match sign.as_str() {
        ">" => Ok(Comparison::Greater),
        ">=" | "≥" => Ok(Comparison::AtLeast),
        "<" => Ok(Comparison::Less),
        "<=" | "≤" => Ok(Comparison::AtMost),
        _ => Err(scan.error(at, "a comparison is >, >=, < or <=")),
    }
}

/// The number's text: a share is exact to its last decimal, which an f64 in between would not be.
fn number(scan: &mut Scan) -> Result<f64> {
    let at = scan.skip_space();
    let text = scan.take_while(|letter| letter.is_ascii_digit() || matches!(letter, '.' | '-' | '+'));
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && text.len() <= 20);
    number.ok_or_else(|| scan.error(at, "a bound is a number, for example 5%, 1000ms or 1.25x control"))
}

#[derive(Clone, Copy, PartialEq)]
enum Unit {
    None,
    Percent,
    Millisecond,
    Second,
    Control,
}

fn unit(scan: &mut Scan) -> Result<Unit> {
    let at = scan.at;
    if scan.take('%') {
        return Ok(Unit::Percent);
    }
    // `for` begins what comes after the bound.
    if scan.peek() == Some('f') {
        return Ok(Unit::None);
    }
    match scan.take_while(char::is_alphabetic).to_lowercase().as_str() {
        "" => Ok(Unit::None),
        "ms" | "milliseconds" => Ok(Unit::Millisecond),
        "s" | "sec" | "seconds" => Ok(Unit::Second),
        "percent" => Ok(Unit::Percent),
        "x" => {
            let at = scan.skip_space();
            let word = scan.take_while(char::is_alphabetic);
            if word == "control" {
                Ok(Unit::Control)
            } else {
                Err(scan.error(at, "x compares with control: write for example 1.25x control"))
            }
        }
        _ => Err(scan.error(at, "a unit is %, ms, s or x control")),
    }
}

fn bound(scan: &Scan, measure: &Measure, number: &f64, unit: Unit, bound_at: usize, unit_at: usize) -> Result<Bound> {
    let number = *number;
    if unit == Unit::Control {
        return times_control(scan, measure, number, bound_at);
    }
    match measure {
        Measure::ErrorRate | Measure::SuccessRate | Measure::Slow { .. } if unit == Unit::Percent => {
            let share = Percentage::from_percent(number).map_err(|why| scan.error(bound_at, &why.to_string()))?;
            Ok(Bound::Share(share))
        }
        Measure::ErrorRate | Measure::SuccessRate | Measure::Slow { .. } => {
            Err(scan.error(unit_at, &format!("{measure} is a share: write it in percent, for example 5%")))
        }
        Measure::Latency(_) if matches!(unit, Unit::Millisecond | Unit::Second) => {
            let millis = if unit == Unit::Second { number * 1000.0 } else { number };
            let limit_ms = whole(millis).filter(|limit| (1..=60_000).contains(limit));
            let limit_ms = limit_ms.ok_or_else(|| scan.error(bound_at, "a latency is a whole number of milliseconds, 1ms to 60s"))?;
            Ok(Bound::Latency { limit_ms })
        }
        Measure::Latency(_) => Err(scan.error(unit_at, &format!("a latency is in ms or s, for example {number}ms"))),
        Measure::Event(_) | Measure::Prometheus(_) if unit == Unit::None => Ok(Bound::Number(number)),
        Measure::Event(_) | Measure::Prometheus(_) => Err(scan.error(unit_at, "this is compared with a plain number, without a unit")),
    }
}

fn times_control(scan: &Scan, measure: &Measure, number: f64, at: usize) -> Result<Bound> {
    if !(0.01..=1000.0).contains(&number) {
        return Err(scan.error(at, "so many times control is 0.01 to 1000"));
    }
    match measure {
        Measure::Latency(_) => Err(scan.error(at, "a quantile has no multiple of control: write for example slow(1000ms) > 1.25x control")),
        Measure::Prometheus(_) => Err(scan.error(at, "a query has no control arm: compare it with a plain number")),
        Measure::SuccessRate => {
            Err(scan.error(at, "a success rate has no useful multiple of control: write for example error_rate > 1.25x control"))
        }
        _ => Ok(Bound::TimesControl(number)),
    }
}

fn whole(number: f64) -> Option<u64> {
    // Only an integer's shortest text reads as one.
    number.to_string().parse().ok()
}

fn lasting(scan: &mut Scan, measure: &Measure) -> Result<Option<Span>> {
    let at = scan.skip_space();
    if scan.peek() != Some('f') {
        return Ok(None);
    }
    let word = scan.take_while(char::is_alphabetic);
    if word != "for" {
        return Err(scan.error(at, "nothing was expected after the bound but `for` and a length of time"));
    }
    let length_at = scan.skip_space();
    let length: Span = scan.take_while(|_| true).parse().map_err(|why: crate::plan::SpanError| scan.error(length_at, &why.to_string()))?;
    if !matches!(measure, Measure::Prometheus(_)) {
        return Err(scan.error(at, "`for` belongs to prometheus(\"...\"): our own metrics are judged by evidence and need no waiting time"));
    }
    Ok(Some(length))
}

struct Scan {
    letters: Vec<char>,
    at: usize,
}

impl Scan {
    fn error(&self, at: usize, detail: &str) -> ConditionError {
        ConditionError { column: at + 1, detail: detail.to_owned() }
    }

    fn peek(&self) -> Option<char> {
        self.letters.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.at += 1;
        Some(letter)
    }

    fn skip_space(&mut self) -> usize {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
        self.at
    }

    fn take(&mut self, wanted: char) -> bool {
        self.skip_space();
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, wanted: char) -> Result<()> {
        let at = self.skip_space();
        if self.take(wanted) { Ok(()) } else { Err(self.error(at, &format!("expected {wanted}"))) }
    }

    fn take_while(&mut self, fits: impl Fn(char) -> bool) -> String {
        let mut text = String::new();
        while let Some(letter) = self.peek().filter(|letter| fits(*letter)) {
            text.push(letter);
            self.at += 1;
        }
        text
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
