//! Why a request to a bucket failed: told once, where it fails, and carried as the source of every
//! error above it.
//!
//! Must not print what was sent: of an answer only its status and error code are kept.

use std::error::Error;

use object_store::{
    Error as StoreError,
    client::{HttpError, HttpErrorKind},
};

use crate::ports::{ErrorKind, PortError};

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    NoBucket,
    Denied,
    Credentials,
    NoKeys,
    Region,
    Clock,
    Tls,
    Refused,
    Busy,
    Unreachable,
    Server,
    Unanswered,
}

impl Cause {
    const ALL: [Self; 12] = [
        Self::NoBucket,
        Self::Denied,
        Self::Credentials,
        Self::NoKeys,
        Self::Region,
        Self::Clock,
        Self::Tls,
        Self::Refused,
        Self::Busy,
        Self::Unreachable,
        Self::Server,
        Self::Unanswered,
    ];

    /// Whether the request had no effect for certain.
    fn did_nothing(self) -> bool {
        !matches!(self, Self::Server | Self::Unanswered)
    }

    /// What callers branch on, where repeating does no harm.
    fn kind(self) -> ErrorKind {
        match self {
            Self::NoBucket
            | Self::Denied
            | Self::Credentials
            | Self::NoKeys
            | Self::Region
            | Self::Clock
            | Self::Tls
            | Self::Refused => ErrorKind::Invalid,
            Self::Busy | Self::Unreachable | Self::Server | Self::Unanswered => ErrorKind::Transient,
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::NoBucket => "there is no such bucket: make it, or correct its name",
            Self::Denied => {
                "access is denied: grant the keys the right to read, write, list and delete there"
            }
            Self::Credentials => "the keys are refused: correct the access key and its secret",
            Self::NoKeys => {
                "no keys were found: give an access key, or an identity to the account that the process runs as"
            }
            Self::Region => "the bucket stands in another region: correct the region",
            Self::Clock => "the clocks of this machine and of the endpoint differ: set them right",
            Self::Tls => {
                "the endpoint's certificate is not trusted: name its authority, or correct the scheme of the URL"
            }
            Self::Refused => {
                "the endpoint refused the request: check the URL of the endpoint and the path style"
            }
            Self::Busy => "the endpoint asks for fewer requests",
            Self::Unreachable => "nothing answers at the endpoint",
            Self::Server => "the endpoint failed",
            Self::Unanswered => "the endpoint did not answer in time",
        }
    }
}

/// A request that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}", self.cause.sentence(), self.told.as_ref().map(|told| format!(" ({told})")).unwrap_or_default())]
pub(in crate::adapters) struct S3Failure {
    cause: Cause,
    /// Status and error code of the answer.
    told: Option<String>,
    /// Whether an earlier attempt of the same create may have had an effect.
    earlier: bool,
}

impl S3Failure {
    /// No answer came in time.
    pub(in crate::adapters) fn unanswered() -> Self {
        Self { cause: Cause::Unanswered, told: None, earlier: false }
    }

    /// The request cannot be made.
    pub(super) fn refused() -> Self {
        Self { cause: Cause::Refused, told: None, earlier: false }
    }

    /// What an error of a store means.
    pub(super) fn of(error: &StoreError) -> Self {
        if let Some(known) = Self::within(error) {
            return known;
        }
        let answer = Answer::of(error);
        let cause = answer.cause().unwrap_or_else(|| unanswered(error));
        Self { cause, told: answer.told(), earlier: false }
    }

    /// The failure that an error was caused by. Some layers keep only the words of what is below them:
    /// then it is known by its own words.
    pub(in crate::adapters) fn within(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(one) = next {
            if let Some(found) = one.downcast_ref::<Self>() {
                return Some(found.clone());
            }
            next = one.source();
        }
        Self::quoted(&error.to_string())
    }

    fn quoted(text: &str) -> Option<Self> {
        let (cause, rest) =
            Cause::ALL.into_iter().find_map(|cause| Some((cause, text.split_once(cause.sentence())?.1)))?;
        let told = rest.strip_prefix(" (").and_then(|rest| rest.split_once(')')).map(|(told, _)| told);
        Some(Self { cause, told: told.map(str::to_owned), earlier: false })
    }

    /// The same, after attempts that may have had an effect.
    pub(super) fn after(mut self, earlier: bool) -> Self {
        self.earlier |= earlier;
        self
    }

    /// Whether a write may have happened.
    pub(in crate::adapters) fn may_have_happened(&self) -> bool {
        self.earlier || !self.cause.did_nothing()
    }

    /// Whether the bucket is not there, rather than something in it.
    pub(super) fn is_about_the_bucket(&self) -> bool {
        self.cause == Cause::NoBucket
    }

    /// The class of a call that may be repeated at will.
    pub(in crate::adapters) fn kind(&self) -> ErrorKind {
        self.cause.kind()
    }

    /// The class of a call whose effect must be asked for before it is repeated.
    pub(in crate::adapters) fn kind_of_write(&self) -> ErrorKind {
        if self.may_have_happened() { ErrorKind::Ambiguous } else { self.kind() }
    }

    /// The error of a call that may be repeated at will.
    pub(in crate::adapters) fn port_error(self, attempt: impl Into<String>) -> PortError {
        PortError::caused(self.kind(), attempt, self)
    }

    /// As an error of a store.
    pub(super) fn store_error(self) -> StoreError {
        StoreError::Generic { store: "S3", source: Box::new(self) }
    }
}

/// What is known of an answer: its status and S3's error code, found in the client's own words, which
/// are all that it gives.
struct Answer {
    status: Option<u16>,
    code: Option<String>,
}

impl Answer {
    fn of(error: &StoreError) -> Self {
        let text = error.to_string();
        let after = |mark: &str| text.split_once(mark).map(|(_, rest)| rest);
        let status = after("status code: ").and_then(|rest| rest.get(..3)?.parse().ok());
        let code = after("<Code>").and_then(|rest| rest.split_once("</Code>")).map(|(code, _)| code);
        let plain = |code: &&str| code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
        Self { status, code: code.filter(plain).map(str::to_owned) }
    }

    fn cause(&self) -> Option<Cause> {
        let known = match self.code.as_deref().unwrap_or_default() {
            "NoSuchBucket" => Cause::NoBucket,
            "AccessDenied" | "AllAccessDisabled" => Cause::Denied,
            "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "ExpiredToken" | "InvalidToken" => {
                Cause::Credentials
            }
            "AuthorizationHeaderMalformed" | "PermanentRedirect" | "InvalidRegion" => Cause::Region,
            "RequestTimeTooSkewed" => Cause::Clock,
            "SlowDown" | "TooManyRequests" | "ConditionalRequestConflict" => Cause::Busy,
            _ => return self.status.map(of_status),
        };
        Some(known)
    }

    fn told(&self) -> Option<String> {
        match (&self.code, self.status) {
            (Some(code), _) => Some(code.clone()),
            (None, Some(status)) => Some(format!("HTTP {status}")),
            (None, None) => None,
        }
    }
}

fn of_status(status: u16) -> Cause {
    match status {
        300..=399 => Cause::Region,
        401 => Cause::Credentials,
        403 => Cause::Denied,
        408 => Cause::Unanswered,
        409 | 429 => Cause::Busy,
        500.. => Cause::Server,
        _ => Cause::Refused,
    }
}

/// What failed without an answer.
fn unanswered(error: &StoreError) -> Cause {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    let mut cause = Cause::Unanswered;
    while let Some(one) = next {
        let text = one.to_string();
        let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if says(&["certificate", "InvalidContentType", "corrupt message", "HandshakeFailure"]) {
            return Cause::Tls;
        }
        if says(&["token retrieval", "169.254.", "Missing region", "credentials"]) {
            return Cause::NoKeys;
        }
        if says(&["Received redirect without LOCATION"]) {
            return Cause::Region;
        }
        if one.downcast_ref::<HttpError>().is_some_and(|error| error.kind() == HttpErrorKind::Connect) {
            cause = Cause::Unreachable;
        }
        next = one.source();
    }
    cause
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: &str, body: &str) -> S3Failure {
        let source = format!("Server returned non-2xx status code: {status}: {body}").into();
        S3Failure::of(&StoreError::Generic { store: "S3", source })
    }

    #[test]
    fn an_answer_is_told_by_its_code_then_by_its_status() {
        let denied = answered("403 Forbidden", "<Error><Code>AccessDenied</Code><Key>k</Key></Error>");
        assert_eq!((denied.cause, denied.kind()), (Cause::Denied, ErrorKind::Invalid));
        assert!(denied.to_string().ends_with("delete there (AccessDenied)"), "{denied}");
        let bare = answered("403 Forbidden", "");
        assert!(bare.to_string().ends_with("(HTTP 403)"), "{bare}");
        let bucket = answered("404 Not Found", "<Code>NoSuchBucket</Code>");
        assert_eq!((bucket.cause, bucket.kind_of_write()), (Cause::NoBucket, ErrorKind::Invalid));
    }

    #[test]
    fn a_write_that_the_endpoint_failed_at_may_have_happened() {
        let failed = answered("500 Internal Server Error", "<Code>InternalError</Code>");
        assert_eq!((failed.kind(), failed.kind_of_write()), (ErrorKind::Transient, ErrorKind::Ambiguous));
        let busy = answered("503 Service Unavailable", "<Code>SlowDown</Code>");
        assert_eq!(busy.kind_of_write(), ErrorKind::Transient);
        assert_eq!(busy.after(true).kind_of_write(), ErrorKind::Ambiguous);
    }

    #[test]
    fn an_answer_cannot_put_words_into_a_log() {
        let odd = answered("400 Bad Request", "<Code>x y\u{1b}[2J</Code>");
        assert!(odd.to_string().ends_with("(HTTP 400)"), "{odd}");
    }

    #[test]
    fn a_failure_is_found_below_other_errors() {
        let inner = S3Failure::unanswered();
        let outer = PortError::caused(ErrorKind::Transient, "reading", inner.clone().store_error());
        assert_eq!(S3Failure::within(&outer), Some(inner));
    }

    #[test]
    fn a_failure_is_known_by_its_words_where_only_those_are_kept() {
        for cause in Cause::ALL {
            for told in [None, Some("HTTP 500".to_owned())] {
                let failure = S3Failure { cause, told, earlier: false };
                let outer =
                    std::io::Error::other(format!("Kernel error: {}\n", failure.clone().store_error()));
                assert_eq!(S3Failure::within(&outer), Some(failure));
            }
        }
        assert_eq!(S3Failure::within(&std::io::Error::other("the disk is full")), None);
    }
}
