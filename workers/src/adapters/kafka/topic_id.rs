//! The id of a topic, which a topic of the same name that is made anew does not have.
//!
//! The one place of the workspace that calls C without a wrapper: the library tells topic ids only through
//! `rd_kafka_DescribeTopics`, which its Rust crate does not wrap.
#![expect(unsafe_code, reason = "see the module")]

use std::{
    ffi::{CStr, CString, c_char, c_int},
    ptr,
    time::Duration,
};

use rdkafka::{
    bindings as native,
    client::{Client, ClientContext},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    types::RDKafkaRespErr,
};
use uuid::Uuid;

/// Something of the library that is freed with the value.
struct Owned<T> {
    pointer: *mut T,
    free: unsafe extern "C" fn(*mut T),
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer came from the library, is not null, and is freed once, by its own function.
        unsafe { (self.free)(self.pointer) }
    }
}

fn owned<T>(pointer: *mut T, free: unsafe extern "C" fn(*mut T)) -> KafkaResult<Owned<T>> {
    if pointer.is_null() {
        return Err(KafkaError::AdminOpCreation("describe topics".to_owned()));
    }
    Ok(Owned { pointer, free })
}

/// Asks the brokers; blocks for `timeout` at most.
pub(super) fn fetch_topic_id<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> KafkaResult<Uuid> {
    let name = CString::new(topic)?;
    let milliseconds = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
    // SAFETY: `client` outlives the call; every pointer is checked where it may be null, freed by its guard after
    // the last use of what it owns (guards are dropped in reverse order), and written to by nobody else.
    unsafe {
        let kafka = client.native_ptr();
        let mut names: [*const c_char; 1] = [name.as_ptr()];
        let topics = native::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        let topics = owned(topics, native::rd_kafka_TopicCollection_destroy)?;
        let operation = native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let options = native::rd_kafka_AdminOptions_new(kafka, operation);
        let options = owned(options, native::rd_kafka_AdminOptions_destroy)?;
        native::rd_kafka_AdminOptions_set_request_timeout(options.pointer, milliseconds, ptr::null_mut(), 0);
        let queue = owned(native::rd_kafka_queue_new(kafka), native::rd_kafka_queue_destroy)?;
        native::rd_kafka_DescribeTopics(kafka, topics.pointer, options.pointer, queue.pointer);
        let event = native::rd_kafka_queue_poll(queue.pointer, milliseconds);
        if event.is_null() {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut));
        }
        let event = owned(event, native::rd_kafka_event_destroy)?;
        check(native::rd_kafka_event_error(event.pointer))?;
        let result = native::rd_kafka_event_DescribeTopics_result(event.pointer);
        let mut count = 0;
        let found = native::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        if result.is_null() || found.is_null() || count != 1 {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::UnknownTopicOrPartition));
        }
        let found = *found;
        check(native::rd_kafka_error_code(native::rd_kafka_TopicDescription_error(found)))?;
        debug_assert_eq!(CStr::from_ptr(native::rd_kafka_TopicDescription_name(found)), name.as_c_str());
        let id = native::rd_kafka_TopicDescription_topic_id(found);
        if id.is_null() {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::UnsupportedVersion));
        }
        let high = native::rd_kafka_Uuid_most_significant_bits(id).cast_unsigned();
        let low = native::rd_kafka_Uuid_least_significant_bits(id).cast_unsigned();
        Ok(Uuid::from_u64_pair(high, low))
    }
}

fn check(code: RDKafkaRespErr) -> KafkaResult<()> {
    match code {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        failed => Err(KafkaError::AdminOp(failed.into())),
    }
}
