//! The command line of `kubectl parking`.
//!
//! Must not: touch the cluster or the file system.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use parking_crds::{
    duration::Duration,
    names::{JobName, Namespace, ObjectName, PipelineName},
};

use crate::{cli::PlanArguments, object::ObjectKind};

/// Look at parking pipelines, and tell them to pause, to resume or to compute statistics again.
#[derive(Debug, Parser)]
#[command(name = "kubectl-parking", bin_name = "kubectl parking", version, about)]
pub struct Cli {
    /// Where to look.
    #[command(flatten)]
    pub place: Place,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Where to look.
#[derive(Args, Clone, Debug, Default)]
pub struct Place {
    /// Namespace of the pipelines, rules and jobs. Without it, that of the context.
    #[arg(short, long, global = true)]
    pub namespace: Option<Namespace>,
    /// Context of the kubeconfig. Without it, the current one.
    #[arg(long, global = true)]
    pub context: Option<String>,
    /// Kubeconfig. Without it, the one that kubectl uses.
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print what the operator would make of manifests, without a cluster.
    Plan(PlanArguments),
    /// Show what manifests, or the pipeline as it is, would change in the cluster, without changing it.
    ///
    /// Exit code 0: nothing; 1: something; 2: it could not be found out.
    Diff(DiffArguments),
    /// Show pipelines with everything that belongs to them, how it stands and since when.
    Status(StatusArguments),
    /// Let the stages work off what there is and then rest; events are taken in all the same.
    Pause(PhaseArguments),
    /// Let a pipeline that was paused or stopped go on as its spec says.
    Resume(PhaseArguments),
    /// Take in no more events, let the stages work off what there is, then rest.
    Stop(PhaseArguments),
    /// Compute windows of a statistics job once more, also those that have a result.
    Backfill(BackfillArguments),
    /// Give the managed Redis of a pipeline a new password, while everyone goes on.
    RotatePassword(RotateArguments),
    /// Say that the loss of data that a pipeline tells of is dealt with, which ends the alarm.
    Acknowledge(AcknowledgeArguments),
    /// Let go of an object whose deletion waits for an operator that is gone.
    ///
    /// Lists what stays behind; with --yes removes the operator's finalizer.
    Release(ReleaseArguments),
}

/// What to compare the cluster with.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = true)]
pub struct DiffArguments {
    /// A pipeline of the cluster: shows what the operator has still to do for it.
    #[arg(conflicts_with = "files")]
    pub name: Option<PipelineName>,
    /// A manifest, or a folder of them; may be given again. What they do not hold is taken from the cluster.
    #[arg(short = 'f', long = "file", value_name = "PATH", num_args = 1..)]
    pub files: Vec<PathBuf>,
}

/// What to show, and how.
#[derive(Args, Clone, Debug)]
pub struct StatusArguments {
    /// A pipeline. Without it, all of the namespace.
    pub name: Option<PipelineName>,
    /// Look into all namespaces.
    #[arg(short = 'A', long, conflicts_with_all = ["name", "namespace"])]
    pub all_namespaces: bool,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = StatusFormat::Tree)]
    pub output: StatusFormat,
}

/// How the status is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StatusFormat {
    /// A tree for people.
    Tree,
    /// The same tree for programs.
    Json,
}

/// Which pipeline, and whether to stay until it obeyed.
#[derive(Args, Clone, Debug)]
pub struct PhaseArguments {
    /// The pipeline.
    pub name: PipelineName,
    /// Stay until the pipeline has done so, and show its progress.
    #[arg(long)]
    pub wait: bool,
    /// Longest time to stay, such as 15m.
    #[arg(long, default_value = "15m", requires = "wait")]
    pub timeout: Duration,
}

/// Which windows to compute again.
#[derive(Args, Clone, Debug)]
pub struct BackfillArguments {
    /// The statistics job.
    pub name: JobName,
    /// First day or instant, such as 2016-10-04 (midnight in the job's time zone) or 2016-10-04T06:00:00Z.
    #[arg(long)]
    pub from: String,
    /// First day or instant that is no longer part of it.
    #[arg(long)]
    pub until: String,
}

/// Whose password to change.
#[derive(Args, Clone, Debug)]
pub struct RotateArguments {
    /// The pipeline.
    pub name: PipelineName,
}

/// Whose loss is dealt with.
#[derive(Args, Clone, Debug)]
pub struct AcknowledgeArguments {
    /// The pipeline.
    pub name: PipelineName,
}

/// What to let go of.
#[derive(Args, Clone, Debug)]
pub struct ReleaseArguments {
    /// Kind and name, such as parkingpipeline/city or pp/city.
    #[arg(value_name = "KIND/NAME", value_parser = target)]
    pub target: Target,
    /// Do it, after the list of what stays behind was read.
    #[arg(long)]
    pub yes: bool,
}

/// One of our objects by kind and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its name.
    pub name: ObjectName,
}

fn target(text: &str) -> Result<Target, String> {
    let (kind, name) =
        text.split_once('/').ok_or("write kind, slash and name, such as parkingpipeline/city")?;
    let kind = match kind.to_lowercase().split('.').next().unwrap_or_default() {
        "pp" | "parkingpipeline" | "parkingpipelines" => ObjectKind::Pipeline,
        "ar" | "alertrule" | "alertrules" => ObjectKind::AlertRule,
        "stj" | "statsjob" | "statsjobs" => ObjectKind::StatsJob,
        _ => return Err(format!("`{kind}` is none of parkingpipeline, alertrule and statsjob")),
    };
    let name = name.parse().map_err(|error: parking_crds::names::NameError| error.to_string())?;
    Ok(Target { kind, name })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        let cli = Cli::try_parse_from(line.split_whitespace()).map_err(|error| error.to_string())?;
        Ok(cli.command)
    }

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_namespace_may_stand_anywhere() {
        for line in ["kubectl-parking -n a status city", "kubectl-parking status city -n a"] {
            let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
            assert_eq!(cli.place.namespace.map(|one| one.to_string()).as_deref(), Some("a"));
        }
    }

    #[test]
    fn a_target_may_be_written_as_kubectl_writes_it() {
        for text in ["pp/city", "ParkingPipeline/city", "parkingpipelines.parking.tinyx.io/city"] {
            assert_eq!(target(text).unwrap().kind, ObjectKind::Pipeline, "{text}");
        }
        assert!(target("city").unwrap_err().contains("parkingpipeline/city"));
        assert!(target("pod/city").unwrap_err().contains("`pod` is none of"));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        assert!(parse("kubectl-parking diff").is_err());
        assert!(parse("kubectl-parking diff city -f x.yaml").is_err());
        assert!(parse("kubectl-parking status city -A").is_err());
        assert!(parse("kubectl-parking pause city --timeout 1m").is_err());
        assert!(parse("kubectl-parking diff -f a.yaml b.yaml").is_ok());
    }
}
