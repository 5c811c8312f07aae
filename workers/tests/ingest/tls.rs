//! TLS with a certificate that is replaced while it serves.

use std::sync::Arc;

use parking_crds::{duration::Duration, worker_config::IngestSettings};
use parking_workers::adapters::memory::MemoryClock;

use crate::server::{Server, event, until};

fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// A client that trusts this certificate alone.
fn trusting(certificate: &str) -> reqwest::Client {
    let trusted = reqwest::Certificate::from_pem(certificate.as_bytes()).unwrap();
    reqwest::Client::builder().tls_certs_only([trusted]).build().unwrap()
}

#[tokio::test]
async fn events_are_taken_over_tls_and_a_new_certificate_serves_the_next_connection() {
    let (old, old_key) = certificate();
    let settings = IngestSettings { tls: Some("tls".parse().unwrap()), ..IngestSettings::default() };
    let clock = MemoryClock::new(1_760_601_600_000);
    let entries: &[(&str, &str)] = &[("tls.crt", &old), ("tls.key", &old_key)];
    let server = Server::start(settings, &[("tls", entries)], Arc::new(clock.clone())).await;
    let url = format!("https://{}/v1/events", server.address);
    let publish = async |client: &reqwest::Client| {
        let request = client.post(&url).header("content-type", "application/json").body(event(1));
        request.send().await.map(|response| response.status().as_u16()).ok()
    };
    assert_eq!(publish(&trusting(&old)).await, Some(202));
    let (new, new_key) = certificate();
    assert_eq!(publish(&trusting(&new)).await, None);
    // Half of a change does not end the service.
    server.write("tls", "tls.crt", "nonsense");
    until("the error to be told", async || {
        clock.advance(Duration::from_secs(5));
        let metrics = trusting(&old).get(url.replace("/v1/events", "/metrics")).send().await.unwrap();
        metrics.text().await.unwrap().contains("parking_ingest_unusable_secrets_total{secret=\"tls\"} 1")
    })
    .await;
    assert_eq!(publish(&trusting(&old)).await, Some(202));
    server.write("tls", "tls.crt", &new);
    server.write("tls", "tls.key", &new_key);
    until("the new certificate", async || {
        clock.advance(Duration::from_secs(5));
        publish(&trusting(&new)).await == Some(202)
    })
    .await;
}
