//! Checked names: whoever holds one of these types need not check it again.
//!
//! Must not: derive names from specs (see `topology`) or touch the network.
//! Invariants: the parser of each type accepts exactly what its schema pattern accepts.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

/// The text is not a name of the wanted kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {kind}: {expected}, such as `{example}`")]
pub struct NameError {
    kind: &'static str,
    expected: &'static str,
    example: &'static str,
    text: String,
}

macro_rules! checked_name {
    (
        $(#[$doc:meta])*
        $name:ident, $kind:literal, length $min:literal..=$max:literal, $accepts:path,
        pattern $pattern:literal, expected $expected:literal, example $example:literal
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The shortest allowed length, in bytes.
            pub const MIN_LENGTH: usize = $min;
            /// The longest allowed length, in bytes.
            pub const MAX_LENGTH: usize = $max;
            /// The pattern that the API server applies.
            pub const PATTERN: &'static str = $pattern;
            /// A valid example.
            pub const EXAMPLE: &'static str = $example;

            /// A name made of checked parts, whose validity the property tests of `topology` show.
            #[allow(dead_code, reason = "only some names are derived from others")]
            pub(crate) fn derived(text: String) -> Self {
                debug_assert!(text.parse::<Self>().is_ok(), "{text}");
                Self(text)
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                if (Self::MIN_LENGTH..=Self::MAX_LENGTH).contains(&text.len()) && $accepts(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(NameError {
                        kind: $kind,
                        expected: $expected,
                        example: $example,
                        text: text.to_owned(),
                    })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "pattern": Self::PATTERN,
                    "minLength": Self::MIN_LENGTH,
                    "maxLength": Self::MAX_LENGTH,
                })
            }
        }
    };
}

checked_name! {
    /// Name of a namespace, a DNS label.
    Namespace, "namespace", length 1..=63, is_dns_label,
    pattern "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
    expected "lower case letters, digits and inner dashes, at most 63", example "parking"
}

checked_name! {
    /// Name of a ParkingPipeline: short enough that every name derived from it is valid.
    PipelineName, "pipeline name", length 1..=36, is_service_label,
    pattern "^[a-z]([-a-z0-9]*[a-z0-9])?$",
    expected "a lower case letter, then letters, digits and inner dashes, at most 36", example "city"
}

checked_name! {
    /// Name of a StatsJob: short enough for the Jobs that run it.
    JobName, "statistics job name", length 1..=40, is_service_label,
    pattern "^[a-z]([-a-z0-9]*[a-z0-9])?$",
    expected "a lower case letter, then letters, digits and inner dashes, at most 40", example "hourly"
}

checked_name! {
    /// Name of an AlertRule; also a label value.
    RuleName, "rule name", length 1..=63, is_service_label,
    pattern "^[a-z]([-a-z0-9]*[a-z0-9])?$",
    expected "a lower case letter, then letters, digits and inner dashes, at most 63", example "zone-full"
}

checked_name! {
    /// Name of any Kubernetes object, a DNS subdomain.
    ObjectName, "object name", length 1..=253, is_dns_subdomain,
    pattern r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    expected "lower case letters, digits, inner dashes and dots, at most 253", example "city-inventory"
}

checked_name! {
    /// Key within the data of a ConfigMap or Secret.
    DataKey, "data key", length 1..=253, is_data_key,
    pattern "^[-._a-zA-Z0-9]+$",
    expected "letters, digits, dashes, dots and underscores, at most 253", example "inventory.yaml"
}

checked_name! {
    /// Name of a notification route within its pipeline.
    RouteName, "route name", length 1..=63, is_dns_label,
    pattern "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
    expected "lower case letters, digits and inner dashes, at most 63", example "ops"
}

checked_name! {
    /// Class of a zone or space, as the inventory names it.
    ClassName, "class", length 1..=63, is_dns_label,
    pattern "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
    expected "lower case letters, digits and inner dashes, at most 63", example "disabled"
}

checked_name! {
    /// Name of a table or of a query's result, an SQL identifier.
    TableName, "table name", length 1..=63, is_identifier,
    pattern "^[a-z][a-z0-9_]*$",
    expected "a lower case letter, then letters, digits and underscores, at most 63", example "hourly"
}

checked_name! {
    /// Name of an S3 bucket.
    BucketName, "bucket name", length 3..=63, is_dns_label,
    pattern "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
    expected "3 to 63 lower case letters, digits and inner dashes", example "city-lake"
}

checked_name! {
    /// Name of a Kafka topic, or of the stream in the embedded log.
    TopicName, "topic name", length 1..=249, is_kafka_name,
    pattern "^[-._a-zA-Z0-9]+$",
    expected "letters, digits, dots, dashes and underscores, at most 249", example "parking.city.events"
}

checked_name! {
    /// Name of a Kafka consumer group.
    GroupName, "consumer group", length 1..=249, is_kafka_name,
    pattern "^[-._a-zA-Z0-9]+$",
    expected "letters, digits, dots, dashes and underscores, at most 249", example "parking.city.occupancy"
}

checked_name! {
    /// Name of a KafkaUser: it becomes the common name of a certificate, hence the limit.
    UserName, "user name", length 1..=64, is_dns_subdomain,
    pattern r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    expected "lower case letters, digits, inner dashes and dots, at most 64", example "city-occupancy-0f3a9c41d2"
}

checked_name! {
    /// Name of a workload whose pods carry it as a label with a hash appended.
    WorkloadName, "workload name", length 1..=52, is_service_label,
    pattern "^[a-z]([-a-z0-9]*[a-z0-9])?$",
    expected "a lower case letter, then letters, digits and inner dashes, at most 52", example "city-occupancy"
}

checked_name! {
    /// Prefix of the keys of one pipeline in a shared store or bucket; ends with its separator.
    KeyPrefix, "key prefix", length 2..=128, is_key_prefix,
    pattern "^[a-z0-9][-./:{}a-z0-9]*[/:]$",
    expected "lower case letters, digits, dashes, dots and separators, ending with / or :",
    example "parking/city/"
}

fn lower_or_digit(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn is_dns_label(text: &str) -> bool {
    let inner = text.bytes().all(|b| lower_or_digit(b) || b == b'-');
    inner && !text.is_empty() && !text.starts_with('-') && !text.ends_with('-')
}

fn is_service_label(text: &str) -> bool {
    is_dns_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())
}

fn is_dns_subdomain(text: &str) -> bool {
    text.split('.').all(is_dns_label)
}

fn is_kafka_name(text: &str) -> bool {
    is_data_key(text) && text != "." && text != ".."
}

fn is_data_key(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase()) && text.bytes().all(|b| lower_or_digit(b) || b == b'_')
}

fn is_key_prefix(text: &str) -> bool {
    text.bytes().all(|b| lower_or_digit(b) || b"-./:{}".contains(&b))
        && text.bytes().next().is_some_and(lower_or_digit)
        && text.ends_with(['/', ':'])
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, string::string_regex};

    use super::*;

    macro_rules! name_tests {
        ($($module:ident $name:ident),+ $(,)?) => {$(
            mod $module {
                use super::*;

                #[test]
                fn accepts_its_own_example() {
                    assert_eq!($name::EXAMPLE.parse::<$name>().unwrap().as_str(), $name::EXAMPLE);
                }

                #[test]
                fn refuses_a_name_that_is_too_long() {
                    let long = "a".repeat($name::MAX_LENGTH + 1);
                    assert!(long.parse::<$name>().is_err());
                }

                proptest! {
                    #[test]
                    fn accepts_what_its_pattern_accepts(
                        text in string_regex($name::PATTERN.trim_matches(['^', '$'])).unwrap()
                    ) {
                        let fits = ($name::MIN_LENGTH..=$name::MAX_LENGTH).contains(&text.len());
                        let dots = text == "." || text == "..";
                        prop_assert_eq!(text.parse::<$name>().is_ok(), fits && !(dots && $name::MAX_LENGTH == 249));
                    }

                    #[test]
                    fn refuses_foreign_characters(prefix in "[a-z]{1,3}", foreign in "[ A-Z_@!é\n]", suffix in "[a-z]{0,3}") {
                        let text = format!("{prefix}{foreign}{suffix}");
                        let allowed = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                            && ($name::PATTERN.contains("A-Z") || $name::PATTERN.contains('_') && foreign == "_");
                        prop_assert_eq!(text.parse::<$name>().is_ok(), allowed);
                    }
                }
            }
        )+};
    }

    name_tests! {
        namespace Namespace, pipeline_name PipelineName, job_name JobName, rule_name RuleName,
        object_name ObjectName, data_key DataKey, route_name RouteName, class_name ClassName,
        table_name TableName, bucket_name BucketName, topic_name TopicName, group_name GroupName,
        user_name UserName, workload_name WorkloadName, key_prefix KeyPrefix,
    }

    #[test]
    fn the_error_names_kind_rule_and_example() {
        let error = "City".parse::<PipelineName>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`City` is not a valid pipeline name: a lower case letter, then letters, digits and inner dashes, at most 36, such as `city`"
        );
    }
}
