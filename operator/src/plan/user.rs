//! A `KafkaUser` for each role with the rights that its part of the flow needs, and one for the autoscaler.
//!
//! Must not: grant anything that `Role::reads` and `Role::writes` do not ask for, or anything on the cluster.
//! Invariants: `operations`, never `operation`, which newer versions refuse; one entry for each resource.

use std::collections::{BTreeMap, BTreeSet};

use kube::{ResourceExt, api::ObjectMeta};
use parking_crds::{
    names::UserName,
    role::Role,
    topology::{PipelineId, Topology},
};
use serde::Serialize;

use super::Plan;
use crate::{
    foreign::strimzi::{
        Acl, AclOperation, AclResource, AclResourceType, Authorization, CLUSTER, GROUP, KafkaUser,
        KafkaUserSpec, PatternType, Typed,
    },
    labels,
    owned_kinds::OwnedKind,
    validate::{Authentication, StrimziCluster, ValidKafka, ValidPipeline},
};

/// Component of the autoscaler's user and credentials.
pub const SCALER: &str = "scaler";

/// Adds the users of a pipeline whose Kafka is run by Strimzi.
pub fn add(plan: &mut Plan, pipeline: &ValidPipeline) {
    let ValidKafka::Strimzi(cluster) = &pipeline.kafka else { return };
    let id = &pipeline.id;
    for worker in &pipeline.topology.workers {
        let role = worker.config.role;
        let rights = role_acls(&pipeline.topology, role);
        let user = user(id, cluster, &worker.user, labels::component(role), rights);
        add_strimzi(plan, OwnedKind::KafkaUser, cluster, &user);
    }
    if needs_scaler(pipeline) {
        let rights = scaler_acls(pipeline);
        let user = user(id, cluster, &id.scaler_user(), SCALER, rights);
        add_strimzi(plan, OwnedKind::KafkaUser, cluster, &user);
    }
}

/// Adds a resource of Strimzi in the version that the cluster serves.
pub(super) fn add_strimzi<T: Serialize + ResourceExt>(
    plan: &mut Plan,
    kind: OwnedKind,
    cluster: &StrimziCluster,
    object: &T,
) {
    plan.add(kind, object);
    if let Some(manifest) = plan.objects.last_mut().and_then(|planned| planned.manifest.as_object_mut()) {
        manifest.insert("apiVersion".to_owned(), format!("{GROUP}/{}", cluster.version.as_str()).into());
    }
}

/// Metadata of an object in Kafka's namespace: no owner, which would stand in another.
pub(super) fn beside_kafka(
    id: &PipelineId,
    cluster: &StrimziCluster,
    component: &str,
    name: &str,
) -> ObjectMeta {
    let mut labels = labels::of(id, component);
    labels.insert(CLUSTER.to_owned(), cluster.cluster.to_string());
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(cluster.namespace.to_string()),
        labels: Some(labels),
        ..ObjectMeta::default()
    }
}

/// Whether an autoscaler must see offsets in Kafka.
pub fn needs_scaler(pipeline: &ValidPipeline) -> bool {
    pipeline.apis.serve(OwnedKind::ScaledObject) && Role::ALL.iter().any(|&role| by_lag(pipeline, role))
}

fn by_lag(pipeline: &ValidPipeline, role: Role) -> bool {
    let worker = pipeline.spec.workers.as_ref().and_then(|workers| workers.get(role));
    worker
        .and_then(|worker| worker.autoscaling.as_ref())
        .is_some_and(|scaling| scaling.lag_threshold.is_some())
}

fn user(
    id: &PipelineId,
    cluster: &StrimziCluster,
    name: &UserName,
    component: &str,
    acls: Vec<Acl>,
) -> KafkaUser {
    let authentication = match cluster.authentication {
        Authentication::Tls => "tls",
        Authentication::ScramSha512 => "scram-sha-512",
    };
    KafkaUser {
        metadata: beside_kafka(id, cluster, component, name.as_str()),
        spec: KafkaUserSpec {
            authentication: Some(Typed { type_: authentication.to_owned() }),
            authorization: Some(Authorization { type_: "simple".to_owned(), acls }),
        },
        status: None,
    }
}

/// Rights by resource; collects several reasons for one resource into one entry.
#[derive(Default)]
struct Rights(BTreeMap<AclResource, BTreeSet<AclOperation>>);

impl Rights {
    fn allow<const N: usize>(
        &mut self,
        type_: AclResourceType,
        name: &str,
        pattern_type: PatternType,
        operations: [AclOperation; N],
    ) {
        let resource = AclResource { type_, name: name.to_owned(), pattern_type };
        self.0.entry(resource).or_default().extend(operations);
    }

    fn into_acls(self) -> Vec<Acl> {
        let entry = |(resource, operations): (_, BTreeSet<_>)| Acl {
            resource,
            operations: operations.into_iter().collect(),
        };
        self.0.into_iter().map(entry).collect()
    }
}

/// Whether each replica reads all partitions, in a consumer group of its own whose name begins with the role's.
const fn reads_in_own_groups(role: Role) -> bool {
    matches!(role, Role::Notify)
}

/// What a role may do in Kafka.
pub fn role_acls(topology: &Topology, role: Role) -> Vec<Acl> {
    use AclOperation::{Describe, Read, Write};
    use PatternType::{Literal, Prefix};
    let mut rights = Rights::default();
    let plans = |streams: &'static [_]| streams.iter().filter_map(|&stream| topology.stream(stream));
    for stream in plans(role.reads()) {
        rights.allow(AclResourceType::Topic, stream.topic.as_str(), Literal, [Describe, Read]);
    }
    for stream in plans(role.writes()) {
        rights.allow(AclResourceType::Topic, stream.topic.as_str(), Literal, [Describe, Write]);
    }
    let group = topology.pipeline.group(role);
    if !role.reads().is_empty() {
        let pattern = if reads_in_own_groups(role) { Prefix } else { Literal };
        rights.allow(AclResourceType::Group, group.as_str(), pattern, [Describe, Read]);
    }
    if role.owns_partitions() && !role.writes().is_empty() {
        rights.allow(AclResourceType::TransactionalId, group.as_str(), Prefix, [Describe, Write]);
    }
    rights.into_acls()
}

fn scaler_acls(pipeline: &ValidPipeline) -> Vec<Acl> {
    let mut rights = Rights::default();
    let topology = &pipeline.topology;
    for role in Role::ALL.into_iter().filter(|&role| by_lag(pipeline, role)) {
        let mut see = |type_, name: &str| {
            rights.allow(type_, name, PatternType::Literal, [AclOperation::Describe]);
        };
        for stream in role.reads().iter().filter_map(|&stream| topology.stream(stream)) {
            see(AclResourceType::Topic, stream.topic.as_str());
        }
        see(AclResourceType::Group, pipeline.id.group(role).as_str());
    }
    rights.into_acls()
}

#[cfg(test)]
mod tests {
    use parking_crds::stream::Stream;

    use super::*;
    use crate::{apis::Apis, plan::sample};

    const SCALED: &str = "  workers: {alert: {autoscaling: {minReplicas: 1, maxReplicas: 4, lagThreshold: 5000}}, console: {}, \
         account: {}, reserve: {}, simulate: {}}\n";

    fn users(pipeline: &ValidPipeline) -> BTreeMap<String, KafkaUser> {
        let mut plan = Plan::default();
        add(&mut plan, pipeline);
        let read =
            |object: super::super::Planned| (object.name, serde_json::from_value(object.manifest).unwrap());
        plan.objects.into_iter().map(read).collect()
    }

    fn acls(user: &KafkaUser) -> &[Acl] {
        &user.spec.authorization.as_ref().unwrap().acls
    }

    fn allows(acls: &[Acl], type_: AclResourceType, name: &str, operation: AclOperation) -> bool {
        acls.iter().any(|acl| {
            let names = match acl.resource.pattern_type {
                PatternType::Literal => acl.resource.name == name,
                PatternType::Prefix => name.starts_with(&acl.resource.name),
            };
            names && acl.resource.type_ == type_ && acl.operations.contains(&operation)
        })
    }

    /// Every right that the table of roles asks for, as (kind, name, operation).
    fn wanted(pipeline: &ValidPipeline, role: Role) -> BTreeSet<(AclResourceType, String, AclOperation)> {
        use AclOperation::{Describe, Read, Write};
        let mut wanted = BTreeSet::new();
        for stream in Stream::ALL {
            let topic = pipeline.id.topic(stream).to_string();
            let (reads, writes) = (role.reads().contains(&stream), role.writes().contains(&stream));
            for (operation, asked) in [(Describe, reads || writes), (Read, reads), (Write, writes)] {
                if asked {
                    wanted.insert((AclResourceType::Topic, topic.clone(), operation));
                }
            }
        }
        let group = pipeline.id.group(role).to_string();
        if !role.reads().is_empty() {
            wanted
                .extend([Describe, Read].map(|operation| (AclResourceType::Group, group.clone(), operation)));
        }
        if matches!(role, Role::Occupancy | Role::Alert) {
            wanted.extend(
                [Describe, Write]
                    .map(|operation| (AclResourceType::TransactionalId, group.clone(), operation)),
            );
        }
        wanted
    }

    #[test]
    fn a_role_has_exactly_the_rights_that_its_part_of_the_flow_needs() {
        let pipeline = sample::pipeline(SCALED);
        let users = users(&pipeline);
        for role in Role::ALL {
            let user = &users[pipeline.id.user(role).as_str()];
            let granted: BTreeSet<_> = acls(user)
                .iter()
                .flat_map(|acl| {
                    acl.operations.iter().map(|&op| (acl.resource.type_, acl.resource.name.clone(), op))
                })
                .collect();
            assert_eq!(granted, wanted(&pipeline, role), "{role}");
        }
    }

    #[test]
    fn no_role_touches_topics_or_groups_of_another_pipeline_whose_name_begins_alike() {
        let pipeline = sample::pipeline(SCALED);
        let mut neighbour = sample::pipeline("").id;
        neighbour.name = "city-2".parse().unwrap();
        for user in users(&pipeline).values() {
            for role in Role::ALL {
                let group = neighbour.group(role);
                assert!(!allows(acls(user), AclResourceType::Group, group.as_str(), AclOperation::Read));
            }
            for stream in Stream::ALL {
                let topic = neighbour.topic(stream);
                assert!(!allows(acls(user), AclResourceType::Topic, topic.as_str(), AclOperation::Describe));
            }
        }
    }

    #[test]
    fn replicas_that_read_everything_may_use_groups_of_their_own() {
        let pipeline = sample::pipeline("");
        let users = users(&pipeline);
        let group = format!("{}.city-notify-0", pipeline.id.group(Role::Notify));
        let may = |role| {
            let user = &users[pipeline.id.user(role).as_str()];
            allows(acls(user), AclResourceType::Group, &group, AclOperation::Read)
        };
        assert!(may(Role::Notify) && !may(Role::Alert));
    }

    #[test]
    fn the_autoscaler_sees_offsets_and_nothing_else() {
        let pipeline = sample::pipeline(SCALED);
        let users = users(&pipeline);
        let scaler = acls(&users[pipeline.id.scaler_user().as_str()]);
        assert!(scaler.iter().all(|acl| acl.operations == [AclOperation::Describe]));
        let names: Vec<&str> = scaler.iter().map(|acl| acl.resource.name.as_str()).collect();
        assert_eq!(names, ["parking.city.events", "parking.city.alert"]);
    }

    #[test]
    fn without_an_autoscaler_it_has_no_user() {
        let mut pipeline = sample::pipeline(SCALED);
        pipeline.apis = Apis { strimzi: pipeline.apis.strimzi, ..Apis::default() };
        assert!(!users(&pipeline).contains_key(pipeline.id.scaler_user().as_str()));
        assert!(!users(&sample::pipeline("")).contains_key(pipeline.id.scaler_user().as_str()));
    }

    #[test]
    fn users_prove_who_they_are_as_the_listener_asks() {
        for (authentication, word) in
            [(Authentication::Tls, "tls"), (Authentication::ScramSha512, "scram-sha-512")]
        {
            let mut pipeline = sample::pipeline("");
            sample::strimzi(&mut pipeline).authentication = authentication;
            let users = users(&pipeline);
            assert_eq!(users.len(), pipeline.topology.workers.len());
            assert!(users.values().all(|user| user.spec.authentication.as_ref().unwrap().type_ == word));
        }
    }

    #[test]
    fn a_user_is_written_as_strimzi_reads_it() {
        let mut plan = Plan::default();
        add(&mut plan, &sample::pipeline(""));
        let occupancy = plan.objects.iter().find(|object| object.name.contains("occupancy")).unwrap();
        insta::assert_yaml_snapshot!(occupancy.manifest);
    }
}
