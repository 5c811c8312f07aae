//! The command line of `parking-operator`, and how it becomes settings.
//!
//! Must not: touch the cluster or the file system. Invariant: whoever holds `Settings` holds checked values.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, str::FromStr};

use clap::{Args, Parser, Subcommand, ValueEnum, builder::NonEmptyStringValueParser};
use parking_crds::{
    duration::Duration,
    names::{NameError, Namespace, ObjectName},
};

use crate::settings::{PlanSettings, Settings};

/// Three custom resources become a running parking platform.
#[derive(Debug, Parser)]
#[command(name = "parking-operator", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Reconcile the objects of a cluster, until told to end.
    Run(RunArguments),
    /// Print the custom resource definitions.
    Crd,
    /// Print what the operator would make of manifests, without a cluster.
    Plan(PlanArguments),
    /// Refuse, with exit code 1, while objects of our kinds exist: an uninstall would leave them without an operator.
    CheckUninstall(CheckUninstallArguments),
}

/// What shapes a plan.
#[derive(Args, Clone, Debug)]
pub struct ShapeArguments {
    /// Worker image of pipelines that name none.
    #[arg(long, env = "PARKING_WORKER_IMAGE", value_parser = NonEmptyStringValueParser::new(), default_value_t = PlanSettings::default().worker_image)]
    pub worker_image: String,
    /// Redis image of pipelines that name none.
    #[arg(long, env = "PARKING_REDIS_IMAGE", value_parser = NonEmptyStringValueParser::new(), default_value_t = PlanSettings::default().redis_image)]
    pub redis_image: String,
    /// Domain of the cluster's DNS.
    #[arg(long, value_parser = NonEmptyStringValueParser::new(), default_value_t = PlanSettings::default().cluster_domain)]
    pub cluster_domain: String,
    /// Namespace of the operator's own pods.
    #[arg(long, env = "POD_NAMESPACE", default_value_t = PlanSettings::default().operator_namespace)]
    pub operator_namespace: Namespace,
}

impl ShapeArguments {
    /// The settings that shape plans.
    pub fn settings(self) -> PlanSettings {
        PlanSettings {
            worker_image: self.worker_image,
            redis_image: self.redis_image,
            cluster_domain: self.cluster_domain,
            operator_namespace: self.operator_namespace,
        }
    }
}

/// How to run.
#[derive(Args, Clone, Debug)]
pub struct RunArguments {
    /// What shapes a plan.
    #[command(flatten)]
    pub shape: ShapeArguments,
    /// Serve only this namespace; may be given again. Without it, all.
    #[arg(long = "namespace", value_name = "NAMESPACE")]
    pub namespaces: Vec<Namespace>,
    /// Namespace of a Kafka cluster and the pipelines' namespaces that may use it; may be given again.
    #[arg(long = "kafka-namespace", value_name = "KAFKA=NAMESPACE,…")]
    pub kafka_namespaces: Vec<KafkaNamespace>,
    /// Pipelines whose pods may roll at once.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub max_rolling_pipelines: u16,
    /// Objects reconciled at once, for each kind.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrency: u16,
    /// Writes to the API server a second, over all objects.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub writes_per_second: u32,
    /// Pause between two looks at an object that nothing happened to, such as 10m; at least 10s.
    #[arg(long, default_value = "10m", value_parser = resync)]
    pub resync: Duration,
    /// Pause between two questions to the workers of a pipeline, such as 15s; at least 1s.
    #[arg(long, default_value = "15s", value_parser = worker_poll)]
    pub worker_poll: Duration,
    /// Where to serve /livez, /readyz, /metrics and /status.
    #[arg(long, default_value = "0.0.0.0:8080", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,
    /// Name of the lease by which one replica leads, in the operator's namespace.
    #[arg(long, default_value = "parking-operator")]
    pub lease_name: ObjectName,
    /// What the lease calls this replica, such as the name of its pod.
    #[arg(long, env = "POD_NAME", value_parser = NonEmptyStringValueParser::new())]
    pub identity: String,
    /// Contact endpoints of users on this machine as well: for tests and laptops.
    #[arg(long)]
    pub allow_loopback_endpoints: bool,
}

impl RunArguments {
    /// Everything that the operator was told.
    pub fn settings(self) -> Settings {
        let mut kafka_namespaces = BTreeMap::<Namespace, Vec<Namespace>>::new();
        for one in self.kafka_namespaces {
            kafka_namespaces.entry(one.kafka).or_default().extend(one.users);
        }
        Settings {
            plan: self.shape.settings(),
            namespaces: self.namespaces,
            kafka_namespaces,
            max_rolling_pipelines: self.max_rolling_pipelines,
            concurrency: self.concurrency,
            writes_per_second: self.writes_per_second,
            resync: self.resync.into(),
            worker_poll: self.worker_poll.into(),
            listen: self.listen,
            lease_name: self.lease_name,
            identity: self.identity,
            allow_loopback_endpoints: self.allow_loopback_endpoints,
        }
    }
}

fn resync(text: &str) -> Result<Duration, String> {
    at_least(10, text, "every object would be looked at without end")
}

fn worker_poll(text: &str) -> Result<Duration, String> {
    at_least(1, text, "the workers would be asked without end")
}

fn at_least(seconds: i64, text: &str, otherwise: &str) -> Result<Duration, String> {
    let pause: Duration =
        text.parse().map_err(|error: parking_crds::duration::ParseDurationError| error.to_string())?;
    if pause < Duration::from_secs(seconds) {
        return Err(format!("shorter than {seconds}s: {otherwise}"));
    }
    Ok(pause)
}

/// Whose pipelines may use the Kafka clusters of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaNamespace {
    /// Where the clusters are.
    pub kafka: Namespace,
    /// Where the pipelines are.
    pub users: Vec<Namespace>,
}

/// Why a text does not say whose pipelines may use a Kafka cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KafkaNamespaceError {
    /// There is no `=`.
    #[error(
        "write the namespace of the Kafka cluster, `=` and the namespaces that may use it, such as kafka=parking,city"
    )]
    NoUsers,
    /// A part is no namespace.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl FromStr for KafkaNamespace {
    type Err = KafkaNamespaceError;

    fn from_str(text: &str) -> Result<Self, KafkaNamespaceError> {
        let (kafka, users) = text.split_once('=').ok_or(KafkaNamespaceError::NoUsers)?;
        let users = users.split(',').map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { kafka: kafka.parse()?, users })
    }
}

/// What to plan and how to show it.
#[derive(Args, Clone, Debug)]
pub struct PlanArguments {
    /// What shapes a plan.
    #[command(flatten)]
    pub shape: ShapeArguments,
    /// A manifest, or a folder of them; may be given again.
    #[arg(short = 'f', long = "file", value_name = "PATH", required = true, num_args = 1..)]
    pub files: Vec<PathBuf>,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = PlanFormat::Yaml)]
    pub output: PlanFormat,
}

/// How a plan is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// Manifests, one document for each object.
    Yaml,
    /// One `List`.
    Json,
    /// Kinds and names, one line for each object.
    Tree,
}

/// What an uninstall would leave behind.
#[derive(Args, Clone, Debug)]
pub struct CheckUninstallArguments {
    /// Look only into this namespace; may be given again. Without it, into all.
    #[arg(long = "namespace", value_name = "NAMESPACE")]
    pub namespaces: Vec<Namespace>,
    /// List the objects, and let the uninstall go on.
    #[arg(long)]
    pub force: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn run(arguments: &[&str]) -> Result<Settings, clap::Error> {
        let fixed =
            ["parking-operator", "run", "--identity", "pod-0", "--operator-namespace", "parking-system"];
        let cli = Cli::try_parse_from(fixed.iter().chain(arguments))?;
        let Command::Run(arguments) = cli.command else { panic!("{cli:?}") };
        Ok(arguments.settings())
    }

    fn namespaces(names: &[&str]) -> Vec<Namespace> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }

    #[test]
    fn all_namespaces_are_served_unless_some_are_named() {
        assert_eq!(run(&[]).unwrap().namespaces, []);
        let named = run(&["--namespace", "a", "--namespace", "b"]).unwrap();
        assert_eq!(named.namespaces, namespaces(&["a", "b"]));
    }

    #[test]
    fn users_of_one_kafka_namespace_add_up() {
        let settings = run(&[
            "--kafka-namespace",
            "kafka=a,b",
            "--kafka-namespace",
            "kafka=c",
            "--kafka-namespace",
            "k=a",
        ]);
        let expected = [("k", namespaces(&["a"])), ("kafka", namespaces(&["a", "b", "c"]))];
        let expected = expected.map(|(kafka, users)| (kafka.parse().unwrap(), users));
        assert_eq!(settings.unwrap().kafka_namespaces, BTreeMap::from(expected));
    }

    #[test]
    fn wrong_values_are_refused_with_what_to_write() {
        let refused = [
            (["--kafka-namespace", "kafka"], "such as kafka=parking,city"),
            (["--kafka-namespace", "kafka="], "is not a valid namespace"),
            (["--namespace", "No"], "is not a valid namespace"),
            (["--resync", "1s"], "shorter than 10s"),
            (["--resync", "soon"], "is not a duration"),
            (["--worker-poll", "999ms"], "shorter than 1s"),
            (["--concurrency", "0"], "0 is not in 1.."),
            (["--writes-per-second", "0"], "0 is not in 1.."),
            (["--max-rolling-pipelines", "0"], "0 is not in 1.."),
            (["--worker-image", ""], "a value is required"),
            (["--listen", "8080"], "invalid socket address"),
        ];
        for (arguments, expected) in refused {
            let error = run(&arguments).unwrap_err().to_string();
            assert!(error.contains(expected), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn a_plan_needs_a_file() {
        let error = Cli::try_parse_from(["parking-operator", "plan"]).unwrap_err();
        assert_eq!(error.kind(), clap::error::ErrorKind::MissingRequiredArgument);
    }
}
