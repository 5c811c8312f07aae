//! Which partition a key belongs to: Kafka's default partitioner, so that the embedded log and Kafka agree.
//!
//! Must not change: records of one zone would move to another partition and lose their order.
//! Invariant: the key of a zone is its UUID in lower-case hyphenated text.

use uuid::{Uuid, fmt::Hyphenated};

const SEED: u32 = 0x9747_b28c;
const MIX: u32 = 0x5bd1_e995;

/// The murmur2 hash as Kafka's clients compute it.
pub fn murmur2(key: &[u8]) -> u32 {
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
    let (words, tail) = key.as_chunks::<4>();
    let mut hash = SEED ^ length;
    for word in words {
        let mut part = u32::from_le_bytes(*word).wrapping_mul(MIX);
        part = (part ^ (part >> 24)).wrapping_mul(MIX);
        hash = hash.wrapping_mul(MIX) ^ part;
    }
    if !tail.is_empty() {
        let rest = tail.iter().rev().fold(0, |rest, byte| (rest << 8) | u32::from(*byte));
        hash = (hash ^ rest).wrapping_mul(MIX);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MIX);
    hash ^ (hash >> 15)
}

/// The partition of a key among `partitions`, of which there is at least one.
pub fn partition_of(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions.max(1)
}

/// The partition of a zone.
pub fn partition_of_zone(zone: Uuid, partitions: u32) -> u32 {
    let mut text = [0; Hyphenated::LENGTH];
    partition_of(zone.as_hyphenated().encode_lower(&mut text).as_bytes(), partitions)
}

/// The id in one partition of a record that stands in all of them, so that no two records share an id.
pub fn id_in_partition(id: Uuid, partition: u32) -> Uuid {
    Uuid::new_v5(&id, &partition.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_kafkas_own_tests() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn every_partition_gets_zones_and_none_lies_outside() {
        let mut seen = [0; 4];
        for number in 0..400_u128 {
            let zone = Uuid::new_v5(&Uuid::NAMESPACE_URL, &number.to_be_bytes());
            seen[partition_of_zone(zone, 4) as usize] += 1;
        }
        assert!(seen.iter().all(|zones| *zones > 60), "{seen:?}");
    }

    #[test]
    fn a_zone_is_hashed_as_its_hyphenated_text() {
        let zone = Uuid::from_u128(0x0288_5f6f_ef93_441b_9e74_4872_7938_0656);
        assert_eq!(partition_of_zone(zone, 12), partition_of(b"02885f6f-ef93-441b-9e74-487279380656", 12));
    }
}
