//! Requests that the service does not serve: status and text, as seen by clients.

/// Why a request is answered with an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// Sent as `{"detail": …}`.
    pub(crate) detail: String,
}

impl Refusal {
    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self {
            status: 400,
            detail: detail.into(),
        }
    }

    /// The text is seen by clients; its status is inferred.
    pub(crate) fn unknown_filter(name: &str) -> Self {
        Self::bad_request(format!(
            "filter validation error: No filter name '{name}' found in metadata entities"
        ))
    }

    /// Invented after the text for unknown filters.
    pub(crate) fn unknown_operator(filter: &str, operator: &str) -> Self {
        Self::bad_request(format!(
            "filter validation error: operator '{operator}' is not allowed for filter '{filter}'"
        ))
    }

    /// Invented after the text for unknown filters.
    pub(crate) fn bad_value(filter: &str, operator: &str) -> Self {
        Self::bad_request(format!(
            "filter validation error: bad value for operator '{operator}' of filter '{filter}'"
        ))
    }
}
