//! What the service answered, with what a test asks of it.

use reqwest::header::HeaderMap;
use serde_json::Value;

/// A whole answer, and the request that it belongs to for the message of a failing test.
#[derive(Debug)]
pub struct Answer {
    /// `PATCH /api/v1/... as editor`.
    pub asked: String,
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub text: String,
    /// The body as JSON; null when it is none.
    pub json: Value,
}

impl Answer {
    /// Reads the whole answer; `Err` when the connection breaks in its middle.
    pub(crate) async fn read(asked: String, response: reqwest::Response) -> Result<Answer, String> {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = response.text().await.map_err(|error| error.to_string())?;
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Answer { asked, status, headers, text, json })
    }

    /// This, when the status is `status`.
    ///
    /// # Panics
    /// With the whole answer when it is another one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}: {}", self.asked, self.text);
        self
    }

    /// This, when the status is 200, 201 or 204.
    ///
    /// # Panics
    /// With the whole answer when it is another one.
    #[track_caller]
    pub fn ok(self) -> Answer {
        assert!(matches!(self.status, 200 | 201 | 204), "{}: {} {}", self.asked, self.status, self.text);
        self
    }

    /// This, when it is a problem (RFC 9457) of this status, with faults at exactly these pointers, whose text has
    /// `told` in it, and whose request id is the one in the headers.
    ///
    /// # Panics
    /// With the whole answer when it is not.
    #[track_caller]
    pub fn refused(self, status: u16, pointers: &[&str], told: &str) -> Answer {
        let answer = self.expect(status);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{}: {}", answer.asked, answer.text);
        assert_eq!(answer.json["status"], status, "{}: {}", answer.asked, answer.text);
        assert_eq!(answer.pointers(), pointers, "{}: {}", answer.asked, answer.text);
        assert_eq!(answer.json["request_id"], answer.header("x-request-id"), "{}: {}", answer.asked, answer.text);
        let said: Vec<&str> = ["/detail".to_owned()]
            .into_iter()
            .chain((0..pointers.len()).map(|index| format!("/errors/{index}/detail")))
            .filter_map(|at| answer.json.pointer(&at)?.as_str())
            .collect();
        assert!(said.iter().any(|text| text.contains(told)), "{}: {told:?} is not told in {}", answer.asked, answer.text);
        answer
    }

    /// The JSON pointers that a problem names, in its order.
    pub fn pointers(&self) -> Vec<&str> {
        let errors = self.json["errors"].as_array();
        errors.into_iter().flatten().filter_map(|error| error["pointer"].as_str()).collect()
    }

    /// A member that is a number, such as the revision.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn number(&self, member: &str) -> u64 {
        self.json[member].as_u64().unwrap_or_else(|| panic!("no {member} in {}: {}", self.asked, self.text))
    }

    /// A header as text; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}
