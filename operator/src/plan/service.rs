//! The address of a role's workers.
//!
//! EndpointSlices list workers that are not ready in both shapes, which is how the operator finds them.

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};
use parking_crds::topology::WorkerPlan;

use super::{Plan, metadata};
use crate::{labels, owned_kinds::OwnedKind, validate::ValidPipeline};

/// Name of the one port of every worker.
pub(super) const PORT_NAME: &str = "http";
/// Number of the one port of every worker, as `listen` of the worker configuration says it.
pub(crate) const PORT: u16 = 8080;

/// Adds one Service for each role.
pub(super) fn add(plan: &mut Plan, pipeline: &ValidPipeline) {
    for worker in &pipeline.topology.workers {
        plan.add(OwnedKind::Service, &service(pipeline, worker));
    }
}

/// Headless before a StatefulSet, whose pods have names of their own also before they are ready; before a
/// Deployment an address that leads clients to ready workers only.
fn service(pipeline: &ValidPipeline, worker: &WorkerPlan) -> Service {
    let role = worker.config.role;
    let component = labels::component(role);
    let headless = role.owns_partitions();
    Service {
        metadata: metadata::owned(pipeline, component, worker.name.as_str()),
        spec: Some(ServiceSpec {
            cluster_ip: headless.then(|| "None".to_owned()),
            publish_not_ready_addresses: headless.then_some(true),
            ports: Some(vec![ServicePort {
                name: Some(PORT_NAME.to_owned()),
                port: i32::from(PORT),
                protocol: Some("TCP".to_owned()),
                target_port: Some(IntOrString::String(PORT_NAME.to_owned())),
                ..ServicePort::default()
            }]),
            selector: Some(labels::selector(&pipeline.id, component)),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}
