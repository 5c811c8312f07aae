//! What must have come of a run: told from the log of events alone, in one go, by code that shares
//! nothing with the stages but the words of the profile.
//!
//! Must not know of faults, schedules or commits: whatever happened, the answer is the same.

mod alerts;
mod lifecycle;
mod outputs;
mod read;
mod verdict;
mod zones;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
};

use bytes::Bytes;
use data_encoding::BASE64;
use parking_crds::{event::Millis, inventory::Zone};
use parking_workers::{
    domain::partitioner::partition_of_zone,
    ports::{
        event_log::{Partition, Stream},
        lake::Table,
    },
    runtime::{
        alert::{self, RuleTotals},
        occupancy::{Occupancy, Totals},
        role::RoleStage,
        stage::Stage,
    },
};

use self::{
    outputs::Output,
    verdict::{Judged, Verdict, judge},
    zones::Entry,
};
use crate::{
    script::Script,
    world::{Player, World},
};

/// Everything that is wrong with what a run left.
pub(crate) fn check(world: &World) -> Vec<String> {
    let mut wrong = Vec::new();
    let script = &world.script;
    let mut rows: BTreeMap<Table, Vec<outputs::Row>> = BTreeMap::new();
    for partition in 0..script.partitions {
        let events = world.records(Stream::Events, partition);
        wrong.extend(lost_input(script, partition, &events));
        let judged = judge(&events, &script.inventory, script.limits);
        let sessions = outputs::once(world, Stream::Sessions, partition, &mut wrong);
        let alerts = outputs::once(world, Stream::Alerts, partition, &mut wrong);
        let letters = outputs::once(world, Stream::DeadLetters, partition, &mut wrong);
        let place = Place { world, partition, judged: &judged };
        wrong.extend(place.check_letters(&letters));
        wrong.extend(place.check_sessions(&sessions));
        wrong.extend(place.check_alerts(&alerts));
        wrong.extend(place.check_state(&sessions));
        wrong.extend(place.check_alert_totals(&alerts));
        wrong.extend(place.check_positions());
        rows.entry(Table::Events).or_default().extend(outputs::event_rows(partition, &judged));
        for (table, found) in
            [(Table::Sessions, sessions), (Table::Alerts, alerts), (Table::DeadLetters, letters)]
        {
            rows.entry(table).or_default().extend(outputs::rows(partition, found));
        }
    }
    for (table, mut expected) in rows {
        expected.sort();
        let found = outputs::lake_rows(world, table, &mut wrong);
        wrong.extend(differ(&format!("rows of table {}", table.as_str()), &expected, &found));
    }
    let zones: usize = script.inventory.revisions().iter().map(|revision| revision.zones().len()).sum();
    let found = outputs::lake_rows(world, Table::Inventory, &mut wrong).len();
    wrong.extend(differ("rows of table inventory", &[zones], &[found]));
    wrong
}

/// What one of two lists has and the other has not.
fn differ<T: PartialEq + Debug>(what: &str, expected: &[T], found: &[T]) -> Option<String> {
    if expected == found {
        return None;
    }
    let missing = expected.iter().find(|item| !found.contains(item));
    let surplus = found.iter().find(|item| !expected.contains(item));
    let (wanted, came) = (expected.len(), found.len());
    Some(format!("{what}: {wanted} expected, {came} found; missing {missing:?}, not expected {surplus:?}"))
}

/// G1: what the producers were told to append stands in the log.
fn lost_input(script: &Script, partition: Partition, events: &[Bytes]) -> Option<String> {
    let there: BTreeSet<&Bytes> = events.iter().collect();
    let wanted = script.batches[partition as usize].iter().flatten();
    let lost = wanted.filter(|record| !there.contains(record)).count();
    (lost > 0).then(|| format!("partition {partition}: {lost} acknowledged records are not in the log"))
}

/// A partition and the verdicts on its records.
struct Place<'a> {
    world: &'a World,
    partition: Partition,
    judged: &'a [Judged],
}

impl Place<'_> {
    fn accepted(&self) -> impl Iterator<Item = Entry<'_>> {
        self.judged.iter().filter_map(|record| {
            let (fact, _) = record.accepted()?;
            Some(Entry { offset: record.offset, fact })
        })
    }

    fn differ<T: PartialEq + Debug>(&self, what: &str, expected: &[T], found: &[T]) -> Option<String> {
        differ(&format!("partition {}, {what}", self.partition), expected, found)
    }

    fn zones(&self) -> impl Iterator<Item = &Zone> {
        let script = &self.world.script;
        let here = |zone: &&Zone| partition_of_zone(zone.id, script.partitions) == self.partition;
        script.inventory.latest().zones().iter().filter(here)
    }

    fn check_letters(&self, found: &[Output]) -> Option<String> {
        let expected: Vec<_> = self
            .judged
            .iter()
            .filter_map(|record| match record.verdict {
                Verdict::Dead(reason) => {
                    Some((record.offset, reason.as_str().to_owned(), BASE64.encode(&record.bytes)))
                }
                _ => None,
            })
            .collect();
        let text = |output: &Output, field: &str| output.json[field].as_str().unwrap_or_default().to_owned();
        let found: Vec<_> = found
            .iter()
            .map(|output| (output.origin.0, text(output, "reason"), text(output, "bytes")))
            .collect();
        self.differ("dead letters", &expected, &found)
    }

    fn check_sessions(&self, found: &[Output]) -> Vec<String> {
        let mut expected: Vec<_> =
            self.stays().into_iter().map(|(zone, stay)| outputs::stay(zone, &stay)).collect();
        expected.sort();
        let mut revisions: BTreeMap<String, Vec<&Output>> = BTreeMap::new();
        for output in found {
            let session = output.json["session_id"].as_str().unwrap_or_default();
            revisions.entry(session.to_owned()).or_default().push(output);
        }
        let mut wrong = Vec::new();
        let mut latest = Vec::new();
        for (session, told) in revisions {
            let numbers: Vec<_> = told.iter().filter_map(|output| output.json["revision"].as_u64()).collect();
            let wanted: Vec<_> = (0..told.len() as u64).collect();
            wrong.extend(self.differ(&format!("revisions of session {session}"), &wanted, &numbers));
            latest.extend(told.last().map(|output| outputs::told_stay(output)));
        }
        latest.sort();
        wrong.extend(self.differ("sessions", &expected, &latest));
        wrong
    }

    fn stays(&self) -> Vec<(uuid::Uuid, zones::Stay)> {
        let of_zone = |zone: &Zone| {
            let entries: Vec<_> = self.accepted().filter(|entry| entry.fact.zone == Some(zone.id)).collect();
            zones::stays(zone, &entries).into_iter().map(|stay| (zone.id, stay)).collect::<Vec<_>>()
        };
        self.zones().flat_map(of_zone).collect()
    }

    fn check_alerts(&self, found: &[Output]) -> Option<String> {
        let expected = alerts::alerts(self.judged, self.zones());
        let mut expected: Vec<_> = expected.iter().map(outputs::alert).collect();
        expected.sort();
        let mut found: Vec<_> = found.iter().map(outputs::told_alert).collect();
        found.sort();
        self.differ("alerts", &expected, &found)
    }

    /// The state in the store, taken back by a fresh stage: totals and how every zone stands.
    fn check_state(&self, sessions: &[Output]) -> Vec<String> {
        let mut wrong = Vec::new();
        let script = &self.world.script;
        let mut stage = RoleStage::new(script.limits, &script.inventory, Occupancy::default());
        if let Err(error) =
            stage.restore(&self.world.blocks(self.world.role_of(Player::Occupancy), self.partition))
        {
            return vec![format!("partition {}: the state cannot be taken back: {error}", self.partition)];
        }
        let (expected, found) = (self.totals(), stage.duty().totals().clone());
        let letters = |totals: &Totals| totals.dead_letters.clone().into_iter().collect::<Vec<_>>();
        wrong.extend(self.differ("totals of dead letters", &letters(&expected), &letters(&found)));
        wrong.extend(self.differ("totals", &[expected], &[found]));
        let watermark = self.judged.last().and_then(|record| record.watermark);
        wrong.extend(self.differ("watermark", &[watermark], &[stage.watermark()]));
        let Some(watermark) = watermark else { return wrong };
        for zone in self.zones() {
            let entries: Vec<_> = self.accepted().filter(|entry| entry.fact.zone == Some(zone.id)).collect();
            let expected = Some(zones::view(zone, &entries, watermark));
            let found = stage.tracker().view(zone.id, watermark);
            wrong.extend(self.differ(&format!("zone {}", zone.user_zone_id), &[expected], &[found]));
        }
        let started = sessions.iter().filter(|output| output.json["revision"] == 0).count() as u64;
        wrong.extend(self.differ("sessions begun", &[stage.duty().totals().sessions], &[started]));
        wrong
    }

    fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        let mut zones = BTreeSet::new();
        for record in self.judged {
            totals.read += u64::from(!matches!(record.verdict, Verdict::Tick | Verdict::InputEnded));
            match record.verdict {
                Verdict::Accepted { late } => {
                    totals.accepted += 1;
                    totals.late += u64::from(late);
                    zones.insert(record.fact.as_ref().and_then(|fact| fact.zone));
                }
                Verdict::Duplicate => totals.duplicates += 1,
                Verdict::Dead(reason) => *totals.dead_letters.entry(reason).or_default() += 1,
                Verdict::Tick | Verdict::InputEnded => {}
            }
        }
        totals.zones = zones.len() as u64;
        totals.sessions = self.stays().len() as u64;
        totals
    }

    fn check_alert_totals(&self, found: &[Output]) -> Option<String> {
        let mut expected: BTreeMap<String, RuleTotals> = BTreeMap::new();
        for output in found {
            let name =
                output.json["rule"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default();
            let totals = expected.entry(name.to_owned()).or_default();
            totals.resolved += u64::from(output.json["state"] == "resolved");
            totals.fired += u64::from(output.json["generation"] == 1);
        }
        let blocks = self.world.blocks(self.world.role_of(Player::Alert), self.partition);
        let stored = blocks.iter().find(|(key, _)| *key == alert::TOTALS_BLOCK);
        let stored = stored.map(|(_, bytes)| {
            let (totals, _): (BTreeMap<String, RuleTotals>, Option<Millis>) =
                postcard::from_bytes(bytes).unwrap();
            totals
        });
        self.differ("totals of alerts", &[Some(expected)], &[stored])
    }

    fn check_positions(&self) -> Vec<String> {
        let mut watermark = self.judged.iter().filter_map(|record| record.watermark).max();
        let ends = self.judged.iter().filter(|record| record.verdict == Verdict::InputEnded);
        let ended = ends.filter_map(|record| Some(outputs::end_of_day(record.fact.as_ref()?.time))).max();
        watermark = watermark.max(ended);
        let mut wrong = Vec::new();
        let tables = [
            (Table::Events, Stream::Events),
            (Table::Sessions, Stream::Sessions),
            (Table::Alerts, Stream::Alerts),
            (Table::DeadLetters, Stream::DeadLetters),
        ];
        for (table, stream) in tables {
            let length = self.world.records(stream, self.partition).len() as u64;
            let position = self.world.position(table, self.partition);
            let what = format!("position of table {}", table.as_str());
            let last = position.map(|position| position.last_offset);
            wrong.extend(self.differ(&what, &[length.checked_sub(1)], &[last]));
            if table == Table::Events || ended.is_some() {
                let found = position.and_then(|position| position.watermark);
                wrong.extend(self.differ(&format!("watermark in the {what}"), &[watermark], &[found]));
            }
        }
        wrong
    }
}
