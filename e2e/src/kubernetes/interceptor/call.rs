//! What a request to the API server is, by its method and URL.

use http::{Method, Uri};

/// A request as a rule sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// As RBAC writes it: `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: &'static str,
    /// As RBAC writes it: `pods/status`; empty where the URL names no resource.
    pub resource: String,
    /// Namespace, or empty.
    pub namespace: String,
    /// Name, or empty.
    pub name: String,
    /// Which write it is since the server began, from 1; `None` for a read, a dry run, and whatever is about Leases.
    pub write: Option<u64>,
}

impl Call {
    pub(super) fn of(method: &Method, uri: &Uri) -> Self {
        let mut parts = uri.path().split('/').filter(|part| !part.is_empty());
        let skipped = match parts.next() {
            Some("api") => 1,
            Some("apis") => 2,
            _ => return Self::about(method, uri, "", &[]),
        };
        let parts: Vec<&str> = parts.skip(skipped).collect();
        match parts.as_slice() {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => {
                Self::about(method, uri, namespace, rest)
            }
            rest => Self::about(method, uri, "", rest),
        }
    }

    fn about(method: &Method, uri: &Uri, namespace: &str, rest: &[&str]) -> Self {
        let resource = match rest {
            [resource, _, below] => format!("{resource}/{below}"),
            [resource, ..] => (*resource).to_owned(),
            [] => String::new(),
        };
        let name = rest.get(1).copied().unwrap_or_default();
        Self {
            verb: verb(method, uri, !name.is_empty()),
            resource,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            write: None,
        }
    }

    /// Whether it changes something other than a Lease.
    pub(super) fn writes(&self, uri: &Uri) -> bool {
        !matches!(self.verb, "get" | "list" | "watch")
            && self.resource != "leases"
            && !uri.path().contains("/authorization.k8s.io/")
            && !uri.query().is_some_and(|query| query.contains("dryRun="))
    }
}

fn verb(method: &Method, uri: &Uri, named: bool) -> &'static str {
    let watches = uri
        .query()
        .is_some_and(|query| query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1")));
    match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if named => "delete",
        Method::DELETE => "deletecollection",
        _ if watches => "watch",
        _ if named => "get",
        _ => "list",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart_by_method_and_url() {
        for (method, uri, verb, resource, namespace, name, writes) in [
            (Method::GET, "/api/v1/namespaces/a/secrets/b", "get", "secrets", "a", "b", false),
            (Method::GET, "/api/v1/namespaces/a", "get", "namespaces", "", "a", false),
            (
                Method::GET,
                "/apis/apps/v1/statefulsets?limit=5&watch=true",
                "watch",
                "statefulsets",
                "",
                "",
                false,
            ),
            (Method::GET, "/version", "list", "", "", "", false),
            (
                Method::PATCH,
                "/apis/apps/v1/namespaces/a/statefulsets/b/status",
                "patch",
                "statefulsets/status",
                "a",
                "b",
                true,
            ),
            (Method::POST, "/apis/batch/v1/namespaces/a/jobs", "create", "jobs", "a", "", true),
            (Method::POST, "/apis/batch/v1/namespaces/a/jobs?dryRun=All", "create", "jobs", "a", "", false),
            (Method::DELETE, "/api/v1/namespaces/a/services/b", "delete", "services", "a", "b", true),
            (
                Method::PUT,
                "/apis/coordination.k8s.io/v1/namespaces/a/leases/b",
                "update",
                "leases",
                "a",
                "b",
                false,
            ),
            (
                Method::POST,
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
                "create",
                "selfsubjectaccessreviews",
                "",
                "",
                false,
            ),
        ] {
            let uri: Uri = uri.parse().unwrap();
            let call = Call::of(&method, &uri);
            let found = (call.verb, call.resource.as_str(), call.namespace.as_str(), call.name.as_str());
            assert_eq!(found, (verb, resource, namespace, name), "{method} {uri}");
            assert_eq!(call.writes(&uri), writes, "{method} {uri}");
        }
    }
}
