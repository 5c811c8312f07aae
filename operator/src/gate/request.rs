//! What a request to the API server is, read from its method and URL alone.
//!
//! Must not: read or copy a body.

use std::borrow::Cow;

use http::{Method, Request, Uri};

/// The Lease of the operator's own election.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseName {
    /// The operator's namespace.
    pub namespace: String,
    /// The Lease's name.
    pub name: String,
}

/// What becomes of a request at the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// Changes nothing and ends by itself.
    Read,
    /// Changes nothing and stays open.
    Watch,
    /// Changes an object: only a leader may send it.
    Write,
    /// Belongs to the election: whoever sends it bounds it.
    Election,
}

/// A request as metrics and the gate see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen<'a> {
    /// The verb as RBAC writes it.
    pub verb: &'static str,
    /// The resource, with its subresource after a slash; `other` where the URL names none.
    pub resource: Cow<'a, str>,
    /// What becomes of it.
    pub passage: Passage,
}

#[derive(Default)]
struct Target<'a> {
    group: &'a str,
    namespace: Option<&'a str>,
    resource: Option<&'a str>,
    name: Option<&'a str>,
    subresource: Option<&'a str>,
}

impl<'a> Target<'a> {
    fn of(path: &'a str) -> Self {
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        let group = match parts.next() {
            Some("api") => "",
            Some("apis") => parts.next().unwrap_or_default(),
            _ => return Self::default(),
        };
        let _version = parts.next();
        let mut target = Self { group, resource: parts.next(), name: parts.next(), ..Self::default() };
        let next = parts.next();
        if target.resource == Some("namespaces") && next.is_some_and(|part| !is_of_namespace(part)) {
            target =
                Self { group, namespace: target.name, resource: next, name: parts.next(), subresource: None };
            target.subresource = parts.next();
        } else {
            target.subresource = next;
        }
        target
    }
}

/// Whether the word after a namespace's name is a subresource of the namespace itself.
fn is_of_namespace(part: &str) -> bool {
    matches!(part, "status" | "finalize")
}

impl<'a> Seen<'a> {
    /// What the request is, for an election about the given Lease.
    pub fn of<B>(request: &'a Request<B>, lease: &LeaseName) -> Self {
        let target = Target::of(request.uri().path());
        let verb = verb(request.method(), request.uri(), target.name.is_some());
        let resource = match (target.resource, target.subresource) {
            (Some(resource), Some(sub)) => Cow::Owned(format!("{resource}/{sub}")),
            (Some(resource), None) => Cow::Borrowed(resource),
            (None, _) => Cow::Borrowed("other"),
        };
        let passage = if is_of_election(verb, &target, lease) {
            Passage::Election
        } else {
            match verb {
                "watch" => Passage::Watch,
                "get" | "list" => Passage::Read,
                "create" if target.group == "authorization.k8s.io" => Passage::Read,
                _ => Passage::Write,
            }
        };
        Self { verb, resource, passage }
    }
}

/// Whether the request touches the Lease: by its name, or as a creation where it must stand.
fn is_of_election(verb: &str, target: &Target<'_>, lease: &LeaseName) -> bool {
    target.group == "coordination.k8s.io"
        && target.resource == Some("leases")
        && target.subresource.is_none()
        && target.namespace == Some(lease.namespace.as_str())
        && match verb {
            "get" | "update" => target.name == Some(lease.name.as_str()),
            "create" => target.name.is_none(),
            _ => false,
        }
}

fn verb(method: &Method, uri: &Uri, named: bool) -> &'static str {
    match *method {
        Method::GET | Method::HEAD if watches(uri) => "watch",
        Method::GET | Method::HEAD if named => "get",
        Method::GET | Method::HEAD => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if named => "delete",
        Method::DELETE => "deletecollection",
        _ => "other",
    }
}

fn watches(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(method: &str, uri: &str) -> (&'static str, String, Passage) {
        let request = Request::builder().method(method).uri(uri).body(()).unwrap();
        let lease = LeaseName { namespace: "ops".to_owned(), name: "parking-operator".to_owned() };
        let seen = Seen::of(&request, &lease);
        (seen.verb, seen.resource.into_owned(), seen.passage)
    }

    #[test]
    fn requests_are_known_by_method_and_url() {
        use Passage::{Election, Read, Watch, Write};
        const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/ops/leases";
        let lease = format!("{LEASES}/parking-operator");
        let other = format!("{LEASES}/another");
        for (method, uri, verb, resource, passage) in [
            ("GET", "/api/v1/namespaces/a/secrets/b", "get", "secrets", Read),
            ("GET", "/api/v1/namespaces/a/secrets?watch=true", "watch", "secrets", Watch),
            ("GET", "/apis/apps/v1/statefulsets?limit=5&watch=1", "watch", "statefulsets", Watch),
            ("GET", "/apis/apps/v1/statefulsets", "list", "statefulsets", Read),
            ("GET", "/api/v1/namespaces/a", "get", "namespaces", Read),
            ("PATCH", "/api/v1/namespaces/a/status", "patch", "namespaces/status", Write),
            ("GET", "/version", "list", "other", Read),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/a/statefulsets/b/status",
                "patch",
                "statefulsets/status",
                Write,
            ),
            ("POST", "/apis/batch/v1/namespaces/a/jobs?dryRun=All", "create", "jobs", Write),
            ("DELETE", "/api/v1/namespaces/a/services/b", "delete", "services", Write),
            ("DELETE", "/api/v1/namespaces/a/services", "deletecollection", "services", Write),
            (
                "POST",
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
                "create",
                "selfsubjectaccessreviews",
                Read,
            ),
            ("GET", &lease, "get", "leases", Election),
            ("PUT", &lease, "update", "leases", Election),
            ("POST", LEASES, "create", "leases", Election),
            ("PATCH", &lease, "patch", "leases", Write),
            ("DELETE", &lease, "delete", "leases", Write),
            ("PUT", &other, "update", "leases", Write),
            ("POST", "/apis/coordination.k8s.io/v1/namespaces/b/leases", "create", "leases", Write),
            ("PUT", "/apis/example.org/v1/namespaces/ops/leases/parking-operator", "update", "leases", Write),
        ] {
            assert_eq!(seen(method, uri), (verb, resource.to_owned(), passage), "{method} {uri}");
        }
    }
}
