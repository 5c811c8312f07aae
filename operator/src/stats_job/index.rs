//! Reading the lake's small index objects, so that the operator needs no table engine.
//!
//! Must not: write; the workers do, after each commit.

use async_trait::async_trait;
use bytes::Bytes;
use parking_crds::{
    lake_index::{self, LakeIndex, LakeIndexError},
    names::{JobName, KeyPrefix},
    stats_index::{self, StatsIndex, StatsIndexError},
};

use crate::error::{Class, Classify};

/// Whatever gets objects of one bucket.
#[async_trait]
pub trait ObjectReader: Send + Sync {
    /// The object of a key within the bucket; `None` where there is none.
    async fn get(&self, key: &str) -> Result<Option<Bytes>, ObjectError>;
}

/// An object could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ObjectError {
    /// Who can end it.
    pub class: Class,
    /// What is wrong and what to do about it; names the bucket, holds no secret.
    pub message: String,
}

/// What the lake says of itself and of one job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LakeSeen {
    /// What the lake holds; `None` before the first commit.
    pub lake: Option<LakeIndex>,
    /// Which windows of the job are done; `None` before its first run.
    pub stats: Option<StatsIndex>,
}

/// The lake could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// The bucket did not give the object.
    #[error("the lake cannot be read: {0}")]
    Object(#[from] ObjectError),
    /// The lake's index is of another version.
    #[error("{0}; run operator and workers of one release")]
    Lake(#[from] LakeIndexError),
    /// The job's index is of another version.
    #[error("{0}; run operator and workers of one release")]
    Stats(#[from] StatsIndexError),
}

impl Classify for IndexError {
    fn class(&self) -> Class {
        match self {
            Self::Object(error) => error.class,
            Self::Lake(_) | Self::Stats(_) => Class::Blocked,
        }
    }
}

/// Reads both objects. To be called after the runs were listed: a run that was seen to have ended well has written its
/// index before.
pub async fn read(
    reader: &dyn ObjectReader,
    prefix: &KeyPrefix,
    job: &JobName,
) -> Result<LakeSeen, IndexError> {
    let lake = reader.get(&format!("{prefix}{}", lake_index::KEY)).await?;
    let stats = reader.get(&format!("{prefix}{}", stats_index::key(job))).await?;
    Ok(LakeSeen {
        lake: lake.map(|text| LakeIndex::parse(&text)).transpose()?,
        stats: stats.map(|text| StatsIndex::parse(&text)).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    struct Objects(BTreeMap<&'static str, &'static str>);

    #[async_trait]
    impl ObjectReader for Objects {
        async fn get(&self, key: &str) -> Result<Option<Bytes>, ObjectError> {
            Ok(self.0.get(key).map(|text| Bytes::from_static(text.as_bytes())))
        }
    }

    async fn seen(objects: &[(&'static str, &'static str)]) -> Result<LakeSeen, IndexError> {
        let prefix = "parking/city/".parse().unwrap();
        read(&Objects(objects.iter().copied().collect()), &prefix, &"hourly".parse().unwrap()).await
    }

    #[tokio::test]
    async fn absent_objects_are_an_empty_lake() {
        assert_eq!(seen(&[]).await.unwrap(), LakeSeen::default());
    }

    #[tokio::test]
    async fn both_objects_stand_below_the_prefix_of_the_pipeline() {
        let seen = seen(&[
            ("parking/city/_parking/lake.json", r#"{"version":1,"firstEvent":7}"#),
            (
                "parking/city/_parking/stats/hourly.json",
                r#"{"version":1,"computation":"c","done":[{"start":1,"end":2}]}"#,
            ),
        ])
        .await
        .unwrap();
        assert_eq!(seen.lake.unwrap().first_event, Some(7));
        assert_eq!(seen.stats.unwrap().done.iter().count(), 1);
    }

    #[tokio::test]
    async fn an_object_of_a_newer_release_blocks_and_says_what_to_do() {
        let error = seen(&[("parking/city/_parking/lake.json", r#"{"version":2}"#)]).await.unwrap_err();
        assert_eq!(error.class(), Class::Blocked);
        assert!(error.to_string().contains("one release"), "{error}");
    }
}
