//! The passwords of a managed Redis as its Secret holds them, and how far a change of them is.
//!
//! Must not: make a password or show one.
//! Invariant: whatever a change needs to go on stands in the Secret, so that another operator can end it.

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::ResourceExt;

use super::KeptSecret;
use crate::{
    labels,
    plan::redis::{PASSWORD, PREVIOUS},
};

/// Passwords of a managed Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisLogin {
    /// The one to log in with.
    pub password: KeptSecret,
    /// The one before, which is let in until every worker has the new one.
    pub previous: Option<KeptSecret>,
    /// Value of the annotation that asked for the password.
    pub asked: Option<String>,
    /// Whether every server and sentinel uses the password, so that workers may; only asked while there is a previous
    /// one.
    pub adopted: bool,
}

impl RedisLogin {
    /// A first password.
    pub const fn new(password: KeptSecret, asked: Option<String>) -> Self {
        Self { password, previous: None, asked, adopted: false }
    }

    /// What a Secret holds; nothing where it has no password.
    pub fn of(secret: &Secret) -> Option<Self> {
        let member = |key: &str| {
            let ByteString(value) = secret.data.as_ref()?.get(key)?;
            String::from_utf8(value.clone()).ok().filter(|text| !text.is_empty()).map(KeptSecret)
        };
        Some(Self {
            password: member(PASSWORD)?,
            previous: member(PREVIOUS),
            asked: secret.annotations().get(labels::ROTATE_REDIS_PASSWORD).cloned(),
            adopted: secret.annotations().contains_key(labels::PASSWORD_ADOPTED),
        })
    }

    /// The same with a new password, which every server and sentinel lets in already.
    #[must_use]
    pub fn changed(self, password: KeptSecret, asked: Option<String>) -> Self {
        Self { password, previous: Some(self.password), asked, adopted: false }
    }

    /// The password that workers use: the one before, until the new one is used everywhere else.
    pub fn for_workers(&self) -> &KeptSecret {
        self.previous.as_ref().filter(|_| !self.adopted).unwrap_or(&self.password)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn workers_take_a_new_password_when_redis_uses_it() {
        let kept = |text: &str| KeptSecret(text.to_owned());
        let first = RedisLogin::new(kept("old"), None);
        assert_eq!(*first.for_workers(), kept("old"));
        let changed = first.changed(kept("new"), Some("2".to_owned()));
        assert_eq!(*changed.for_workers(), kept("old"));
        assert_eq!(*RedisLogin { adopted: true, ..changed.clone() }.for_workers(), kept("new"));
        assert_eq!(*RedisLogin { previous: None, ..changed }.for_workers(), kept("new"));
    }

    #[test]
    fn a_secret_without_a_password_holds_no_login() {
        let secret = |data| serde_json::from_value(json!({"metadata": {}, "data": data})).unwrap();
        assert_eq!(RedisLogin::of(&secret(json!({}))), None);
        assert_eq!(RedisLogin::of(&secret(json!({"password": ""}))), None);
        assert_eq!(RedisLogin::of(&secret(json!({"password": "YQ=="}))).unwrap().password.0, "a");
    }
}
