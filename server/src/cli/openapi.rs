use std::io::Write;

/// Prints the OpenAPI document.
pub(super) fn openapi() -> Result<(), String> {
    std::io::stdout().write_all(crate::router::openapi().as_bytes()).map_err(|error| error.to_string())
}
