//! The notifier of a route, as the pipeline describes it.
//!
//! Must not print a secret. Invariant: a route that cannot be used is an error that says why, never silence.

use std::sync::Arc;

use parking_crds::{
    duration::Duration,
    pipeline::{Route, Target, Url, Webhook},
    reference::SecretKeyRef,
};

use super::{
    console_notifier::ConsoleNotifier, webhook_notifier::WebhookNotifier, webhook_signer::WebhookSigner,
};
use crate::ports::{clock::Clock, notifier::Notifier};

const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads a secret's text; the error is a sentence.
pub type ReadSecret<'a> = dyn Fn(&SecretKeyRef) -> Result<String, String> + 'a;

/// The notifier of the route; the error is a sentence.
pub fn open(
    route: &Route,
    secret: &ReadSecret<'_>,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn Notifier>, String> {
    match route.target() {
        Some(Target::Console) => Ok(Arc::new(ConsoleNotifier::stderr())),
        Some(Target::Webhook(target)) => Ok(Arc::new(webhook(target, secret, clock)?)),
        Some(Target::Slack(_) | Target::Discord(_) | Target::Email(_)) | None => {
            Err("its kind of target is not delivered to yet".to_owned())
        }
    }
}

fn webhook(
    target: &Webhook,
    secret: &ReadSecret<'_>,
    clock: &Arc<dyn Clock>,
) -> Result<WebhookNotifier, String> {
    let url = match target.url() {
        Some(Url::Plain(url)) => url.to_owned(),
        Some(Url::Secret(reference)) => secret(reference)?,
        None => return Err("it names no URL".to_owned()),
    };
    let notifier = WebhookNotifier::new(&url, WEBHOOK_TIMEOUT).map_err(|error| error.to_string())?;
    let Some(key) = &target.signing_key_secret_ref else { return Ok(notifier) };
    let signer = WebhookSigner::new(&secret(key)?, Arc::clone(clock)).map_err(|error| error.to_string())?;
    Ok(notifier.signed(signer))
}
