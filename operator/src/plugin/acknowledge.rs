//! `acknowledge`: one annotation, which says that the loss that a pipeline tells of is dealt with.
//!
//! Invariant: its value names what was lost as it stood when it was read; what is lost meanwhile is not acknowledged.

use parking_crds::pipeline::ParkingPipeline;

use super::{Answer, Failure, Session, annotations, cli::AcknowledgeArguments};
use crate::{labels, status::data_loss};

/// Ends the alarm `DataLost` of a pipeline.
pub async fn run(session: &Session, arguments: &AcknowledgeArguments) -> Result<Answer, Failure> {
    let name = arguments.name.as_str();
    let pipeline: ParkingPipeline = session.find(name).await?;
    let conditions = pipeline.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let Some(loss) = data_loss::stands(conditions) else {
        return Ok(Answer::fine(format!("{name} tells of no loss\n")));
    };
    let value = Some(data_loss::fingerprint(loss));
    annotations::tell(session, &pipeline, labels::DATA_LOSS_ACKNOWLEDGED, value).await?;
    Ok(Answer::fine(format!("acknowledged what {name} lost: {}\n", data_loss::what(loss))))
}
