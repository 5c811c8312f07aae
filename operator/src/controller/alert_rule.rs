//! One look at a rule: say what became of it in its pipeline and what the engines do with it.
//!
//! Must not: judge a rule; the look at its pipeline does, once for all its rules, and asks for a look at each of them
//! when it is time.

use std::sync::Arc;

use kube::{Resource, ResourceExt, runtime::reflector::ObjectRef};
use parking_crds::{
    alert_rule::{AlertRule, Engines, Instances},
    condition::{ConditionType, Reason},
    names::RuleName,
    role::Role,
    topology::PipelineId,
};

use crate::{
    error::Class,
    poll::workers::LastRound,
    problem::Problem,
    status::alert_rule::{Facts, Loaded, Verdict, status},
    wall_clock,
};

use super::{Context, Next, StepError, writes};

/// Takes a rule one step further.
pub async fn step(rule: Arc<AlertRule>, context: Arc<Context>) -> Result<Next, StepError> {
    if rule.metadata.deletion_timestamp.is_some() {
        return Ok(Next::WhenAsked);
    }
    let Some((verdict, loaded)) = standing(&rule, &context) else { return Ok(Next::WhenAsked) };
    let made = status(&Facts {
        before: rule.status.as_ref(),
        generation: rule.metadata.generation.unwrap_or_default(),
        verdict: &verdict,
        loaded: loaded.as_ref(),
        now: wall_clock::now(),
    });
    writes::status(&context, &*rule, &made).await?;
    Ok(Next::WhenAsked)
}

/// What became of the rule; none while its pipeline was not looked at since the rule's last edit.
fn standing(rule: &AlertRule, context: &Context) -> Option<(Verdict, Option<Loaded>)> {
    let namespace = rule.namespace().unwrap_or_default();
    let pipeline = rule.spec.pipeline_ref.name.as_str();
    let reference = ObjectRef::new(pipeline).within(&namespace);
    let found = context.stores.pipelines.get(&reference);
    if found.is_none_or(|pipeline| pipeline.meta().deletion_timestamp.is_some()) {
        let message = format!(
            "ParkingPipeline {namespace}/{pipeline} does not exist: create it, or make the rule anew with another spec.pipelineRef"
        );
        return Some((Verdict::Refused(Problem::missing(ConditionType::Accepted, message)), None));
    }
    let id = PipelineId { namespace: namespace.parse().ok()?, name: pipeline.parse().ok()? };
    let name: RuleName = match rule.name_any().parse() {
        Ok(name) => name,
        Err(error) => {
            let problem = Problem {
                condition: ConditionType::Accepted,
                reason: Reason::Invalid,
                class: Class::Invalid,
                message: format!("metadata.name: {error}"),
            };
            return Some((Verdict::Refused(problem), None));
        }
    };
    let verdicts = context.verdicts(&id)?;
    let (generation, verdict) = verdicts.of.get(&name)?;
    if Some(*generation) != rule.metadata.generation {
        return None;
    }
    let round = context.workers.last(&id);
    let loaded = round.as_deref().map(|round| loaded(&name, verdict, round));
    Some((verdict.clone(), loaded))
}

fn loaded(name: &RuleName, verdict: &Verdict, round: &LastRound) -> Loaded {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let (loaded, desired) = match verdict {
        Verdict::Accepted { hash } => round.summary.loaded(name, hash),
        Verdict::Disabled | Verdict::Refused(_) => {
            (0, round.summary.answered.get(&Role::Alert).map_or(0, |(_, asked)| *asked))
        }
    };
    let engines = Engines { desired: desired.into(), loaded: loaded.into() };
    let Some(seen) = round.summary.rules.get(name) else {
        return Loaded { engines, ..Loaded::default() };
    };
    Loaded {
        engines,
        instances: Instances {
            pending: number(seen.pending),
            firing: number(seen.firing),
            recovering: number(seen.recovering),
            no_data: number(seen.no_data),
        },
        refused: seen.refused.clone(),
        saturated: seen.saturated,
        last_transition: seen.last_transition,
    }
}
