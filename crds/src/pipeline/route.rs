//! Where alerts are delivered.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    names::RouteName,
    reference::{NameRef, SecretKeyRef},
};

/// Where alerts are delivered: a name and exactly one target.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = crate::rules::exactly_one(&["webhook", "slack", "discord", "email", "console"]))]
pub struct Route {
    /// Name by which rules refer to the route.
    pub name: RouteName,
    /// An HTTP endpoint that receives each notification as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// A Slack incoming webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack: Option<UrlTarget>,
    /// A Discord webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discord: Option<UrlTarget>,
    /// E-mail through an SMTP server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Email>,
    /// The log of the notify worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console: Option<Console>,
    /// Most notifications per minute; more are held back, not dropped. Default: 60.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 1, max = 6000))]
    pub max_per_minute: Option<u32>,
    /// Whether alerts caused by replayed records are delivered. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_replayed: Option<bool>,
}

/// The one target of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// An HTTP endpoint that receives JSON.
    Webhook(&'a Webhook),
    /// A Slack incoming webhook.
    Slack(&'a UrlTarget),
    /// A Discord webhook.
    Discord(&'a UrlTarget),
    /// E-mail through an SMTP server.
    Email(&'a Email),
    /// The log of the notify worker.
    Console,
}

impl<'a> Target<'a> {
    /// The URL that is called, where one is and is given once.
    pub fn url(self) -> Option<Url<'a>> {
        match self {
            Self::Webhook(webhook) => webhook.url(),
            Self::Slack(target) | Self::Discord(target) => target.url(),
            Self::Email(_) | Self::Console => None,
        }
    }
}

impl Route {
    /// The route's target, unless it has none or several.
    pub fn target(&self) -> Option<Target<'_>> {
        let mut targets = [
            self.webhook.as_ref().map(Target::Webhook),
            self.slack.as_ref().map(Target::Slack),
            self.discord.as_ref().map(Target::Discord),
            self.email.as_ref().map(Target::Email),
            self.console.as_ref().map(|_| Target::Console),
        ]
        .into_iter()
        .flatten();
        targets.next().filter(|_| targets.next().is_none())
    }

    /// Most notifications per minute; 60 unless set.
    pub fn max_per_minute(&self) -> u32 {
        self.max_per_minute.unwrap_or(60)
    }

    /// Whether alerts caused by replayed records are delivered; not unless set.
    pub fn include_replayed(&self) -> bool {
        self.include_replayed.unwrap_or(false)
    }
}

/// An HTTP endpoint that receives JSON: exactly one of `url` and `urlSecretRef`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = crate::rules::exactly_one(&["url", "urlSecretRef"]))]
#[x_kube(validation = crate::rules::http("url"))]
pub struct Webhook {
    /// The URL, when it is no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 2048))]
    pub url: Option<String>,
    /// The Secret that holds the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_secret_ref: Option<SecretKeyRef>,
    /// The Secret that holds the key by which requests are signed, as Standard Webhooks describes: `whsec_` and the
    /// key in Base64, of 24 to 64 bytes. Default: requests are not signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_key_secret_ref: Option<SecretKeyRef>,
}

impl Webhook {
    /// Where the URL comes from, unless neither or both are given.
    pub fn url(&self) -> Option<Url<'_>> {
        Url::of(self.url.as_deref(), self.url_secret_ref.as_ref())
    }
}

/// A target behind a URL: exactly one of `url` and `urlSecretRef`.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = crate::rules::exactly_one(&["url", "urlSecretRef"]))]
#[x_kube(validation = crate::rules::http("url"))]
pub struct UrlTarget {
    /// The URL, when it is no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 2048))]
    pub url: Option<String>,
    /// The Secret that holds the URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_secret_ref: Option<SecretKeyRef>,
}

/// Where the URL of a target comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Url<'a> {
    /// The URL itself.
    Plain(&'a str),
    /// A Secret's key.
    Secret(&'a SecretKeyRef),
}

impl<'a> Url<'a> {
    fn of(plain: Option<&'a str>, secret: Option<&'a SecretKeyRef>) -> Option<Self> {
        match (plain, secret) {
            (Some(url), None) => Some(Self::Plain(url)),
            (None, Some(secret)) => Some(Self::Secret(secret)),
            _ => None,
        }
    }
}

impl UrlTarget {
    /// Where the URL comes from, unless neither or both are given.
    pub fn url(&self) -> Option<Url<'_>> {
        Url::of(self.url.as_deref(), self.url_secret_ref.as_ref())
    }
}

/// E-mail through an SMTP server.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Email {
    /// `host:port` of the SMTP server; the connection is encrypted.
    #[schemars(length(min = 3, max = 262))]
    pub smtp: String,
    /// Address of the sender.
    #[schemars(length(min = 3, max = 254))]
    pub from: String,
    /// Addresses of the receivers.
    #[schemars(length(min = 1, max = 32), inner(length(min = 3, max = 254)))]
    pub to: Vec<String>,
    /// Secret with `username` and `password`. Default: no login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<NameRef>,
}

/// The log of the notify worker; it has no settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Console {}
