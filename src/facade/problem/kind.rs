//! The kinds of refusals: a status, a stable name and a title for each.

use warp::http::StatusCode;

/// What kind of refusal it is; each has one status, one name and one title.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::facade) enum Kind {
    BadRequest,
    MalformedJson,
    Unauthenticated,
    Forbidden,
    LimitExceeded,
    NotFound,
    MethodNotAllowed,
    BodyTimeout,
    Conflict,
    Quarantined,
    HeldElsewhere,
    PreconditionFailed,
    BodyTooLarge,
    UnsupportedMediaType,
    RangeNotSatisfiable,
    Invalid,
    ChecksumMismatch,
    CsrfTokenMissing,
    IdempotencyKeyReused,
    TooManyRequests,
    Internal,
    Unavailable,
    NoRoom,
}

impl Kind {
    /// Every kind.
    pub(in crate::facade) const ALL: [Self; 23] = [
        Self::BadRequest,
        Self::MalformedJson,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::LimitExceeded,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::BodyTimeout,
        Self::Conflict,
        Self::Quarantined,
        Self::HeldElsewhere,
        Self::PreconditionFailed,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::RangeNotSatisfiable,
        Self::Invalid,
        Self::ChecksumMismatch,
        Self::CsrfTokenMissing,
        Self::IdempotencyKeyReused,
        Self::TooManyRequests,
        Self::Internal,
        Self::Unavailable,
        Self::NoRoom,
    ];

    /// Status, last part of `type`, and `title`.
    pub(in crate::facade) fn facts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BadRequest => (
                StatusCode::BAD_REQUEST,
                "bad-request",
                "The request cannot be understood",
            ),
            Self::MalformedJson => (
                StatusCode::BAD_REQUEST,
                "malformed-json",
                "The body is not JSON",
            ),
            Self::Unauthenticated => (
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                "A valid token is needed",
            ),
            Self::Forbidden => (
                StatusCode::FORBIDDEN,
                "forbidden",
                "The token does not allow this",
            ),
            Self::LimitExceeded => (
                StatusCode::PAYMENT_REQUIRED,
                "limit-exceeded",
                "The plan's limit is reached",
            ),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "There is no such thing"),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "The method is not allowed here",
            ),
            Self::BodyTimeout => (
                StatusCode::REQUEST_TIMEOUT,
                "body-timeout",
                "The body did not arrive in time",
            ),
            Self::Conflict => (
                StatusCode::CONFLICT,
                "conflict",
                "The present state does not allow this",
            ),
            Self::Quarantined => (StatusCode::CONFLICT, "quarantined", "It is stored damaged"),
            Self::HeldElsewhere => (
                StatusCode::CONFLICT,
                "held-elsewhere",
                "Another daemon holds the channel",
            ),
            Self::PreconditionFailed => (
                StatusCode::PRECONDITION_FAILED,
                "precondition-failed",
                "It was changed in the meantime",
            ),
            Self::BodyTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "body-too-large",
                "The body is too large",
            ),
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "The body's type is not supported",
            ),
            Self::RangeNotSatisfiable => (
                StatusCode::RANGE_NOT_SATISFIABLE,
                "range-not-satisfiable",
                "The range lies outside",
            ),
            Self::Invalid => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid",
                "The content is not valid",
            ),
            // Of the protocol of uploads alone.
            Self::ChecksumMismatch => (
                StatusCode::from_u16(460).unwrap_or(StatusCode::BAD_REQUEST),
                "checksum-mismatch",
                "The bytes are not those of the checksum",
            ),
            Self::CsrfTokenMissing => (
                StatusCode::FORBIDDEN,
                "csrf-token-missing",
                "A session needs its CSRF token for this",
            ),
            Self::IdempotencyKeyReused => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency-key-reused",
                "The Idempotency-Key stands for another request",
            ),
            Self::TooManyRequests => (
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-requests",
                "There are too many requests",
            ),
            Self::NoRoom => (
                StatusCode::INSUFFICIENT_STORAGE,
                "no-room",
                "There is no room on the disk",
            ),
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "The daemon failed",
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "Not available at the moment",
            ),
        }
    }
}
