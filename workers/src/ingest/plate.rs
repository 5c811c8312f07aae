//! Plates: replaced by a token before anything is written.
//!
//! Must not print a plate or a key. Invariants: the same plate gives the same token under one key,
//! however it was spaced or cased; a token does not tell the plate to whoever lacks the key; what is
//! no token of a known key is treated as clear text.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::refusal::{Reason, Refusal};

const FIELD: &str = "vehicle_license_plate";
const PREFIX: &str = "hmac:";
/// Bytes of HMAC-SHA256, and their length in base 64.
const TOKEN_BYTES: usize = 32;
/// Longest plate that is looked at, characters.
const LONGEST_PLATE: usize = 32;
/// Shortest secret, bytes.
const SHORTEST_SECRET: usize = 32;
/// Longest id of a key, characters.
const LONGEST_KEY_ID: usize = 32;

/// The keys that plates are replaced with; none at first.
///
/// As files of a folder: each is named by its key id (`a-z`, `0-9`, `-`) and holds the secret, at least
/// 32 bytes, a line end after it left out; the file `current` holds the id of the key that new tokens
/// use, and may be absent where there is only one key. Tokens of the others still pass.
#[derive(Clone, Default)]
pub struct PlateKeys {
    keys: BTreeMap<String, Hmac<Sha256>>,
    current: Option<String>,
}

impl fmt::Debug for PlateKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.keys.keys().collect();
        f.debug_struct("PlateKeys").field("ids", &ids).field("current", &self.current).finish()
    }
}

/// Why files are no plate keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlateKeyError {
    /// A file's name is no key id.
    #[error("the plate key `{0}`: a name has 1 to 32 of a-z, 0-9 and -")]
    Name(String),
    /// A secret is too short to keep plates from being guessed.
    #[error("the plate key `{0}` is shorter than 32 bytes")]
    TooShort(String),
    /// Several keys, and none is named as the current one.
    #[error("several plate keys, and no file `current` says which one new tokens use")]
    NoCurrent,
    /// The current key is not there.
    #[error("the file `current` names the plate key `{0}`, which is not there")]
    CurrentMissing(String),
}

impl PlateKeys {
    /// Reads the files of a Secret, by name.
    pub fn read(files: &BTreeMap<String, Vec<u8>>) -> Result<Self, PlateKeyError> {
        let mut keys = BTreeMap::new();
        for (id, secret) in files.iter().filter(|(name, _)| *name != "current") {
            if !is_key_id(id) {
                return Err(PlateKeyError::Name(id.clone()));
            }
            let secret = secret.trim_ascii_end();
            if secret.len() < SHORTEST_SECRET {
                return Err(PlateKeyError::TooShort(id.clone()));
            }
            let too_short = |_| PlateKeyError::TooShort(id.clone());
            keys.insert(id.clone(), Hmac::<Sha256>::new_from_slice(secret).map_err(too_short)?);
        }
        let named = files.get("current").map(|name| String::from_utf8_lossy(name).trim().to_owned());
        let current = match named {
            Some(named) if keys.contains_key(&named) => Some(named),
            Some(named) => return Err(PlateKeyError::CurrentMissing(named)),
            None if keys.len() > 1 => return Err(PlateKeyError::NoCurrent),
            None => keys.keys().next().cloned(),
        };
        Ok(Self { keys, current })
    }

    /// What stands in place of `plate`; `None` where it is a token already.
    pub(super) fn replace(&self, plate: &str) -> Result<Option<String>, Refusal> {
        if let Some(rest) = plate.strip_prefix(PREFIX) {
            return self.check_token(rest).map(|()| None);
        }
        let canonical = canonical(plate)?;
        let current = self.current.as_ref().and_then(|id| Some((id, self.keys.get(id)?)));
        let missing =
            || Refusal::new(Reason::NoPlateKey, format!("{FIELD}: in clear, and no key is configured"));
        let (id, key) = current.ok_or_else(missing)?;
        let mut mac = key.clone();
        mac.update(canonical.as_bytes());
        let token = BASE64URL_NOPAD.encode(&mac.finalize().into_bytes());
        Ok(Some(format!("{PREFIX}{id}:{token}")))
    }

    fn check_token(&self, rest: &str) -> Result<(), Refusal> {
        let refuse = |what: &'static str| Refusal::invalid(format!("{FIELD}: {what}"));
        let (id, token) = rest.split_once(':').ok_or(refuse("a token has the form hmac:<key>:<token>"))?;
        if !self.keys.contains_key(id) {
            return Err(refuse("a token of a key that is not known here"));
        }
        let decoded = BASE64URL_NOPAD.decode(token.as_bytes());
        if decoded.is_ok_and(|bytes| bytes.len() == TOKEN_BYTES) {
            Ok(())
        } else {
            Err(refuse("a token ends with 32 bytes in unpadded base64url"))
        }
    }
}

fn is_key_id(id: &str) -> bool {
    let allowed = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'-';
    (1..=LONGEST_KEY_ID).contains(&id.len()) && id.bytes().all(allowed)
}

/// The plate as it is compared: its letters and digits, in upper case.
fn canonical(plate: &str) -> Result<Cow<'_, str>, Refusal> {
    if plate.chars().count() > LONGEST_PLATE {
        return Err(Refusal::invalid(format!("{FIELD}: longer than {LONGEST_PLATE} characters")));
    }
    let is_canonical = |letter: u8| letter.is_ascii_uppercase() || letter.is_ascii_digit();
    if !plate.is_empty() && plate.bytes().all(is_canonical) {
        return Ok(Cow::Borrowed(plate));
    }
    let kept = plate.chars().filter(|letter| letter.is_alphanumeric());
    let kept: String = kept.flat_map(char::to_uppercase).collect();
    if kept.is_empty() {
        return Err(Refusal::invalid(format!("{FIELD}: has neither letters nor digits")));
    }
    Ok(Cow::Owned(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &[u8] = b"0123456789abcdef0123456789abcdef\n";
    const NEW: &[u8] = b"fedcba9876543210fedcba9876543210";

    fn keys(files: &[(&str, &[u8])]) -> Result<PlateKeys, PlateKeyError> {
        PlateKeys::read(&files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect())
    }

    fn token(keys: &PlateKeys, plate: &str) -> String {
        keys.replace(plate).unwrap().unwrap()
    }

    #[test]
    fn one_plate_has_one_token_however_it_is_written() {
        let keys = keys(&[("k1", OLD)]).unwrap();
        let expected = token(&keys, "AB12CDE");
        for written in ["ab12cde", "AB12 CDE", "AB·12-cde"] {
            assert_eq!(token(&keys, written), expected);
        }
        assert_ne!(token(&keys, "AB12CDF"), expected);
        assert!(expected.starts_with("hmac:k1:") && !expected.contains("AB12"));
    }

    #[test]
    fn a_token_is_the_hmac_that_others_compute() {
        let keys = keys(&[("k1", b"kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk")]).unwrap();
        // printf AB12CDE | openssl dgst -sha256 -hmac kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk -binary | basenc --base64url
        assert_eq!(token(&keys, "AB12CDE"), "hmac:k1:Kt64s8FAkD2fVNkVZplHMdKmuwH1ae_1AorT36ye3mY");
    }

    #[test]
    fn during_a_rotation_new_tokens_use_the_current_key_and_old_ones_pass() {
        let before = keys(&[("k1", OLD)]).unwrap();
        let during = keys(&[("k1", OLD), ("k2", NEW), ("current", b"k2\n")]).unwrap();
        assert!(token(&during, "AB12CDE").starts_with("hmac:k2:"));
        assert_eq!(during.replace(&token(&before, "AB12CDE")).unwrap(), None);
    }

    #[test]
    fn a_token_of_an_unknown_key_and_what_only_looks_like_one_are_refused() {
        let keys = keys(&[("k1", OLD)]).unwrap();
        for plate in ["hmac:k9:AAAA", "hmac:k1:AB12CDE", "hmac:AB12CDE", "hmac:k1:"] {
            let refusal = keys.replace(plate).unwrap_err();
            assert!(refusal.detail.starts_with(FIELD) && !refusal.detail.contains("AB12"), "{refusal:?}");
        }
    }

    #[test]
    fn a_clear_plate_is_refused_where_there_is_no_key() {
        let refusal = PlateKeys::default().replace("AB12CDE").unwrap_err();
        assert_eq!(refusal.reason, Reason::NoPlateKey);
    }

    #[test]
    fn plates_that_are_none_are_refused() {
        let keys = keys(&[("k1", OLD)]).unwrap();
        for plate in ["", " - ", &"A".repeat(33)] {
            assert!(keys.replace(plate).is_err(), "{plate}");
        }
    }

    #[test]
    fn unusable_keys_are_named() {
        assert_eq!(keys(&[("k1", b"short")]).unwrap_err(), PlateKeyError::TooShort("k1".into()));
        assert_eq!(keys(&[("K1", OLD)]).unwrap_err(), PlateKeyError::Name("K1".into()));
        assert_eq!(keys(&[("k1", OLD), ("k2", NEW)]).unwrap_err(), PlateKeyError::NoCurrent);
        let missing = keys(&[("k1", OLD), ("current", b"k2")]).unwrap_err();
        assert_eq!(missing, PlateKeyError::CurrentMissing("k2".into()));
    }

    #[test]
    fn no_secret_is_printed() {
        assert!(!format!("{:?}", keys(&[("k1", OLD)]).unwrap()).contains("0123"));
    }
}
