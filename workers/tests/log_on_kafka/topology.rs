//! Topics as the topology of a pipeline wants them.

use std::collections::BTreeMap;

use parking_crds::{manifest, stream::Stream, topology::Topology};

/// A pipeline with one copy of each record, for a single broker.
const PIPELINE: &str = "
apiVersion: parking.tinyx.io/v1alpha1
kind: ParkingPipeline
metadata: {name: city, namespace: parking}
spec:
  kafka: {external: {bootstrapServers: 'localhost:9092'}}
  redis: {managed: {}}
  objectStore: {endpoint: 'http://localhost:9000', bucket: city-lake, credentialsSecretRef: {name: minio}}
  inventory: {configMapRef: {name: inventory}}
  events: {partitions: 2, replicationFactor: 1, retention: 1m}
";

/// The settings of the events' topic.
pub(crate) fn topic_settings() -> BTreeMap<String, String> {
    let documents = manifest::parse(PIPELINE).unwrap();
    let manifest::Manifest::Pipeline(pipeline) = &documents[0].manifest else { panic!("no pipeline") };
    let topology = Topology::of(pipeline, &[], &[]).unwrap();
    topology.stream(Stream::Events).unwrap().config.clone()
}
