//! What an error of the library means to callers of a port.
//!
//! Invariant: where a write may have happened the answer is [`ErrorKind::Ambiguous`], never a promise.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::ports::{ErrorKind, PortError};

/// A failed read, or a question to the brokers.
pub(super) fn read_error(attempt: impl Into<String>, error: &KafkaError) -> PortError {
    let kind = match class(error) {
        Class::Passing | Class::Unanswered => ErrorKind::Transient,
        Class::Lasting => ErrorKind::Invalid,
    };
    explained(kind, attempt.into(), error)
}

/// A failed write.
pub(super) fn write_error(attempt: impl Into<String>, error: &KafkaError) -> PortError {
    let kind = match class(error) {
        Class::Passing => ErrorKind::Transient,
        Class::Unanswered => ErrorKind::Ambiguous,
        Class::Lasting => ErrorKind::Invalid,
    };
    explained(kind, attempt.into(), error)
}

enum Class {
    /// The brokers refused it for now.
    Passing,
    /// Nobody knows whether they took it.
    Unanswered,
    /// They will refuse it again until somebody does something.
    Lasting,
}

fn code(error: &KafkaError) -> Option<Code> {
    match error {
        KafkaError::AdminOp(code) => Some(*code),
        error => error.rdkafka_error_code(),
    }
}

fn class(error: &KafkaError) -> Class {
    if matches!(error, KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_)) {
        return Class::Lasting;
    }
    match code(error) {
        Some(
            Code::NotEnoughReplicas
            | Code::LeaderNotAvailable
            | Code::CoordinatorNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::NotCoordinator
            | Code::QueueFull
            | Code::Resolve,
        ) => Class::Passing,
        Some(
            Code::MessageSizeTooLarge
            | Code::InvalidMessageSize
            | Code::MessageBatchTooLarge
            | Code::UnknownTopic
            | Code::UnknownTopicOrPartition
            | Code::UnknownPartition
            | Code::UnknownTopicId
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::SaslAuthenticationFailed
            | Code::Authentication
            | Code::UnsupportedSASLMechanism
            | Code::OffsetOutOfRange
            | Code::AutoOffsetReset
            | Code::InvalidArgument,
        ) => Class::Lasting,
        _ => Class::Unanswered,
    }
}

fn explained(kind: ErrorKind, attempt: String, error: &KafkaError) -> PortError {
    let cure = match code(error) {
        Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) => {
            "; make the topic with the pipeline's number of partitions"
        }
        Some(Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed) => "; give the user the right",
        Some(Code::SaslAuthenticationFailed | Code::Authentication) => "; check user, password and mechanism",
        Some(Code::OffsetOutOfRange | Code::AutoOffsetReset) => {
            "; the records were removed, or the topic was made anew"
        }
        Some(Code::AllBrokersDown | Code::BrokerTransportFailure | Code::Resolve) => {
            "; is the address right?"
        }
        _ => "",
    };
    PortError::caused(kind, attempt, format!("{error}{cure}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_without_an_answer_may_have_happened() {
        let timeout = || KafkaError::MessageProduction(Code::MessageTimedOut);
        assert_eq!(write_error("append", &timeout()).kind, ErrorKind::Ambiguous);
        assert_eq!(read_error("read", &timeout()).kind, ErrorKind::Transient);
    }

    #[test]
    fn a_refused_write_did_not_happen() {
        let refused = KafkaError::MessageProduction(Code::NotEnoughReplicas);
        assert_eq!(write_error("append", &refused).kind, ErrorKind::Transient);
    }

    #[test]
    fn what_needs_somebody_is_told_with_its_cure() {
        for (error, cure) in [
            (KafkaError::MetadataFetch(Code::SaslAuthenticationFailed), "check user, password and mechanism"),
            (KafkaError::AdminOp(Code::UnknownTopicOrPartition), "the pipeline's number of partitions"),
        ] {
            let error = read_error("read", &error);
            assert_eq!(error.kind, ErrorKind::Invalid);
            assert!(error.source.unwrap().to_string().ends_with(cure));
        }
    }
}
