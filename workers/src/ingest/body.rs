//! The records of one request, cut out of its body.
//!
//! Must not look into a record: a record that is none is refused by the judge, alone. Invariant: the bytes
//! of a record are those that were sent.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use serde_json::value::RawValue;

/// Most records of one request: beyond it the answer would outgrow the memory that is set aside.
pub const MAX_RECORDS: usize = 20_000;

/// How the records of a body are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One object, or an array of them.
    Json,
    /// One object a line.
    Lines,
}

impl Format {
    /// The format of a `Content-Type`, whatever its parameters.
    pub fn of(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("application/json") {
            Some(Self::Json)
        } else if essence.eq_ignore_ascii_case("application/x-ndjson") {
            Some(Self::Lines)
        } else {
            None
        }
    }
}

/// Why a body has no records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// An array that is no JSON.
    #[error("the body is not a JSON array: {0}")]
    NotAnArray(String),
    /// Nothing was sent.
    #[error("the body is empty: send one record at least")]
    Empty,
    /// More than [`MAX_RECORDS`].
    #[error("the body has {0} records, at most 20000 are taken at a time")]
    TooMany(usize),
    /// What claims to be compressed is not.
    #[error("the body is not gzip: {0}")]
    NotGzip(String),
    /// Longer than allowed, once it is unpacked.
    #[error("the body is longer than {0} bytes")]
    TooLong(usize),
}

/// Cuts a body.
pub fn split(body: &[u8], format: Format) -> Result<Vec<&[u8]>, BodyError> {
    let body = body.trim_ascii();
    if body.is_empty() {
        return Err(BodyError::Empty);
    }
    let records = match format {
        Format::Json if body.starts_with(b"[") => array(body)?,
        Format::Json => vec![body],
        Format::Lines => {
            let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
            lines.filter(|line| !line.is_empty()).collect()
        }
    };
    if records.len() > MAX_RECORDS { Err(BodyError::TooMany(records.len())) } else { Ok(records) }
}

fn array(body: &[u8]) -> Result<Vec<&[u8]>, BodyError> {
    let refuse = |error: &dyn std::fmt::Display| BodyError::NotAnArray(error.to_string());
    let text = std::str::from_utf8(body).map_err(|error| refuse(&error))?;
    let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| refuse(&error))?;
    Ok(items.into_iter().map(|item| item.get().as_bytes()).collect())
}

/// Unpacks a body of at most `limit` bytes.
pub fn unzip(packed: &[u8], limit: usize) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let read = MultiGzDecoder::new(packed).take(most).read_to_end(&mut body);
    read.map_err(|error| BodyError::NotGzip(error.to_string()))?;
    if body.len() > limit { Err(BodyError::TooLong(limit)) } else { Ok(body) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn cut(body: &str, format: Format) -> Vec<String> {
        let records = split(body.as_bytes(), format).unwrap();
        records.into_iter().map(|record| String::from_utf8(record.to_vec()).unwrap()).collect()
    }

    fn zip(bytes: &[u8]) -> Vec<u8> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    }

    #[test]
    fn records_keep_their_bytes() {
        assert_eq!(cut(" {\"a\": 1}\n", Format::Json), ["{\"a\": 1}"]);
        assert_eq!(cut("[ {\"a\": [1,\n2]} , 7]", Format::Json), ["{\"a\": [1,\n2]}", "7"]);
        assert_eq!(cut("{\"a\": 1}\r\n\n broken {\n", Format::Lines), ["{\"a\": 1}", "broken {"]);
        assert!(cut("[]", Format::Json).is_empty());
    }

    #[test]
    fn what_cannot_be_cut_is_told() {
        assert_eq!(split(b" \n", Format::Lines), Err(BodyError::Empty));
        assert!(matches!(split(b"[{\"a\":1},", Format::Json), Err(BodyError::NotAnArray(_))));
        assert!(matches!(split(b"[\"\xff\"]", Format::Json), Err(BodyError::NotAnArray(_))));
        let many = "1\n".repeat(MAX_RECORDS + 1);
        assert_eq!(split(many.as_bytes(), Format::Lines), Err(BodyError::TooMany(MAX_RECORDS + 1)));
    }

    #[test]
    fn a_packed_body_is_unpacked_up_to_the_limit() {
        let packed = zip(&[b'a'; 1_000]);
        assert_eq!(unzip(&packed, 1_000).unwrap().len(), 1_000);
        assert_eq!(unzip(&packed, 999), Err(BodyError::TooLong(999)));
        assert!(matches!(unzip(b"plain", 999), Err(BodyError::NotGzip(_))));
        assert!(matches!(unzip(&packed[..20], 2_000), Err(BodyError::NotGzip(_))));
    }

    #[test]
    fn formats_are_known_by_their_content_type() {
        assert_eq!(Format::of("application/json; charset=utf-8"), Some(Format::Json));
        assert_eq!(Format::of("Application/X-NDJSON"), Some(Format::Lines));
        assert_eq!(Format::of("text/plain"), None);
    }
}
