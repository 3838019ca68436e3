//! What a process says each second while one flag is watched: four arms, most of them with requests.

use std::fmt::Write;

pub const FLAG: &str = "US-123-checkout";

/// A message, as the SDK writes it.
pub fn message(instance: &str, sequence: u64, rollout_revision: u64) -> String {
    let rows: Vec<String> = ["treatment", "control", "cohort", "outside"]
        .into_iter()
        .enumerate()
        .map(|(place, arm)| row(arm, rollout_revision, [400, 3_600, 40, 0][place]))
        .collect();
    format!(
        r#"{{"format":1,"instance":"{instance}","sequence":{sequence},"sdk":"rust/0.1.0","applied":null,"goodbye":false,"usage":{{"{FLAG}":{{"on":440,"off":3600}}}},"watched":[{}]}}"#,
        rows.join(",")
    )
}

fn row(arm: &str, rollout_revision: u64, requests: u64) -> String {
    let error = requests / 200;
    let units: Vec<String> = (0..error.min(8)).map(|unit| format!(r#""{:016x}""#, unit.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    let mut events = format!(
        r#""error":{{"count":{error},"at_risk":{requests},"first":{error},"units":[{}]}},"not_success":{{"count":{error},"at_risk":{requests}}}"#,
        units.join(",")
    );
    for limit in [200, 500, 1_000] {
        let _ = write!(events, r#","slow_{limit}":{{"count":{},"at_risk":{requests}}}"#, requests / u64::from(limit as u32));
    }
    // Requests of a service fall into some tens of buckets.
    let latency: Vec<String> =
        (0..if requests == 0 { 0 } else { 40 }).map(|bucket| format!("[{},{}]", 1_007 + bucket * 8, requests / 40)).collect();
    format!(
        r#"{{"flag":"{FLAG}","rollout_revision":{rollout_revision},"arm":"{arm}","requests":{requests},"success":{},"failure":0,"error":{error},"cancelled":0,"mixed":0,"new_units":12,"events":{{{events}}},"latency_us":[{}]}}"#,
        requests - error,
        latency.join(",")
    )
}
