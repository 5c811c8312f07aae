//! Where nothing changes, nothing is written.

use std::{fs, time::Duration};

use parking_e2e::{
    kubernetes::{
        audit::{AuditLog, Mark},
        error::Result,
        wait::{always, eventually},
    },
    locate::repository,
};

use crate::city::{City, LIMIT};

/// Pause between two looks at an object that rests, the shortest that the operator takes.
const RESYNC: &str = "--resync=10s";
/// Longer than a resync with its spread, and than everything that is asked in turn.
const SILENCE: Duration = Duration::from_secs(25);

/// Waits through a resync; fails at the first write of the operator, its Lease aside.
async fn rests(city: &City, audit: &AuditLog, mark: Mark) -> Result<()> {
    let user = city.identity.user();
    always("no write", SILENCE, async || {
        let events = audit.since(mark).map_err(|error| error.to_string())?;
        let writes: Vec<String> = events
            .iter()
            .filter(|event| event.user() == user && event.changes() && event.resource() != "leases")
            .map(|event| format!("{} {} {}", event.verb, event.resource_path(), event.name()))
            .collect();
        if writes.is_empty() { Ok(()) } else { Err(writes.join(", ")) }
    })
    .await
}

/// Waits until every rule is active, and the pipeline tells what the workers count: both come last.
async fn counted(city: &City, pipeline: &str) {
    city.until_rules_are_active().await;
    let pipelines = city.pipelines();
    eventually("what the workers count stands in the status", LIMIT, async || {
        let status = pipelines.get(pipeline).await.map_err(|error| error.to_string())?.status;
        if status.as_ref().is_some_and(|status| status.firing.is_some()) {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        }
    })
    .await
    .unwrap();
}

/// The files of an example as they are, but for what a test names by itself: namespaces and endpoint.
fn manifests(city: &City, example: &str) -> String {
    let folder = fs::read_dir(repository().join("examples").join(example)).unwrap();
    let mut files: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let yaml = files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    let texts: Vec<String> = yaml.map(|file| fs::read_to_string(file).unwrap()).collect();
    let here = format!("namespace: {}", city.namespace.name());
    texts
        .join("\n---\n")
        .replace("namespace: parking", &here)
        .replace("namespace: kafka", &here)
        .replace("http://minio.minio:9000", city.endpoint())
}

/// What another field manager would change by applying the same files on the server.
fn difference(city: &City, manifests: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("example.yaml");
    fs::write(&file, manifests).unwrap();
    let mut kubectl = city.namespace.cluster().kubectl().unwrap();
    kubectl.args(["diff", "--server-side", "--field-manager=gitops", "-f"]).arg(file);
    let output = kubectl.output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if output.status.success() { String::new() } else { said }
}

async fn converges_and_rests(example: &str, rules: usize) {
    let mut city = City::without_operator().await;
    city.start_operator_with(&[RESYNC]).await;
    let manifests = manifests(&city, example);
    city.namespace.apply(&manifests).await.unwrap();
    city.load_rules_of(example, rules).await;
    city.until_of(example, "Ready", "True").await;
    city.until_of(example, "Progressing", "False").await;
    counted(&city, example).await;
    assert_eq!(difference(&city, &manifests), "", "a GitOps tool would find its own files changed");
    let Some(audit) = city.namespace.cluster().audit_log() else {
        return eprintln!("skipped: the cluster's audit log is not ours");
    };
    city.operator.take().unwrap().terminate(Duration::from_secs(10)).unwrap();
    let before = city.pipelines().get(example).await.unwrap().status;
    let mark = audit.mark().unwrap();
    city.start_operator_with(&[RESYNC]).await;
    let silence = rests(&city, &audit, mark).await;
    let after = city.pipelines().get(example).await.unwrap().status;
    silence.unwrap_or_else(|error| {
        panic!("{error}\nbefore: {before:#?}\nafter: {after:#?}\noperator:\n{}", city.log())
    });
    assert_eq!(after, before);
}

#[tokio::test]
async fn birmingham_converges_and_causes_no_write_through_a_relist_and_a_resync() {
    converges_and_rests("birmingham", 2).await;
}

#[tokio::test]
async fn the_city_converges_and_causes_no_write_through_a_relist_and_a_resync() {
    converges_and_rests("city", 3).await;
}

#[tokio::test]
async fn melbourne_converges_and_causes_no_write_through_a_relist_and_a_resync() {
    converges_and_rests("melbourne", 3).await;
}
