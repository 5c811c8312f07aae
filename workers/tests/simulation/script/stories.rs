//! The stories of a space, a zone or a device.

use parking_crds::event::Millis;
use uuid::Uuid;

use super::{Author, Delivery, HOUR, MINUTE};
use crate::{letters, record::RecordText};

impl Author {
    pub(super) fn story_of_a_space(&mut self, site: usize, spot: usize) {
        let occupied = self.sites[site].spots[spot].occupied;
        match self.chance.below(12) {
            0..=3 => self.tell(site, spot, if occupied { "park_end" } else { "park_start" }, 0),
            4..=5 => self.tell(site, spot, if occupied { "park_start" } else { "park_end" }, 0),
            6 => self.late_departure(site, spot),
            7 => self.late_arrival(site, spot, "park_end"),
            8 => self.late_arrival(site, spot, "report_full"),
            9 => {
                self.tell(site, spot, "comms_lost", 0);
                self.pass(site, spot);
                self.tell(site, spot, "comms_restored", 0);
                self.pass(site, spot);
                let seen = if self.chance.hits(500) { "report_full" } else { "report_empty" };
                self.tell(site, spot, seen, 0);
            }
            10 => {
                let seen = if self.chance.hits(500) { "report_full" } else { "report_empty" };
                self.tell(site, spot, seen, 0);
            }
            _ => self.restart_or_retire(site, spot),
        }
    }

    /// Two arrivals, and then the departure between them.
    fn late_departure(&mut self, site: usize, spot: usize) {
        self.tell(site, spot, "park_start", 0);
        self.pass(site, spot);
        let mut departure = self.compose(site, spot, "park_end");
        self.pass(site, spot);
        self.tell(site, spot, "park_start", 0);
        self.hand_in(site, spot, &mut departure);
    }

    /// Something that shows that an arrival was missed, and then the arrival.
    fn late_arrival(&mut self, site: usize, spot: usize, shown_by: &str) {
        if self.sites[site].spots[spot].occupied {
            self.tell(site, spot, "report_empty", 0);
            self.pass(site, spot);
        }
        let mut arrival = self.compose(site, spot, "park_start");
        self.pass(site, spot);
        self.tell(site, spot, shown_by, 0);
        self.hand_in(site, spot, &mut arrival);
    }

    fn restart_or_retire(&mut self, site: usize, spot: usize) {
        if let Some((boot, seq)) = &mut self.sites[site].spots[spot].sender.numbers
            && *boot < 3
        {
            (*boot, *seq) = (*boot + 1, 0);
        }
        let what = if self.chance.hits(300) { "decommissioned" } else { "report_plain" };
        self.tell(site, spot, what, 0);
    }

    pub(super) fn story_of_a_count(&mut self, site: usize, spot: usize) {
        let capacity = self.sites[site].capacity;
        match self.chance.below(10) {
            0 => self.tell(site, spot, "comms_lost", 0),
            1 => {
                let mut old = self.compose_count(site, spot);
                self.pass(site, spot);
                self.count(site, spot);
                self.hand_in(site, spot, &mut old);
            }
            2 => {
                let occupied = self.chance.between(0, capacity + 1);
                let at = self.sites[site].spots[spot].now;
                let id = self.chance.uuid();
                let zone = self.sites[site].zone;
                let record = RecordText::companion("count.corrected", id, at, zone)
                    .with("occupied", &occupied.to_string());
                self.deliver(self.sites[site].partition, at, record, true);
            }
            _ => self.count(site, spot),
        }
    }

    fn count(&mut self, site: usize, spot: usize) {
        let record = self.compose_count(site, spot);
        let at = self.sites[site].spots[spot].now;
        self.deliver(self.sites[site].partition, at, record, true);
    }

    fn compose_count(&mut self, site: usize, spot: usize) -> RecordText {
        let occupied = self.chance.between(0, self.sites[site].capacity + 2);
        self.compose(site, spot, "scheduled_report").counting(occupied)
    }

    /// Something beside the stories.
    pub(super) fn aside(&mut self, site: usize, spot: usize) {
        let (zone, partition) = (self.sites[site].zone, self.sites[site].partition);
        let at = self.sites[site].spots[spot].now + self.chance.between(0, 20_000);
        let id = self.chance.uuid();
        let space = self.sites[site].spots[spot].space.unwrap_or(zone);
        match self.chance.below(8) {
            0 => self.switch(site, at, "zone.closed", "closed", None),
            1 => self.switch(site, at, "space.out_of_service", "out_of_service", Some(space)),
            2 => {
                let tick = RecordText::control("tick", id, at);
                self.deliver(partition, at, tick, true);
            }
            3 => {
                let letter = letters::unusable(&mut self.chance, zone, at);
                self.timelines[partition].open.push(Delivery { at, bytes: letter, harmless: true });
            }
            4 => {
                let record =
                    RecordText::event("enter_area", id, at, zone, space, None).published(at - 100_000);
                self.deliver(partition, at, record, true);
            }
            5 => {
                let early = at - self.chance.between(MINUTE, 3 * HOUR);
                let record = RecordText::event("exit_area", id, early, zone, space, None).replayed();
                self.deliver(partition, at, record, true);
            }
            6 => {
                let record = RecordText::companion("payment.captured", id, at, zone)
                    .with("payment_id", &format!("\"{id}\""))
                    .with("amount", "250");
                self.deliver(partition, at, record, true);
            }
            _ => {
                let mut sender = self.sites[site].spots[spot].sender.clone();
                let numbered = sender.next();
                self.sites[site].spots[spot].sender = sender.clone();
                let kind = if self.chance.hits(500) { "scheduled_report" } else { "comms_restored" };
                let record = RecordText::event(kind, id, at, zone, sender.device, numbered);
                let record = if self.chance.hits(200) { record.offline() } else { record };
                self.deliver(partition, at, record, true);
            }
        }
    }

    /// Something goes off and on again; what came first may reach the log last.
    fn switch(&mut self, site: usize, at: Millis, kind: &str, field: &str, space: Option<Uuid>) {
        let (zone, partition) = (self.sites[site].zone, self.sites[site].partition);
        let back = at + self.chance.between(10_000, 8 * MINUTE);
        let swapped = self.chance.hits(300);
        for (time, off) in [(at, true), (back, false)] {
            let id = self.chance.uuid();
            let mut record = RecordText::companion(kind, id, time, zone).with(field, &off.to_string());
            if let Some(space) = space {
                record = record.with("curb_space_id", &format!("\"{space}\""));
            }
            let delivered = if swapped && off { back + self.chance.between(1, MINUTE) } else { time };
            self.deliver(partition, delivered, record, true);
        }
    }

    fn pass(&mut self, site: usize, spot: usize) {
        let length = self.chance.between(1_000, 4 * MINUTE);
        self.sites[site].spots[spot].now += length;
    }
}
