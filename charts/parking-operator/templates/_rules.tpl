{{- /* Generated from operator/src/rbac.rs; see operator/tests/generated.rs. */ -}}

{{- define "parking-operator.rules.home" -}}
# Makes the lease by which one replica leads.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
# Takes, renews and releases that lease.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "parking-operator.fullname" . }}]
  verbs: [get, update]
{{- end }}

{{- define "parking-operator.rules.pipelines" -}}
# Copies Kafka credentials, keeps the password of a managed Redis, reads what a pipeline refers to; by name only, never listed.
- apiGroups: [""]
  resources: [secrets]
  verbs: [create, delete, get, patch]
# Worker configuration, rule bundles and Redis scripts; reads inventories.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [create, delete, get, list, patch, watch]
# The identity of each role's pods.
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [create, delete, get, list, patch, watch]
# In front of workers and Redis.
- apiGroups: [""]
  resources: [services]
  verbs: [create, delete, get, list, patch, watch]
# Stages and Redis.
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [create, delete, get, list, patch, watch]
# Roles without partitions.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [create, delete, get, list, patch, watch]
# Bounds on voluntary disruption of workers and Redis.
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [create, delete, get, list, patch, watch]
# Who may talk to workers and Redis.
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [create, delete, get, list, patch, watch]
# Replicas by CPU, where a pipeline asks for it.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [create, delete, get, list, patch, watch]
# How KEDA logs in at Kafka, where a pipeline scales by lag.
- apiGroups: [keda.sh]
  resources: [triggerauthentications]
  verbs: [create, delete, get, list, patch, watch]
# Replicas by lag, where a pipeline asks for it.
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [create, delete, get, list, patch, watch]
# What Prometheus scrapes of a pipeline.
- apiGroups: [monitoring.coreos.com]
  resources: [podmonitors]
  verbs: [create, delete, get, list, patch, watch]
# What Prometheus warns about in a pipeline.
- apiGroups: [monitoring.coreos.com]
  resources: [prometheusrules]
  verbs: [create, delete, get, list, patch, watch]
# Runs of statistics.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [create, delete, list, watch]
# Runs of statistics on Spark, where a job asks for it.
- apiGroups: [sparkoperator.k8s.io]
  resources: [sparkapplications]
  verbs: [create, delete, list, watch]
# Volumes of a managed Redis: made by its StatefulSet, grown and (by deletionPolicy) deleted by the operator.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [delete, list, patch, watch]
# Counts ready workers, and rolls the pods of a managed Redis one by one.
- apiGroups: [""]
  resources: [pods]
  verbs: [delete, list]
# Finds the workers whose /status it asks, those that are not ready too.
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list]
# Tells of transitions, counting repeats.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{- define "parking-operator.rules.kafka" -}}
# One topic for each stream, beside its Kafka cluster.
- apiGroups: [kafka.strimzi.io]
  resources: [kafkatopics]
  verbs: [create, delete, get, list, patch, watch]
# One user for each role, beside its Kafka cluster.
- apiGroups: [kafka.strimzi.io]
  resources: [kafkausers]
  verbs: [create, delete, get, list, patch, watch]
# Reads listeners, authorization and who may use the cluster.
- apiGroups: [kafka.strimzi.io]
  resources: [kafkas]
  verbs: [get, list, watch]
# Reads the credentials that the User Operator made and the cluster's CA, by the names in their status.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
{{- end }}

{{- define "parking-operator.rules.cluster" -}}
# The kind from which it makes most; patch is for the finalizer.
- apiGroups: [parking.tinyx.io]
  resources: [parkingpipelines]
  verbs: [list, patch, watch]
# The other two kinds that it serves, changed in their status alone.
- apiGroups: [parking.tinyx.io]
  resources: [alertrules, statsjobs]
  verbs: [list, watch]
# Reports back.
- apiGroups: [parking.tinyx.io]
  resources: [parkingpipelines/status, alertrules/status, statsjobs/status]
  verbs: [patch]
# Owner references that block deletion, where the cluster checks them (OwnerReferencesPermissionEnforcement).
- apiGroups: [parking.tinyx.io]
  resources: [parkingpipelines/finalizers, statsjobs/finalizers]
  verbs: [update]
# The uid of kube-system tells clusters apart that share an object store; a namespace that is being deleted takes its Roles along, and its pipelines are let go.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
# Whether the volumes of a managed Redis may grow.
- apiGroups: [storage.k8s.io]
  resources: [storageclasses]
  verbs: [get]
{{- end }}
