//! Prometheus: what a query answers now, as a reading. Whatever is not one number is an error in words.

use std::{fmt, sync::Arc, time::Duration};

use serde::Deserialize;
use storyflag_release::evidence::Reading;
use ureq::Agent;

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(5);
/// One number is short; an answer with many series need not be read to its end.
const LONGEST_ANSWER: u64 = 1024 * 1024;
/// How much of Prometheus' own words is passed on.
const LONGEST_REASON: usize = 200;

/// A Prometheus, or what speaks its query API. Cheap to clone.
#[derive(Clone)]
pub struct Prometheus {
    agent: Agent,
    address: Arc<str>,
}

impl Prometheus {
    /// The one at `url`: `http://prometheus:9090`, with a path if it has a prefix.
    pub fn new(url: &str) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .user_agent(concat!("storyflag/", env!("CARGO_PKG_VERSION")));
        Self { agent: config.build().new_agent(), address: format!("{}/api/v1/query", url.trim_end_matches('/')).into() }
    }

    /// What a query answers now.
    pub async fn read(&self, query: &str) -> Reading {
        let (prometheus, query) = (self.clone(), query.to_owned());
        // The client waits in its thread: these are few, and none waits for longer than its patience.
        let asked = tokio::task::spawn_blocking(move || prometheus.ask(&query));
        let told = asked.await.unwrap_or_else(|error| Err(format!("the question was cut short: {error}")));
        told.and_then(|(status, text)| number(status, &text)).map_or_else(Reading::SourceError, Reading::Value)
    }

    fn ask(&self, query: &str) -> Result<(u16, String), String> {
        let patience = format!("{}s", PATIENCE.as_secs());
        let answer = self.agent.post(&*self.address).send_form([("query", query), ("timeout", patience.as_str())]);
        let mut answer = answer.map_err(|error| unreachable(&error))?;
        let body = answer.body_mut().with_config().limit(LONGEST_ANSWER).lossy_utf8(true);
        let text = body.read_to_string().map_err(|error| unreachable(&error))?;
        Ok((answer.status().as_u16(), text))
    }
}

impl fmt::Debug for Prometheus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Its address may hold a password.
        formatter.write_str("Prometheus")
    }
}

fn unreachable(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => format!("Prometheus did not answer within {} s", PATIENCE.as_secs()),
        ureq::Error::HostNotFound => "Prometheus' host is not known".to_owned(),
        ureq::Error::BodyExceedsLimit(_) => "the answer of Prometheus is too long: the query must answer one number".to_owned(),
        ureq::Error::Io(error) => format!("Prometheus cannot be reached: {}", error.kind()),
        other => format!("Prometheus cannot be reached: {}", shortened(&other.to_string())),
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    data: Option<Data>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Scalar(Sample),
    Vector(Vec<Series>),
    Matrix(serde::de::IgnoredAny),
    String(serde::de::IgnoredAny),
}

/// A moment, and a number as a text: JSON has no NaN.
#[derive(Deserialize)]
struct Sample(#[allow(dead_code, reason = "it is there")] f64, String);

#[derive(Deserialize)]
struct Series {
    /// None for a histogram.
    #[serde(default)]
    value: Option<Sample>,
}

fn number(status: u16, text: &str) -> Result<f64, String> {
    let answer: Option<Answer> = serde_json::from_str(text).ok();
    if status != 200 {
        let why = answer.and_then(|answer| answer.error).map(|why| format!(": {}", shortened(&why))).unwrap_or_default();
        return Err(format!("Prometheus answers {status}{why}"));
    }
    let Some(data) = answer.and_then(|answer| answer.data) else { return Err("that is no answer of Prometheus".to_owned()) };
    let Sample(_, text) = match data {
        Data::Scalar(sample) => sample,
        Data::Vector(mut series) => match (series.len(), series.pop()) {
            (1, Some(Series { value: Some(sample) })) => sample,
            (1, _) => return Err("the query answers a histogram: it must answer one number".to_owned()),
            (0, _) => return Err("the query answers nothing".to_owned()),
            (count, _) => return Err(format!("the query answers {count} series: it must answer one")),
        },
        Data::Matrix(_) => return Err("the query answers a range: it must answer one number".to_owned()),
        Data::String(_) => return Err("the query answers a text: it must answer one number".to_owned()),
    };
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(format!("the query answers {}: that is no number to go by", shortened(&text))),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(LONGEST_REASON).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(data: &str) -> Result<f64, String> {
        number(200, &format!(r#"{{"status":"success","data":{data}}}"#))
    }

    #[test]
    fn one_number_is_a_number() {
        assert_eq!(answer(r#"{"resultType":"scalar","result":[1795522558.473,"42.5"]}"#), Ok(42.5));
        assert_eq!(answer(r#"{"result":[{"metric":{},"value":[1795522558,"1e+06"]}],"resultType":"vector"}"#), Ok(1e6));
        assert_eq!(answer(r#"{"resultType":"vector","result":[{"metric":{"job":"a"},"value":[1,"-0.25"]}],"new":1}"#), Ok(-0.25));
    }

    #[test]
    fn anything_else_is_an_error_in_words() {
        let series = r#"{"metric":{},"value":[1,"1"]}"#;
        for (data, why) in [
            (r#"{"resultType":"scalar","result":[1,"NaN"]}"#.to_owned(), "the query answers NaN"),
            (r#"{"resultType":"scalar","result":[1,"+Inf"]}"#.to_owned(), "the query answers +Inf"),
            (r#"{"resultType":"scalar","result":[1,"-Inf"]}"#.to_owned(), "the query answers -Inf"),
            (r#"{"resultType":"scalar","result":[1,""]}"#.to_owned(), "the query answers :"),
            (r#"{"resultType":"vector","result":[]}"#.to_owned(), "the query answers nothing"),
            (format!(r#"{{"resultType":"vector","result":[{series},{series}]}}"#), "the query answers 2 series"),
            (r#"{"resultType":"vector","result":[{"metric":{},"histogram":[1,{}]}]}"#.to_owned(), "the query answers a histogram"),
            (r#"{"resultType":"matrix","result":[]}"#.to_owned(), "the query answers a range"),
            (r#"{"resultType":"string","result":[1,"7"]}"#.to_owned(), "the query answers a text"),
            (r#"{"resultType":"new","result":7}"#.to_owned(), "that is no answer"),
            ("null".to_owned(), "that is no answer"),
        ] {
            let told = answer(&data).unwrap_err();
            assert!(told.starts_with(why), "{data}: {told}");
        }
        for text in ["", "<html>", "[]", "{}"] {
            assert_eq!(number(200, text), Err("that is no answer of Prometheus".to_owned()));
        }
        assert_eq!(number(502, "<html>"), Err("Prometheus answers 502".to_owned()));
        let refused = number(400, &format!(r#"{{"status":"error","errorType":"bad_data","error":"{}"}}"#, "x".repeat(1_000)));
        assert_eq!(refused, Err(format!("Prometheus answers 400: {}", "x".repeat(LONGEST_REASON))));
    }
}
