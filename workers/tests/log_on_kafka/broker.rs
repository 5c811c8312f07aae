//! A broker that all tests share, and topics that belong to one of them.

use std::{collections::BTreeMap, sync::OnceLock, time::Duration};

use parking_crds::pipeline::{GroupProtocol, SaslMechanism, SecurityProtocol};
use parking_e2e::{
    kafka::{Kafka, SecuredListener},
    proxy::Proxy,
};
use parking_workers::{adapters::kafka::KafkaSettings, ports::event_log::Stream};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    error::RDKafkaErrorCode,
};
use uuid::Uuid;

use crate::topology;

pub(crate) struct Broker(Kafka);

impl Broker {
    /// The one of this test binary, started by the first who asks.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(|| Self(Kafka::start().unwrap()))
    }

    /// One that nobody else uses.
    pub(crate) fn own() -> Self {
        Self(Kafka::start().unwrap())
    }

    /// One of its own that can also be reached encrypted.
    pub(crate) fn secured() -> (Self, SecuredListener) {
        let (kafka, listener) = Kafka::start_secured().unwrap();
        (Self(kafka), listener)
    }

    /// One of its own, and the proxy that workers reach it through.
    pub(crate) fn behind_proxy() -> (Self, Proxy) {
        let (kafka, proxy) = Kafka::start_behind_proxy().unwrap();
        (Self(kafka), proxy)
    }

    pub(crate) fn server(&mut self) -> &mut Kafka {
        &mut self.0
    }

    pub(crate) fn client(&self) -> ClientConfig {
        ClientConfig::new().set("bootstrap.servers", self.0.bootstrap_servers()).clone()
    }

    pub(crate) fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap()
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

    /// Makes those that are missing, as the topology of a pipeline wants them.
    pub(crate) async fn make(&self, broker: &Broker) {
        self.make_with(broker, &topology::topic_settings()).await;
    }

    /// Makes those that are missing with settings of the test's own.
    pub(crate) async fn make_with(&self, broker: &Broker, settings: &BTreeMap<String, String>) {
        let names = Stream::ALL.map(|stream| self.name(stream));
        let mut topics = Vec::with_capacity(names.len());
        for name in &names {
            let topic = NewTopic::new(name, self.partitions, TopicReplication::Fixed(1));
            topics.push(settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value)));
        }
        for made in broker.admin().create_topics(&topics, &AdminOptions::new()).await.unwrap() {
            assert!(matches!(made, Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))), "{made:?}");
        }
        self.until_known(broker).await;
    }

    /// The controller answers for them before the broker knows them.
    #[expect(clippy::disallowed_methods, reason = "a broker tells nobody when it learns of a topic")]
    async fn until_known(&self, broker: &Broker) {
        let admin = broker.admin();
        for name in Stream::ALL.map(|stream| self.name(stream)) {
            let is_known = || {
                let metadata = admin.inner().fetch_metadata(Some(&name), Duration::from_secs(10)).unwrap();
                let topic = &metadata.topics()[0];
                topic.error().is_none() && topic.partitions().iter().all(|partition| partition.leader() >= 0)
            };
            while !is_known() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Deletes all, and waits until they are gone.
    pub(crate) async fn delete(&self, broker: &Broker) {
        let names = Stream::ALL.map(|stream| self.name(stream));
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        for deleted in broker.admin().delete_topics(&names, &AdminOptions::new()).await.unwrap() {
            deleted.unwrap();
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
            group_protocol: GroupProtocol::default(),
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
