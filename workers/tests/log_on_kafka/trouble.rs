//! What can be wrong with topics and brokers, and what the log makes of it.

use std::time::Duration;

use bytes::Bytes;
use parking_crds::pipeline::SecurityProtocol;
use parking_workers::{
    adapters::kafka::{KafkaEventLog, KafkaLogin},
    ports::{
        ErrorKind, PortError,
        event_log::{Bounds, EventLog, Offset, Parts, Records, Stream, StreamPartition},
    },
};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::{
    broker::{Broker, Topics},
    topology,
};

const AT: StreamPartition = StreamPartition { stream: Stream::Events, partition: 0 };
const SOON: Duration = Duration::from_secs(30);

async fn open(topics: &Topics, broker: &Broker) -> KafkaEventLog {
    KafkaEventLog::open(topics.settings(broker)).await.unwrap()
}

fn one(record: &str) -> Parts {
    vec![(AT, [record].into_iter().collect())]
}

fn told(error: &PortError) -> (ErrorKind, String) {
    let reason = error.source.as_ref().map(ToString::to_string).unwrap_or_default();
    (error.kind, format!("{error}: {reason}"))
}

#[expect(clippy::disallowed_methods, reason = "a test that hangs says nothing")]
async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, ask: impl Fn() -> F) -> T {
    let asked = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(SOON, asked).await.unwrap_or_else(|_| panic!("{what}: not within {SOON:?}"))
}

#[tokio::test]
async fn a_missing_topic_is_named() {
    let topics = Topics::random(1);
    let error = KafkaEventLog::open(topics.settings(Broker::shared())).await.err().unwrap();
    let (kind, text) = told(&error);
    assert_eq!(kind, ErrorKind::Invalid);
    assert!(text.contains("there is no such topic") && text.contains(&topics.name(Stream::ALL[0])), "{text}");
}

#[tokio::test]
async fn another_number_of_partitions_is_refused() {
    let topics = Topics::random(2);
    topics.make(Broker::shared()).await;
    let mut settings = topics.settings(Broker::shared());
    settings.partitions = 3;
    let (kind, text) = told(&KafkaEventLog::open(settings).await.err().unwrap());
    assert_eq!(kind, ErrorKind::Invalid);
    assert!(text.contains("it has 2 partitions and the pipeline 3"), "{text}");
}

#[tokio::test]
async fn brokers_that_cannot_be_reached_are_a_passing_trouble() {
    let mut settings = Topics::random(1).settings(Broker::shared());
    settings.bootstrap_servers = parking_e2e::held::free_address().unwrap().to_string();
    settings.timeout = Duration::from_millis(300);
    assert_eq!(KafkaEventLog::open(settings).await.err().unwrap().kind, ErrorKind::Transient);
}

#[tokio::test]
async fn a_record_over_the_limit_is_refused_and_the_next_one_is_not() {
    let topics = Topics::random(1);
    topics.make(Broker::shared()).await;
    let log = open(&topics, Broker::shared()).await;
    let large: Records = [Bytes::from(vec![b'x'; 2_000_000])].into_iter().collect();
    let (kind, text) = told(&log.append(vec![(AT, large)]).await.unwrap_err());
    assert_eq!(kind, ErrorKind::Invalid, "{text}");
    assert_eq!(log.append(one("small")).await.unwrap(), [0]);
}

#[tokio::test]
async fn a_topic_that_was_made_anew_is_another_stream_and_old_offsets_find_nothing() {
    let topics = Topics::random(1);
    topics.make(Broker::shared()).await;
    let log = open(&topics, Broker::shared()).await;
    log.append(vec![(AT, ["a", "b", "c"].into_iter().collect())]).await.unwrap();
    assert_eq!(log.read(AT, 0, usize::MAX).await.unwrap().records.len(), 3);
    let before = log.log_id(Stream::Events).await.unwrap();
    topics.delete(Broker::shared()).await;
    let invalid = |error: &PortError| error.kind == ErrorKind::Invalid;
    let gone = || async { log.log_id(Stream::Events).await.err().filter(invalid) };
    eventually("the topics are gone", gone).await;
    topics.make(Broker::shared()).await;
    let new = KafkaEventLog::open(topics.settings(Broker::shared())).await.unwrap();
    assert_ne!(new.log_id(Stream::Events).await.unwrap(), before);
    let again = || async { Some((log.log_id(Stream::Events).await.ok()?, log.bounds(AT).await.ok()?)) };
    let (after, bounds) = eventually("the old handle sees the new topics", again).await;
    assert_ne!(after, before);
    assert_eq!(bounds, Bounds { start: 0, end: 0 });
}

#[tokio::test]
async fn records_that_retention_removed_are_an_error_to_their_reader() {
    let topics = Topics::random(1);
    topics.make(Broker::shared()).await;
    let log = open(&topics, Broker::shared()).await;
    log.append(vec![(AT, ["a", "b", "c"].into_iter().collect())]).await.unwrap();
    remove_up_to(&topics, 2).await;
    let started = || async { log.bounds(AT).await.ok().filter(|bounds| bounds.start == 2) };
    eventually("the partition begins later", started).await;
    let (kind, text) = told(&log.read(AT, 1, usize::MAX).await.unwrap_err());
    assert_eq!(kind, ErrorKind::Invalid);
    assert!(text.contains("were removed"), "{text}");
    assert_eq!(log.read(AT, 2, usize::MAX).await.unwrap().records.iter().next(), Some(b"c".as_slice()));
}

async fn remove_up_to(topics: &Topics, offset: i64) {
    let mut list = rdkafka::TopicPartitionList::new();
    let name = topics.name(Stream::Events);
    list.add_partition_offset(&name, 0, rdkafka::Offset::Offset(offset)).unwrap();
    Broker::shared().admin().delete_records(&list, &rdkafka::admin::AdminOptions::new()).await.unwrap();
}

/// First offset of a partition after retention ran over a record of 2016.
async fn start_of(topics: &Topics) -> Offset {
    let log = open(topics, Broker::shared()).await;
    log.bounds(AT).await.unwrap().start
}

fn append_a_record_of_2016(topics: &Topics) {
    let producer: BaseProducer = Broker::shared().client().create().unwrap();
    let topic = topics.name(Stream::Events);
    let record = BaseRecord::<(), _>::to(&topic).partition(0).payload("old").timestamp(1_475_564_400_000);
    producer.send(record).unwrap();
    producer.flush(SOON).unwrap();
}

#[tokio::test]
async fn records_of_2016_outlive_a_retention_of_minutes() {
    let (ours, control) = (Topics::random(1), Topics::random(1));
    ours.make(Broker::shared()).await;
    let mut by_their_own_time = topology::topic_settings();
    by_their_own_time.insert("message.timestamp.type".to_owned(), "CreateTime".to_owned());
    control.make_with(Broker::shared(), &by_their_own_time).await;
    append_a_record_of_2016(&ours);
    append_a_record_of_2016(&control);
    let removed = || async { (start_of(&control).await > 0).then_some(()) };
    eventually("retention ran over the control", removed).await;
    assert_eq!(start_of(&ours).await, 0);
}

#[tokio::test]
async fn appends_and_reads_go_on_after_the_broker_was_killed() {
    let mut broker = Broker::own();
    let topics = Topics::random(1);
    topics.make(&broker).await;
    let mut settings = topics.settings(&broker);
    settings.timeout = SOON;
    let log = KafkaEventLog::open(settings).await.unwrap();
    assert_eq!(log.append(one("before")).await.unwrap(), [0]);
    assert_eq!(log.read(AT, 0, usize::MAX).await.unwrap().records.len(), 1);
    broker.server().kill().unwrap();
    let (appended, restarted) = tokio::join!(
        async { log.append(one("meanwhile")).await },
        tokio::task::spawn_blocking(move || {
            broker.server().restart().unwrap();
            broker
        })
    );
    let broker = restarted.unwrap();
    assert_eq!(appended.unwrap(), [1], "idempotence: once, however often it was sent");
    let found = || async { log.read(AT, 1, usize::MAX).await.ok().filter(|found| !found.records.is_empty()) };
    let found = eventually("reads go on", found).await;
    assert_eq!(found.records.iter().collect::<Vec<_>>(), [b"meanwhile"]);
    drop(broker);
}

#[tokio::test]
async fn an_encrypted_log_takes_who_logs_in_and_tells_others_why_not() {
    let (broker, listener) = Broker::secured();
    let topics = Topics::random(1);
    topics.make(&broker).await;
    let mut settings = topics.settings(&broker);
    settings.bootstrap_servers = listener.bootstrap_servers;
    settings.security_protocol = SecurityProtocol::SaslSsl;
    settings.ca = Some(listener.ca);
    let login = |password: &str| {
        Some(KafkaLogin { username: listener.username.to_owned(), password: password.to_owned() })
    };
    settings.login = login(listener.password);
    let log = KafkaEventLog::open(settings.clone()).await.unwrap();
    assert_eq!(log.append(one("sealed")).await.unwrap(), [0]);

    settings.timeout = Duration::from_secs(2);
    settings.login = login("wrong");
    let (_, text) = told(&KafkaEventLog::open(settings.clone()).await.err().unwrap());
    assert!(text.contains("check user, password and mechanism"), "{text}");

    settings.login = login(listener.password);
    settings.ca = None;
    let (_, text) = told(&KafkaEventLog::open(settings).await.err().unwrap());
    assert!(text.contains("certificate"), "{text}");
}

#[tokio::test]
async fn a_frozen_broker_holds_no_call_longer_than_its_timeout() {
    let mut broker = Broker::own();
    let topics = Topics::random(1);
    topics.make(&broker).await;
    let mut settings = topics.settings(&broker);
    settings.timeout = Duration::from_secs(2);
    let log = KafkaEventLog::open(settings).await.unwrap();
    log.append(one("before")).await.unwrap();
    broker.server().freeze().unwrap();
    assert_eq!(log.log_id(Stream::Events).await.unwrap_err().kind, ErrorKind::Transient);
    assert_eq!(log.append(one("meanwhile")).await.unwrap_err().kind, ErrorKind::Ambiguous);
    broker.server().thaw().unwrap();
    let appended = || async { log.append(one("after")).await.ok() };
    eventually("appends go on", appended).await;
    let all = || async { log.read(AT, 0, usize::MAX).await.ok().filter(|found| found.records.len() >= 2) };
    let all = eventually("reads go on", all).await;
    assert_eq!(all.records.iter().next(), Some(b"before".as_slice()));
}
