//! A broker that all tests share, and topics that belong to one of them.

use std::{collections::BTreeMap, sync::OnceLock, time::Duration};

use parking_crds::pipeline::{SaslMechanism, SecurityProtocol};
use parking_e2e::kafka::Kafka;
use parking_workers::{adapters::kafka::KafkaSettings, ports::event_log::Stream};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    error::RDKafkaErrorCode,
};
use uuid::Uuid;

pub(crate) struct Broker(Kafka);

impl Broker {
    /// The one of this test binary, started by the first who asks.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(|| Self(Kafka::start().unwrap()))
    }

    pub(crate) fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new().set("bootstrap.servers", self.0.bootstrap_servers()).create().unwrap()
    }
}

/// The topics of one pipeline.
pub(crate) struct Topics {
    prefix: String,
    partitions: i32,
}

impl Topics {
    #[expect(clippy::disallowed_methods, reason = "tests share a broker, not names")]
    pub(crate) fn random(partitions: i32) -> Self {
        Self { prefix: Uuid::new_v4().simple().to_string(), partitions }
    }

    pub(crate) fn name(&self, stream: Stream) -> String {
        format!("{}.{}", self.prefix, stream.as_str())
    }

    /// Makes those that are missing.
    pub(crate) async fn make(&self, broker: &Broker) {
        let names = Stream::ALL.map(|stream| self.name(stream));
        let topics = names.iter().map(|name| {
            NewTopic::new(name, self.partitions, TopicReplication::Fixed(1))
                .set("message.timestamp.type", "LogAppendTime")
        });
        let topics: Vec<_> = topics.collect();
        for made in broker.admin().create_topics(&topics, &AdminOptions::new()).await.unwrap() {
            assert!(matches!(made, Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))), "{made:?}");
        }
    }

    pub(crate) fn settings(&self, broker: &Broker) -> KafkaSettings {
        KafkaSettings {
            bootstrap_servers: broker.0.bootstrap_servers(),
            security_protocol: SecurityProtocol::Plaintext,
            sasl_mechanism: SaslMechanism::default(),
            login: None,
            ca: None,
            group: self.prefix.clone(),
            client_id: "test".to_owned(),
            topics: Stream::ALL
                .into_iter()
                .map(|stream| (stream, self.name(stream)))
                .collect::<BTreeMap<_, _>>(),
            partitions: u32::try_from(self.partitions).unwrap(),
            timeout: Duration::from_secs(10),
        }
    }
}
