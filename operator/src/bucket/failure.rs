//! Why a call failed, in words of a closed list.
//!
//! Must not: keep anything of an answer but a known error code; a user chooses the endpoint, and whoever reads
//! the status must not read through it what only the operator can reach.

use std::{error::Error, fmt};

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use parking_crds::condition::{ConditionType, Reason};

use super::connect::Refused;
use crate::{error::Class, problem::Problem};

/// Why a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Keys are unknown, expired or wrong.
    Credentials,
    /// The keys lack a right, or the bucket belongs to another account.
    Denied,
    /// The name is taken by another account.
    Taken,
    /// The bucket stands in another region.
    Region,
    /// The bucket is not there.
    NoBucket,
    /// The thing that was asked for is not there.
    NotThere,
    /// A condition of the request did not hold.
    Precondition,
    /// The endpoint does not know the request.
    NotImplemented,
    /// No keys could be found for the operator.
    NoKeys,
    /// The endpoint's clock or the operator's is wrong.
    Clock,
    /// The address is not allowed.
    Address,
    /// The name of the endpoint is unknown.
    Name,
    /// The endpoint's certificate is not trusted, or it speaks no TLS.
    Tls,
    /// Nothing answers there.
    Connect,
    /// No answer came in time.
    Timeout,
    /// The answer was no answer of an S3 endpoint.
    Answer,
    /// The endpoint is overloaded or failed.
    Server,
}

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub cause: Cause,
    /// The error code, if it is a known one.
    pub code: Option<&'static str>,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
}

/// Known error codes and what they mean.
const CODES: &[(&str, Cause)] = &[
    ("AccessDenied", Cause::Denied),
    ("AllAccessDisabled", Cause::Denied),
    ("AuthorizationHeaderMalformed", Cause::Region),
    ("BucketAlreadyExists", Cause::Taken),
    ("ConditionalRequestConflict", Cause::Precondition),
    ("ExpiredToken", Cause::Credentials),
    ("IllegalLocationConstraintException", Cause::Region),
    ("InternalError", Cause::Server),
    ("InvalidAccessKeyId", Cause::Credentials),
    ("InvalidRegion", Cause::Region),
    ("InvalidToken", Cause::Credentials),
    ("MethodNotAllowed", Cause::NotImplemented),
    ("NoSuchBucket", Cause::NoBucket),
    ("NoSuchKey", Cause::NotThere),
    ("NoSuchLifecycleConfiguration", Cause::NotThere),
    ("NoSuchTagSet", Cause::NotThere),
    ("NoSuchTagSetError", Cause::NotThere),
    ("NotImplemented", Cause::NotImplemented),
    ("PermanentRedirect", Cause::Region),
    ("PreconditionFailed", Cause::Precondition),
    ("RequestTimeTooSkewed", Cause::Clock),
    ("ServiceUnavailable", Cause::Server),
    ("SignatureDoesNotMatch", Cause::Credentials),
    ("SlowDown", Cause::Server),
    ("SlowDownRead", Cause::Server),
    ("SlowDownWrite", Cause::Server),
    ("TokenRefreshRequired", Cause::Credentials),
];

impl Failure {
    /// A failure without an answer.
    pub const fn new(cause: Cause) -> Self {
        Self { cause, code: None, status: None }
    }

    /// What an error of the client means.
    pub(super) fn of<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let status = error.raw_response().map(|answer| answer.status().as_u16());
        match error {
            SdkError::TimeoutError(_) => Self::new(Cause::Timeout),
            SdkError::DispatchFailure(failed) if failed.is_timeout() => Self::new(Cause::Timeout),
            SdkError::ConstructionFailure(_) | SdkError::DispatchFailure(_) => Self::new(unsent(error)),
            SdkError::ServiceError(answer) => Self::of_answer(answer.err().code(), status),
            _ => Self { cause: Cause::Answer, code: None, status },
        }
    }

    /// What a code and status of an answer mean.
    pub(super) fn of_answer(code: Option<&str>, status: Option<u16>) -> Self {
        let known = CODES.iter().find(|(name, _)| Some(*name) == code);
        let cause = known.map_or_else(|| of_status(status), |(_, cause)| *cause);
        Self { cause, code: known.map(|(name, _)| *name), status }
    }

    /// The problem that it is, for a call that is needed. `doing` is what was tried, as in "cannot … ".
    pub fn problem(&self, doing: &str) -> Problem {
        let (reason, class) = match self.cause {
            Cause::Credentials | Cause::NoKeys => (Reason::CredentialsRefused, Class::Blocked),
            Cause::Denied => (Reason::MissingRight, Class::Blocked),
            Cause::Taken => (Reason::OwnedByOther, Class::Blocked),
            Cause::Region => (Reason::Invalid, Class::Invalid),
            Cause::Address => (Reason::NotAllowed, Class::Invalid),
            Cause::NoBucket | Cause::NotThere => (Reason::RefNotFound, Class::Blocked),
            Cause::NotImplemented => (Reason::NotSupported, Class::Blocked),
            Cause::Name | Cause::Tls | Cause::Clock | Cause::Answer => {
                (Reason::DependencyFailed, Class::Blocked)
            }
            Cause::Connect | Cause::Timeout | Cause::Server | Cause::Precondition => {
                (Reason::DependencyFailed, Class::Transient)
            }
        };
        let message = format!("cannot {doing}: {self}");
        Problem { condition: ConditionType::BucketReady, reason, class, message }
    }
}

fn of_status(status: Option<u16>) -> Cause {
    match status {
        Some(301 | 307 | 308) => Cause::Region,
        Some(401) => Cause::Credentials,
        Some(403) => Cause::Denied,
        Some(404) => Cause::NotThere,
        Some(405 | 501) => Cause::NotImplemented,
        Some(412) => Cause::Precondition,
        Some(429 | 500..) => Cause::Server,
        _ => Cause::Answer,
    }
}

/// Why a request never came to an answer: told from the errors' types, and from words where those are private.
fn unsent(error: &(dyn Error + 'static)) -> Cause {
    let mut next = Some(error);
    while let Some(one) = next {
        let text = one.to_string();
        let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if says(&["DNS", "dns error"]) {
            return if holds_refusal(one) { Cause::Address } else { Cause::Name };
        }
        if says(&["certificate", "InvalidContentType", "corrupt message", "HandshakeFailure"]) {
            return Cause::Tls;
        }
        if says(&["credentials", "no providers in chain", "identity"]) {
            return Cause::NoKeys;
        }
        next = one.source();
    }
    Cause::Connect
}

fn holds_refusal(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(one) = next {
        if one.is::<Refused>() {
            return true;
        }
        next = one.source();
    }
    false
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.cause {
            Cause::Credentials => {
                "the keys are refused: correct accessKey and secretKey in the Secret of \
                 spec.objectStore.credentialsSecretRef"
            }
            Cause::Denied => {
                "access is denied: grant the right to the keys of spec.objectStore, or choose a bucket of the \
                 same account"
            }
            Cause::Taken => "another account holds the name: choose another spec.objectStore.bucket",
            Cause::Region => "the bucket stands in another region: correct spec.objectStore.region",
            Cause::NoBucket => "there is no such bucket: make it, or let spec.objectStore.create be true",
            Cause::NotThere => {
                "the endpoint knows nothing there: check spec.objectStore.endpoint and pathStyle"
            }
            Cause::Precondition => "somebody else wrote at the same time: tried again soon",
            Cause::NotImplemented => "the endpoint does not offer it",
            Cause::NoKeys => {
                "no keys are known: name a Secret with accessKey and secretKey in \
                 spec.objectStore.credentialsSecretRef, or give the operator's ServiceAccount an identity"
            }
            Cause::Clock => "the clocks of the endpoint and the operator differ: set them right",
            Cause::Address => {
                "the operator may not talk to that address: choose a spec.objectStore.endpoint outside of \
                 loopback, link-local and the API server"
            }
            Cause::Name => "the host of spec.objectStore.endpoint has no address: correct it",
            Cause::Tls => {
                "the endpoint's certificate is not trusted: name its authority in spec.objectStore.caSecretRef, \
                 or correct the scheme of spec.objectStore.endpoint"
            }
            Cause::Connect => "nothing answers at spec.objectStore.endpoint: start it or correct the URL",
            Cause::Timeout => "spec.objectStore.endpoint does not answer in time",
            Cause::Answer => "what answers at spec.objectStore.endpoint does not speak S3: correct the URL",
            Cause::Server => "the endpoint failed: tried again soon",
        };
        f.write_str(text)?;
        match (self.code, self.status) {
            (Some(code), _) => write!(f, " ({code})"),
            (None, Some(status)) => write!(f, " (HTTP {status})"),
            (None, None) => Ok(()),
        }
    }
}
