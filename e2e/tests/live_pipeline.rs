//! A pipeline that stays: what it answers over HTTP, what it does in silence, how it ends.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use parking_e2e::{
    locate::{parking, repository},
    process::{Running, run},
    wait::eventually,
};
use serde_json::Value;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_mins(1);

/// A process that serves the example of Birmingham.
struct Pipeline {
    folder: TempDir,
    running: Running,
    address: String,
}

impl Pipeline {
    fn start(example: &Path) -> Self {
        let folder = TempDir::new().unwrap();
        let data = folder.path().join("data");
        let mut up = Command::new(parking().unwrap());
        up.args(["up", "--listen", "127.0.0.1:0", "-f"]).arg(example).arg("--data").arg(&data);
        let mut running = Running::start(&mut up).unwrap();
        let address = eventually("the address", LIMIT, || {
            assert!(running.is_running().unwrap(), "{}", running.stderr().unwrap());
            fs::read_to_string(data.join("address")).ok().filter(|address| !address.is_empty())
        });
        Self { folder, running, address: address.unwrap() }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn ask(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: parking\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(!head.to_lowercase().contains("transfer-encoding: chunked"), "{head}");
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn json(&self, path: &str) -> Value {
        let (status, body) = self.ask(path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    fn wait_until_imported(&self) {
        let imported = || {
            let status = self.json("/status");
            let lags = status["partitions"].as_array().unwrap();
            let behind = lags.iter().any(|one| one["lag"] != 0 || one["end"] == 0);
            (!behind && status["import"].is_null() && status["events"]["read"] == 35_717).then_some(())
        };
        eventually("the end of the import", LIMIT, imported).unwrap();
    }
}

fn birmingham() -> PathBuf {
    repository().join("examples/birmingham")
}

fn get(data: &Path, words: &[&str]) -> Value {
    let mut get = Command::new(parking().unwrap());
    get.arg("get").args(words).args(["-o", "json", "--data"]).arg(data);
    let finished = run(&mut get, LIMIT).unwrap();
    assert!(finished.status.success(), "{}", finished.stderr);
    serde_json::from_str(&finished.stdout).unwrap()
}

#[test]
fn probes_zones_alerts_and_metrics_are_answered() {
    let pipeline = Pipeline::start(&birmingham());
    assert_eq!(pipeline.ask("/livez").0, 200);
    eventually("readiness", LIMIT, || (pipeline.ask("/readyz").0 == 200).then_some(())).unwrap();
    pipeline.wait_until_imported();

    let zones = pipeline.json("/v1/zones");
    assert_eq!(zones.as_array().unwrap().len(), 30);
    let by_code = pipeline.json("/v1/zones/BHMBCCMKT01");
    let by_id = pipeline.json(&format!("/v1/zones/{}", by_code["zoneId"].as_str().unwrap()));
    assert_eq!(by_code, by_id);
    assert_eq!(by_code["capacity"], 577);
    let (status, body) = pipeline.ask("/v1/zones/NOWHERE");
    assert_eq!((status, body.as_str()), (404, r#"{"error":"the inventory has no zone `NOWHERE`"}"#));

    assert_eq!(pipeline.json("/v1/alerts").as_array().unwrap().len(), 412 + 214);
    assert_eq!(pipeline.json("/v1/alerts?state=firing").as_array().unwrap().len(), 2);
    assert_eq!(pipeline.json("/v1/alerts?rule=zone-full&limit=7").as_array().unwrap().len(), 7);
    assert_eq!(pipeline.ask("/v1/alerts?state=loud").0, 400);
    assert_eq!(pipeline.ask("/v1/alerts?colour=red").0, 400);
    assert_eq!(pipeline.ask("/nowhere").0, 404);

    let metrics = pipeline.ask("/metrics").1;
    for line in [
        r#"parking_events_total{verdict="accepted"} 35489"#,
        r#"parking_dead_letters_total{reason="negative_count"} 12"#,
        r#"parking_alerts_firing{rule="zone-full"} 1"#,
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is missing in\n{metrics}");
    }
    assert_eq!(pipeline.json("/v1/openapi.json")["openapi"], "3.1.0");
}

#[test]
fn get_asks_the_process_that_has_the_folder_open_and_the_folder_afterwards() {
    let pipeline = Pipeline::start(&birmingham());
    pipeline.wait_until_imported();
    let data = pipeline.data();
    let asked = (get(&data, &["zones"]), get(&data, &["alerts"]));
    let Pipeline { folder, running, .. } = pipeline;
    running.terminate().unwrap();
    let ended = running.finish(LIMIT).unwrap();
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(ended.stdout.contains("accepted 35489"), "{}", ended.stdout);
    assert_eq!((get(&data, &["zones"]), get(&data, &["alerts"])), asked);
    drop(folder);
}

#[test]
fn sigterm_commits_what_was_read() {
    let pipeline = Pipeline::start(&birmingham());
    let Pipeline { folder, running, .. } = pipeline;
    running.terminate().unwrap();
    let ended = running.finish(LIMIT).unwrap();
    assert!(ended.status.success(), "{}", ended.stderr);
    let mut again = Command::new(parking().unwrap());
    again.args(["up", "--until-idle", "--report", "json", "-f"]).arg(birmingham());
    let again = run(again.arg("--data").arg(folder.path().join("data")), LIMIT).unwrap();
    let report: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(report["events"]["accepted"], 35_489);
    assert_eq!(report["lake"]["events"]["rows"], 35_489);
    assert_eq!(report["stats"]["hourly"]["rows"], 55_470);
}

/// The example with the first readings alone and changes in its files.
fn changed_example(readings: usize, changes: &[(&str, &str, &str)]) -> TempDir {
    let example = TempDir::new().unwrap();
    for file in ["inventory.yaml", "rules.yaml", "pipeline.yaml"] {
        let mut text = fs::read_to_string(birmingham().join(file)).unwrap();
        for (_, old, new) in changes.iter().filter(|(changed, ..)| *changed == file) {
            assert!(text.contains(old), "{file} has no `{old}`");
            text = text.replace(old, new);
        }
        fs::write(example.path().join(file), text).unwrap();
    }
    let text = fs::read_to_string(birmingham().join("readings.csv")).unwrap();
    let few: String = text.lines().take(1 + readings).flat_map(|line| [line, "\n"]).collect();
    fs::write(example.path().join("readings.csv"), few).unwrap();
    example
}

/// Takes one request, answers it with 204, and tells the value of a header and the body.
fn take_request(receiver: &TcpListener, header: &str) -> (String, Value) {
    receiver.set_nonblocking(true).unwrap();
    let (mut stream, _) = eventually("a request", LIMIT, || receiver.accept().ok()).unwrap();
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut request = Vec::new();
    let (head, body) = loop {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).unwrap();
        assert!(read > 0, "the request was cut");
        request.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && let Ok(body) = serde_json::from_str(body)
        {
            break (head.to_lowercase(), body);
        }
    };
    stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
    let start = format!("{header}: ");
    let value = head.lines().find_map(|line| line.strip_prefix(&start)).unwrap();
    (value.to_owned(), body)
}

#[test]
fn alerts_are_posted_to_the_webhook_of_their_route() {
    let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", receiver.local_addr().unwrap());
    let route = format!(
        "  routes:\n  - {{name: ops, webhook: {{url: \"{url}\"}}, includeReplayed: true, maxPerMinute: 6000}}\n  workers:\n"
    );
    let example = changed_example(
        40_000,
        &[
            ("pipeline.yaml", "  workers:\n", &route),
            ("rules.yaml", "  for: 0s", "  notify: {routes: [ops]}\n  for: 0s"),
        ],
    );
    let pipeline = Pipeline::start(example.path());
    let (key, body) = take_request(&receiver, "idempotency-key");
    assert_eq!(body["idempotency_key"].as_str().unwrap(), key);
    assert_eq!((&body["route"], &body["alert"]["state"]), (&"ops".into(), &"firing".into()));
    assert!(key.starts_with(body["alert"]["alert_id"].as_str().unwrap()));
    let alerts = pipeline.json("/v1/alerts");
    assert!(alerts.as_array().unwrap().iter().any(|alert| alert["alertId"] == body["alert"]["alert_id"]));
}

#[test]
fn silent_partition_is_told_that_time_passes() {
    let lively = ("pipeline.yaml", "allowedLateness: 30s", "allowedLateness: 30s, idleAfter: 1s");
    let example = changed_example(2, &[("pipeline.yaml", "partitions: 4", "partitions: 1"), lively]);
    let pipeline = Pipeline::start(example.path());
    let watermark = || pipeline.json("/status")["partitions"][0]["watermark"].as_str().map(str::to_owned);
    let first = eventually("a watermark", LIMIT, watermark).unwrap();
    let later = eventually("a later watermark", LIMIT, || watermark().filter(|time| *time > first)).unwrap();
    assert!(later.starts_with("2016-10-04"), "it moves by what passed, never to now: {later}");
    let status = pipeline.json("/status");
    assert_eq!(status["events"]["read"], 2, "a tick is no reading");
}

#[test]
fn address_in_use_is_refused_before_anything_is_written() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let mut up = Command::new(parking().unwrap());
    up.args(["up", "--listen", &address, "-f"]).arg(birmingham()).arg("--data").arg(&data);
    let finished = run(&mut up, LIMIT).unwrap();
    assert_eq!(finished.status.code(), Some(1));
    assert!(finished.stderr.contains(&format!("cannot listen on {address}")), "{}", finished.stderr);
    assert!(!data.exists());
}
