//! Signatures of requests, as Standard Webhooks 1.0 describes them: whoever shares the key can tell that a request
//! comes from here, is unchanged and is not an old one sent again.
//!
//! Must not print the key.

use std::{fmt, sync::Arc};

use data_encoding::BASE64;
use hmac::{Hmac, Mac};
use parking_crds::event::Millis;
use reqwest::header::{HeaderName, HeaderValue, InvalidHeaderValue};
use sha2::Sha256;

use crate::ports::clock::Clock;

const PREFIX: &str = "whsec_";
/// Length of a key, bytes.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A key that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signing key is not `whsec_` and 24 to 64 bytes in Base64")]
pub struct SigningKeyError;

/// Signs requests with one key.
#[derive(Clone)]
pub struct WebhookSigner {
    key: Hmac<Sha256>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for WebhookSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSigner")
    }
}

impl WebhookSigner {
    /// With a key as its Secret holds it: `whsec_` and Base64.
    pub fn new(key: &str, clock: Arc<dyn Clock>) -> Result<Self, SigningKeyError> {
        let encoded = key.strip_prefix(PREFIX).ok_or(SigningKeyError)?;
        let key = BASE64.decode(encoded.as_bytes()).map_err(|_| SigningKeyError)?;
        if !KEY_BYTES.contains(&key.len()) {
            return Err(SigningKeyError);
        }
        let key = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| SigningKeyError)?;
        Ok(Self { key, clock })
    }

    /// The headers of a request with this id and body, sent now.
    pub(super) fn headers(
        &self,
        id: &HeaderValue,
        body: &[u8],
    ) -> Result<[(HeaderName, HeaderValue); 3], InvalidHeaderValue> {
        let seconds = self.clock.now() / 1_000;
        let signature = HeaderValue::from_str(&self.signature(id.as_bytes(), seconds, body))?;
        Ok([
            (HeaderName::from_static("webhook-id"), id.clone()),
            (HeaderName::from_static("webhook-timestamp"), HeaderValue::from(seconds)),
            (HeaderName::from_static("webhook-signature"), signature),
        ])
    }

    /// Of `id.timestamp.body`.
    fn signature(&self, id: &[u8], seconds: Millis, body: &[u8]) -> String {
        let mut mac = self.key.clone();
        for part in [id, b".", seconds.to_string().as_bytes(), b".", body] {
            mac.update(part);
        }
        format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::memory::MemoryClock;

    fn signer(key: &str) -> Result<WebhookSigner, SigningKeyError> {
        WebhookSigner::new(key, Arc::new(MemoryClock::new(0)))
    }

    #[test]
    fn the_example_of_the_specification_is_signed_as_it_says() {
        let signer = signer("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature =
            signer.signature(b"msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_key_that_is_too_short_or_in_no_base64_is_refused_without_being_shown() {
        for key in ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ=", "whsec_!"] {
            let error = signer(key).unwrap_err().to_string();
            assert!(!error.contains("c2hvcnQ"), "{error}");
        }
    }
}
