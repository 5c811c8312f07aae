//! What can go wrong with a command, each as one plain sentence that says what to do.

use kube::config::KubeconfigError;

use crate::{
    observe::ObserveError,
    offline::{PlanError, ReadError},
};

/// Why a command could not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// There is no cluster to talk to.
    #[error(
        "the kubeconfig cannot be used: {0}; name another with --kubeconfig, or a context with --context"
    )]
    Kubeconfig(#[from] KubeconfigError),
    /// The API server answered with an error, or not at all.
    #[error("{doing} failed: {}", reason(.source))]
    Request {
        /// What was asked for.
        doing: String,
        /// Why it failed.
        source: Box<kube::Error>,
    },
    /// The pipeline's surroundings cannot be read.
    #[error("{what}: {}", reason(.source.request()))]
    Observe {
        /// What was looked at.
        what: String,
        /// Why it failed.
        source: Box<ObserveError>,
    },
    /// Nothing can be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The manifests cannot be used.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is no object of that name.
    #[error("there is no {kind} `{name}` in namespace {namespace}{}", others(.known))]
    Unknown {
        /// Its kind.
        kind: String,
        /// The name that was given.
        name: String,
        /// The namespace that was looked at.
        namespace: String,
        /// Names that there are.
        known: Vec<String>,
    },
    /// What was asked for cannot be.
    #[error("{0}")]
    Refused(String),
}

impl Failure {
    /// A request failed.
    pub(super) fn request(doing: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        |source| Self::Request { doing: doing.into(), source: Box::new(source) }
    }

    /// A pipeline's surroundings could not be read.
    pub(super) fn observe(what: impl Into<String>) -> impl FnOnce(ObserveError) -> Self {
        |source| Self::Observe { what: what.into(), source: Box::new(source) }
    }
}

fn others(names: &[String]) -> String {
    match names {
        [] => ", nor any other; look into another one with -n".to_owned(),
        some => format!("; there are: {}", some.join(", ")),
    }
}

/// An answer in words that say what to do.
pub(super) fn reason(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => match status.code {
            401 => {
                "the API server does not accept your login: log in again, or use another --context".to_owned()
            }
            403 => format!("you lack a right ({}): ask whoever runs the cluster for it", status.message),
            404 if status.message.contains("could not find the requested resource") => {
                "the cluster does not know the kind: install the chart parking-operator-crds".to_owned()
            }
            _ => status.message.clone(),
        },
        kube::Error::Auth(error) => format!("the login of the kubeconfig cannot be used: {error}"),
        other => format!("the API server cannot be reached: {other}; check the cluster of your kubeconfig"),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn answered(code: u16, message: &str) -> String {
        let status = Status { code, message: message.to_owned(), ..Status::default() };
        let source = kube::Error::Api(Box::new(status));
        Failure::request("reading ParkingPipeline parking/city")(source).to_string()
    }

    #[test]
    fn an_answer_says_what_to_do() {
        assert!(answered(401, "Unauthorized").ends_with("log in again, or use another --context"));
        assert!(answered(403, "no pods for you").contains("you lack a right (no pods for you): ask"));
        let absent = answered(404, "the server could not find the requested resource");
        assert!(absent.contains("install the chart parking-operator-crds"), "{absent}");
        assert_eq!(answered(409, "taken"), "reading ParkingPipeline parking/city failed: taken");
    }

    #[test]
    fn an_unknown_name_lists_the_names_that_exist() {
        let unknown = |known: &[&str]| Failure::Unknown {
            kind: "ParkingPipeline".to_owned(),
            name: "town".to_owned(),
            namespace: "parking".to_owned(),
            known: known.iter().map(|&name| name.to_owned()).collect(),
        };
        assert_eq!(
            unknown(&["city", "port"]).to_string(),
            "there is no ParkingPipeline `town` in namespace parking; there are: city, port"
        );
        assert!(unknown(&[]).to_string().ends_with("look into another one with -n"));
    }
}
