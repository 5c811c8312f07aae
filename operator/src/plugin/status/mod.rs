//! `status`: pipelines with everything that belongs to them, as a tree.

mod conditions;
mod read;
mod standing;

use k8s_openapi::jiff::Timestamp;
use parking_crds::pipeline::ParkingPipeline;

use super::{
    Answer, Branch, Failure, Session,
    cli::{StatusArguments, StatusFormat},
};

pub use read::Seen;
pub use standing::standing;

/// Shows how pipelines stand. `colours` is for terminals.
pub async fn run(
    session: &Session,
    arguments: &StatusArguments,
    now: Timestamp,
    colours: bool,
) -> Result<Answer, Failure> {
    let pipelines: Vec<ParkingPipeline> = match &arguments.name {
        Some(name) => vec![session.find(name.as_str()).await?],
        None => read::pipelines(session, arguments.all_namespaces).await?,
    };
    let mut trees = Vec::new();
    for seen in read::surroundings(session, pipelines).await? {
        trees.push(standing(&seen, now));
    }
    Ok(match arguments.output {
        StatusFormat::Json => Answer::fine(json(&trees)),
        StatusFormat::Tree if trees.is_empty() => {
            Answer { notes: nothing(session, arguments.all_namespaces), ..Answer::fine("") }
        }
        StatusFormat::Tree => Answer::fine(trees.iter().map(|tree| tree.print(colours)).collect::<String>()),
    })
}

fn json(trees: &[Branch]) -> String {
    serde_json::to_string_pretty(trees).map(|text| text + "\n").unwrap_or_default()
}

fn nothing(session: &Session, everywhere: bool) -> String {
    if everywhere {
        "There is no ParkingPipeline in any namespace.\n".to_owned()
    } else {
        format!(
            "There is no ParkingPipeline in namespace {}; look into another one with -n, or into all with -A.\n",
            session.namespace
        )
    }
}
