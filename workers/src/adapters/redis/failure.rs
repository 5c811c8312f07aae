//! What a failed command means: whether it happened, and whether the connection is to be kept.
//!
//! Pure: no command is sent here.

use redis::{ErrorKind as RedisErrorKind, RedisError};

use crate::ports::{ErrorKind, PortError};

/// Whether a command changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It reads: unanswered, it can be sent again.
    Reads,
    /// It writes: unanswered, it may have happened.
    Writes,
}

/// What an error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meaning {
    /// What callers branch on.
    pub(super) kind: ErrorKind,
    /// The server cannot serve us: the master is to be looked for anew.
    pub(super) leave: bool,
}

/// Reads an error. What a server refuses it refuses before the first write of a script.
pub(super) fn meaning(error: &RedisError, effect: Effect) -> Meaning {
    let unanswered = match effect {
        Effect::Reads => ErrorKind::Transient,
        Effect::Writes => ErrorKind::Ambiguous,
    };
    let Some(code) = error.code() else {
        return match error.kind() {
            RedisErrorKind::AuthenticationFailed => Meaning { kind: ErrorKind::Transient, leave: true },
            _ => Meaning { kind: unanswered, leave: true },
        };
    };
    match code {
        "READONLY" | "NOREPLICAS" | "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "MOVED"
        | "ASK" | "NOAUTH" | "WRONGPASS" => Meaning { kind: ErrorKind::Transient, leave: true },
        // It cannot write to its disk, or runs a script of somebody for too long: it is still the master.
        "MISCONF" | "BUSY" | "NOSCRIPT" | "EXECABORT" => Meaning { kind: ErrorKind::Transient, leave: false },
        "OOM" => Meaning { kind: ErrorKind::Full, leave: false },
        "WRONGTYPE" => Meaning { kind: ErrorKind::Corrupt, leave: false },
        // A blocked command was let go, since its server is master no longer.
        "UNBLOCKED" => Meaning { kind: unanswered, leave: true },
        _ => Meaning { kind: ErrorKind::Invalid, leave: false },
    }
}

/// The error of the command that failed first, where several were sent together.
pub(super) fn first_of(error: RedisError) -> RedisError {
    let errors = error.clone().into_server_errors();
    errors.and_then(|errors| errors.first().map(|(_, first)| first.clone().into())).unwrap_or(error)
}

/// The answer of the port to a server's error.
pub(super) fn port_error(attempt: &str, error: RedisError, effect: Effect) -> PortError {
    let kind = meaning(&error, effect).kind;
    let advice = match (kind, error.code()) {
        (ErrorKind::Full, _) => "the Redis is full (maxmemory): give it more memory",
        (ErrorKind::Corrupt, _) => "a key of the store holds something else: the prefix is used by others",
        (_, Some("NOPERM")) => {
            "the user may not run the command: grant it EVALSHA, SCRIPT LOAD and the prefix"
        }
        (_, Some("NOREPLICAS")) => "the master has fewer replicas than min-replicas-to-write",
        (_, Some("MISCONF")) => "the Redis cannot write to its disk",
        _ => return PortError::caused(kind, attempt, error),
    };
    PortError::caused(kind, format!("{attempt} ({advice})"), error)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn server(line: &str) -> RedisError {
        redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap().extract_error().unwrap_err()
    }

    #[test]
    fn what_a_server_refused_did_not_happen_and_tells_whether_to_stay() {
        let table = [
            ("READONLY You can't write against a read only replica.", ErrorKind::Transient, true),
            ("NOREPLICAS Not enough good replicas to write.", ErrorKind::Transient, true),
            ("LOADING Redis is loading the dataset in memory", ErrorKind::Transient, true),
            ("MASTERDOWN Link with MASTER is down", ErrorKind::Transient, true),
            ("CLUSTERDOWN Hash slot not served", ErrorKind::Transient, true),
            ("NOAUTH Authentication required.", ErrorKind::Transient, true),
            ("MISCONF Errors writing to the AOF file", ErrorKind::Transient, false),
            ("BUSY Redis is busy running a script.", ErrorKind::Transient, false),
            ("NOSCRIPT No matching script.", ErrorKind::Transient, false),
            ("OOM command not allowed when used memory > 'maxmemory'.", ErrorKind::Full, false),
            ("WRONGTYPE Operation against a key", ErrorKind::Corrupt, false),
            ("NOPERM this user has no permissions", ErrorKind::Invalid, false),
            ("ERR unknown command", ErrorKind::Invalid, false),
        ];
        for (line, kind, leave) in table {
            for effect in [Effect::Reads, Effect::Writes] {
                assert_eq!(meaning(&server(line), effect), Meaning { kind, leave }, "{line}");
            }
        }
    }

    #[test]
    fn what_was_not_answered_may_have_been_written_and_was_only_not_read() {
        for broken in [io::ErrorKind::ConnectionReset, io::ErrorKind::TimedOut, io::ErrorKind::UnexpectedEof]
        {
            let error = || RedisError::from(io::Error::from(broken));
            let write = Meaning { kind: ErrorKind::Ambiguous, leave: true };
            assert_eq!(meaning(&error(), Effect::Writes), write);
            let read = Meaning { kind: ErrorKind::Transient, leave: true };
            assert_eq!(meaning(&error(), Effect::Reads), read);
        }
        let let_go = server("UNBLOCKED force unblock from blocking operation, instance state changed");
        assert_eq!(meaning(&let_go, Effect::Writes).kind, ErrorKind::Ambiguous);
    }

    #[test]
    fn an_error_says_what_to_do() {
        let full = port_error("committing a stage", server("OOM used memory > 'maxmemory'"), Effect::Writes);
        assert!(full.attempt.contains("give it more memory"), "{full:?}");
    }
}
