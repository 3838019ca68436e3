//! Waiting for what must become so, instead of for a time.

use std::time::{Duration, Instant};

/// How long [`eventually`] asks, unless `STORYFLAG_TEST_PATIENCE_MS` says otherwise. Long, because only a failing test
/// waits it out, and a machine under load is slow.
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks until the answer is `Ok`, and gives it. `Err` is what is so instead, in words: the last one is in the message
/// when patience ends.
///
/// # Panics
/// When it does not become so in time.
pub async fn eventually<T, Asking>(what: &str, ask: impl FnMut() -> Asking) -> T
where
    Asking: Future<Output = Result<T, String>>,
{
    let patience =
        std::env::var("STORYFLAG_TEST_PATIENCE_MS").ok().and_then(|text| text.parse().ok()).map_or(PATIENCE, Duration::from_millis);
    eventually_within(patience, what, ask).await
}

/// [`eventually`], where the time itself is what the test is about.
///
/// # Panics
/// When it does not become so within `patience`.
pub async fn eventually_within<T, Asking>(patience: Duration, what: &str, mut ask: impl FnMut() -> Asking) -> T
where
    Asking: Future<Output = Result<T, String>>,
{
    let begin = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        // Read before asking: an answer that was asked for in time counts, however long it took.
        let waited = begin.elapsed();
        match ask().await {
            Ok(value) => return value,
            Err(status) if waited >= patience => {
                panic!("not so after {waited:.1?}: {what}; instead: {status}")
            }
            Err(_) => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// `Ok` when `is` holds, else what was seen: the usual end of an [`eventually`] closure.
///
/// # Errors
/// `seen`, printed.
pub fn when(is: bool, seen: impl std::fmt::Debug) -> Result<(), String> {
    if is { Ok(()) } else { Err(format!("{seen:?}")) }
}
