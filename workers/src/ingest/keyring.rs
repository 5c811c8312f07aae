//! The API keys that let senders in.
//!
//! Must not keep, print or compare a key in clear: only its SHA-256 is kept, and all of them are compared
//! in the same time, whichever fits. Invariant: a file that cannot be read lets nobody in and harms no
//! other key.
//!
//! One file per key, named by the key's id; its content is one of
//! - the key itself, 16 to 512 letters of `A-Z a-z 0-9 - . _ ~ + / =`;
//! - YAML or JSON: `sha256` (64 hexadecimal digits) or `key`, and at will `tenant` (default: the pipeline's
//!   name), `rights` (of `write`, `replay`) and `limits` (`recordsPerSecond`, `bytesPerSecond`).
//!
//! Where no rights are written, a key may `write`, and one whose id begins with `replay-` may `replay`, too.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::grant::{Grant, Limits, Rights};

/// What a key's own file may leave out.
#[derive(Clone, Debug)]
pub struct KeyDefaults {
    /// Whose records a key writes.
    pub tenant: String,
    /// How much.
    pub limits: Limits,
}

/// The keys of a pipeline.
#[derive(Default)]
pub struct Keyring {
    keys: Vec<([u8; 32], Arc<Grant>)>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(_, grant)| &grant.id)).finish()
    }
}

/// Why a file lets nobody in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the API key `{id}` cannot be used: {reason}")]
pub struct KeyError {
    /// Name of the file.
    pub id: String,
    /// One sentence, without anything of the content.
    pub reason: &'static str,
}

impl Keyring {
    /// Reads the files of a Secret, by name; what cannot be used is told beside.
    pub fn read(files: &BTreeMap<String, Vec<u8>>, defaults: &KeyDefaults) -> (Self, Vec<KeyError>) {
        let (mut keyring, mut errors) = (Self::default(), Vec::new());
        for (id, content) in files {
            let read = read_key(id, content, defaults).and_then(|(digest, grant)| {
                let twice = keyring.keys.iter().any(|(known, _)| *known == digest);
                if twice { Err("another file has the same key") } else { Ok((digest, Arc::new(grant))) }
            });
            match read {
                Ok(key) => keyring.keys.push(key),
                Err(reason) => errors.push(KeyError { id: id.clone(), reason }),
            }
        }
        (keyring, errors)
    }

    /// What the holder of this key may do; `None` if it is no key.
    pub fn find(&self, key: &str) -> Option<Arc<Grant>> {
        let digest: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        let mut found = u32::MAX;
        for (place, (known, _)) in (0..).zip(&self.keys) {
            found.conditional_assign(&place, known.ct_eq(&digest));
        }
        self.keys.get(usize::try_from(found).ok()?).map(|(_, grant)| Arc::clone(grant))
    }

    /// How many keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether nobody is let in.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    sha256: Option<String>,
    key: Option<String>,
    tenant: Option<String>,
    rights: Option<Vec<Right>>,
    #[serde(default)]
    limits: Limits,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Right {
    Write,
    Replay,
}

fn read_key(id: &str, content: &[u8], defaults: &KeyDefaults) -> Result<([u8; 32], Grant), &'static str> {
    let text = std::str::from_utf8(content).map_err(|_| "it is not UTF-8")?.trim();
    let implied = Rights { write: true, replay: id.starts_with("replay-") };
    let grant = |tenant: Option<String>, rights, limits: Limits| Grant {
        id: Arc::from(id),
        tenant: Some(tenant.unwrap_or_else(|| defaults.tenant.clone())),
        rights,
        limits: limits.or(defaults.limits),
    };
    if is_token(text) {
        return Ok((digest_of(text)?, grant(None, implied, Limits::default())));
    }
    // The parser's own message would quote the content.
    let written: Written = serde_saphyr::from_str(text)
        .map_err(|_| "it is neither a key nor YAML with sha256 or key, tenant, rights, limits")?;
    let digest = match (&written.sha256, &written.key) {
        (Some(hex), None) => from_hex(hex)?,
        (None, Some(key)) => digest_of(key)?,
        _ => return Err("exactly one of sha256 and key is needed"),
    };
    let rights = written.rights.map_or(implied, |rights| Rights {
        write: rights.contains(&Right::Write),
        replay: rights.contains(&Right::Replay),
    });
    if !rights.write && !rights.replay {
        return Err("rights: it has none");
    }
    Ok((digest, grant(written.tenant, rights, written.limits)))
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte))
}

fn digest_of(key: &str) -> Result<[u8; 32], &'static str> {
    if !is_token(key) {
        return Err("a key has letters, digits and - . _ ~ + / = only");
    }
    if !(16..=512).contains(&key.len()) {
        return Err("a key has 16 to 512 characters");
    }
    Ok(Sha256::digest(key.as_bytes()).into())
}

fn from_hex(hex: &str) -> Result<[u8; 32], &'static str> {
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or("sha256: 64 hexadecimal digits are needed")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "s3cr3t-of-the-north";
    const SHA256: &str = "1f3deab68af25426c27aefe016ed887d2c4fcc294a018d02ab38154024e35fce";

    fn read(files: &[(&str, &str)]) -> (Keyring, Vec<KeyError>) {
        let defaults = KeyDefaults {
            tenant: "birmingham".into(),
            limits: Limits { records_per_second: Some(100), bytes_per_second: None },
        };
        let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
        Keyring::read(&files.collect(), &defaults)
    }

    #[test]
    fn a_file_with_the_key_alone_writes_for_the_pipeline_and_its_name_may_let_it_replay() {
        let (keys, errors) = read(&[("north", &format!("{KEY}\n")), ("replay-south", "another-key-of-it")]);
        assert!(errors.is_empty());
        let north = keys.find(KEY).unwrap();
        assert_eq!((&*north.id, north.tenant.as_deref()), ("north", Some("birmingham")));
        assert_eq!(north.rights, Rights { write: true, replay: false });
        assert_eq!(north.limits.records_per_second, Some(100));
        let south = keys.find("another-key-of-it").unwrap();
        assert_eq!(south.rights, Rights { write: true, replay: true });
        assert_eq!(keys.find("s3cr3t-of-the-nortH"), None);
    }

    #[test]
    fn a_file_may_say_more_and_hold_only_a_hash() {
        let text = format!(
            "sha256: {SHA256}\ntenant: leeds\nrights: [replay]\nlimits: {{recordsPerSecond: 7, bytesPerSecond: 9}}"
        );
        let (keys, errors) = read(&[("k", &text)]);
        assert!(errors.is_empty(), "{errors:?}");
        let grant = keys.find(KEY).unwrap();
        assert_eq!(grant.tenant.as_deref(), Some("leeds"));
        assert_eq!(grant.rights, Rights { write: false, replay: true });
        assert_eq!(grant.limits, Limits { records_per_second: Some(7), bytes_per_second: Some(9) });
        let (json, _) = read(&[("k", &format!("{{\"key\": \"{KEY}\"}}"))]);
        assert!(json.find(KEY).is_some());
    }

    #[test]
    fn a_bad_file_is_named_and_harms_no_other_key_and_nothing_of_it_is_told() {
        let both = format!("key: {KEY}\nsha256: {SHA256}");
        let (keys, errors) = read(&[
            ("a", "short-secret"),
            ("b", "sha256: 12secret"),
            ("c", &both),
            ("d", "key: spaced secret key here"),
            ("e", "keys: [secret"),
            ("f", &format!("key: {KEY}\nrights: []")),
            ("good", KEY),
            ("twice", KEY),
        ]);
        assert_eq!(keys.len(), 1);
        assert!(keys.find(KEY).is_some());
        let named: Vec<_> = errors.iter().map(|error| error.id.as_str()).collect();
        assert_eq!(named, ["a", "b", "c", "d", "e", "f", "twice"]);
        let told = format!("{errors:?} {keys:?}");
        assert!(!told.contains("secret") && !told.contains(KEY), "{told}");
    }
}
