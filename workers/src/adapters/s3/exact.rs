//! A store whose creates are exact: of many racers one made the object, and it knows that it did.
//!
//! A create carries a mark of its own in the object's metadata. Where an attempt may have happened, or
//! the key is taken, the object's mark tells who made it: without it, an attempt whose answer was lost
//! would take its own object for another's. Every error leaves here as a [`S3Failure`]; only the
//! variants that `deltalake` branches on keep their names.

use std::{error::Error as _, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::{StreamExt, stream::BoxStream};
use object_store::{
    Attribute, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, aws::AmazonS3,
    path::Path,
};
use uuid::Uuid;

use super::failure::S3Failure;
use crate::ports::ErrorKind;

const MARK: &str = "parking-create";
/// Attempts of one create.
const TRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct ExactStore {
    /// Repeats what may be repeated.
    steady: Arc<AmazonS3>,
    /// Asks once: for creates, which are repeated here.
    once: Arc<AmazonS3>,
}

impl ExactStore {
    pub(super) fn new(steady: AmazonS3, once: AmazonS3) -> Self {
        Self { steady: Arc::new(steady), once: Arc::new(once) }
    }

    async fn create(&self, at: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        let mark = Uuid::new_v4().to_string();
        options.attributes.insert(Attribute::Metadata(MARK.into()), mark.clone().into());
        let (mut earlier, mut pause) = (false, FIRST_PAUSE);
        for left in (0..TRIES).rev() {
            let failure = match self.once.put_opts(at, payload.clone(), options.clone()).await {
                Ok(made) => return Ok(made),
                // The first attempt found the key taken: it was another's.
                Err(error @ Error::AlreadyExists { .. }) if !earlier && is_taken(&error) => {
                    return Err(error);
                }
                Err(error @ Error::AlreadyExists { .. }) => match self.maker(at).await {
                    Ok(Some((made, maker))) if maker.as_ref() == Some(&mark) => return Ok(made),
                    Ok(Some(_)) => return Err(error),
                    // Another request for the key was under way, or the object was deleted since.
                    Ok(None) => S3Failure::of(&error),
                    Err(unknown) => S3Failure::of(&unknown).after(true),
                },
                Err(error) => S3Failure::of(&error),
            };
            earlier |= failure.may_have_happened();
            if left == 0 || failure.kind() != ErrorKind::Transient {
                return Err(failure.after(earlier).store_error());
            }
            tokio::time::sleep(pause).await;
            pause *= 3;
        }
        Err(S3Failure::unanswered().store_error())
    }

    /// The object's mark, if the object exists.
    async fn maker(&self, at: &Path) -> Result<Option<(PutResult, Option<String>)>> {
        match self.steady.get_opts(at, GetOptions::new().with_head(true)).await {
            Ok(found) => {
                let mark = found
                    .attributes
                    .get(&Attribute::Metadata(MARK.into()))
                    .map(|mark| mark.as_ref().to_owned());
                let made = PutResult { e_tag: found.meta.e_tag, version: found.meta.version };
                Ok(Some((made, mark)))
            }
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Whether the object exists, rather than that another request for its key is under way, which the client
/// tells by the same variant.
fn is_taken(error: &Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<Error>());
    matches!(cause, Some(Error::Precondition { .. } | Error::NotModified { .. }))
}

/// Keeps the variants that readers of a Delta log branch on, and of all others the failure.
fn told(error: Error) -> Error {
    match &error {
        Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotModified { .. } => error,
        // A bucket that is missing is no table that is missing.
        Error::NotFound { .. } if !S3Failure::of(&error).is_about_the_bucket() => error,
        _ => S3Failure::of(&error).store_error(),
    }
}

impl fmt::Display for ExactStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steady.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for ExactStore {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        match options.mode {
            PutMode::Create => self.create(at, payload, options).await,
            PutMode::Overwrite => self.steady.put_opts(at, payload, options).await.map_err(told),
            PutMode::Update(_) => self.once.put_opts(at, payload, options).await.map_err(told),
        }
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.steady.put_multipart_opts(at, options).await.map_err(told)
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.steady.get_opts(at, options).await.map_err(told)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.steady.delete_stream(locations).map(|deleted| deleted.map_err(told)).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.steady.list(prefix).map(|found| found.map_err(told)).boxed()
    }

    fn list_with_offset(&self, prefix: Option<&Path>, from: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.steady.list_with_offset(prefix, from).map(|found| found.map_err(told)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.steady.list_with_delimiter(prefix).await.map_err(told)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.steady.copy_opts(from, to, options).await.map_err(told)
    }
}
