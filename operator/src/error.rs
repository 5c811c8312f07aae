//! What an error means for the next try.

/// Who can end the error; decides the retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The object contradicts itself or its surroundings: only an edit helps.
    Invalid,
    /// Something else must change first: looked at again after a while.
    Blocked,
    /// It may pass by itself: tried again with growing pauses.
    Transient,
    /// The operator is wrong: counted, reported, tried again seldom.
    Bug,
}

impl Class {
    /// The label value of metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Blocked => "blocked",
            Self::Transient => "transient",
            Self::Bug => "bug",
        }
    }
}

/// An error that knows its class.
pub trait Classify {
    /// Who can end the error.
    fn class(&self) -> Class;
}

impl Classify for kube::Error {
    fn class(&self) -> Class {
        match self {
            Self::Api(status) if matches!(status.code, 400 | 422) => Class::Bug,
            Self::Api(status) if status.code == 403 => Class::Blocked,
            _ => Class::Transient,
        }
    }
}
