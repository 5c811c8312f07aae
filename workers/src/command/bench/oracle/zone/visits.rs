//! What records say of one space, and the visits that follow from it.

use uuid::Uuid;

use super::{Fact, Seen, Space, Stay, Told, Visit, Zone};

impl Zone<'_> {
    pub(super) fn sight(&mut self, fact: &Fact, late: bool, mark: i64) {
        let Some(number) = fact.space else { return };
        let Some(mut space) = self.spaces.get_mut(number as usize).map(std::mem::take) else { return };
        let order = (fact.time, fact.boot, fact.seq.unwrap_or(0));
        let name = |boot| self.boots.name(boot);
        let is_old = space
            .newest
            .is_some_and(|(time, boot, seq)| (order.0, name(order.1), order.2) < (time, name(boot), seq));
        if is_old {
            self.mend(&mut space, fact, mark);
        } else {
            space.newest = Some(order);
            self.follow(&mut space, fact, late, mark);
        }
        if let Some(place) = self.spaces.get_mut(number as usize) {
            *place = space;
        }
    }

    fn follow(&mut self, space: &mut Space, fact: &Fact, late: bool, mark: i64) {
        match fact.told {
            Told::Arrived => self.arrive(space, fact, false, late, mark),
            Told::Present if space.visit.is_none() => self.arrive(space, fact, true, late, mark),
            Told::Present => space.seen = Seen::Vehicle,
            Told::Left => {
                if space.visit.is_none() {
                    space.end_without_start = Some(fact.time);
                }
                self.leave(space, fact, false, late, mark);
                space.seen = Seen::Emptiness;
            }
            Told::Absent => {
                self.leave(space, fact, true, late, mark);
                space.seen = Seen::Emptiness;
            }
            _ => space.seen = Seen::Nothing,
        }
    }

    fn arrive(&mut self, space: &mut Space, fact: &Fact, guess: bool, late: bool, mark: i64) {
        self.leave(space, fact, true, late, mark);
        let session = self.session_of(fact);
        space.visit =
            Some(Visit { session, start: fact.time, start_is_guess: guess, end: 0, end_is_guess: false });
        space.end_without_start = None;
        space.seen = Seen::Vehicle;
        self.sessions += 1;
        self.stays.insert(session, Stay { start: fact.time, due: [None; 2], alerts: [None; 2] });
    }

    fn session_of(&self, fact: &Fact) -> Uuid {
        let space = fact.space.and_then(|number| self.place.spaces.get(number as usize));
        fact.session.unwrap_or_else(|| Uuid::new_v5(space.unwrap_or(&Uuid::nil()), fact.id.as_bytes()))
    }

    fn leave(&mut self, space: &mut Space, fact: &Fact, guess: bool, late: bool, mark: i64) {
        let Some(visit) = space.visit.take() else { return };
        space.last_visit = Some(Visit { end: fact.time, end_is_guess: guess, ..visit });
        self.watch_stay(visit.session, mark);
        let Some(stay) = self.stays.remove(&visit.session) else { return };
        for alert in stay.alerts.into_iter().flatten() {
            if late {
                self.ended_late.push(alert);
            } else {
                self.alerts.end(alert, self.now);
            }
        }
    }

    /// An old record puts right what was guessed of a visit.
    fn mend(&mut self, space: &mut Space, fact: &Fact, mark: i64) {
        let after_last = space.last_visit.is_none_or(|last| last.end <= fact.time);
        match fact.told {
            Told::Arrived => {
                if let Some(visit) = &mut space.visit
                    && visit.start_is_guess
                    && fact.time < visit.start
                    && after_last
                {
                    (visit.start, visit.start_is_guess) = (fact.time, false);
                    let session = visit.session;
                    self.watch_stay(session, mark);
                    if let Some(stay) = self.stays.get_mut(&session) {
                        stay.start = fact.time;
                    }
                } else if let Some(end) = space.end_without_start
                    && fact.time <= end
                    && after_last
                {
                    let session = self.session_of(fact);
                    self.sessions += 1;
                    space.end_without_start = None;
                    space.last_visit = Some(Visit {
                        session,
                        start: fact.time,
                        start_is_guess: false,
                        end,
                        end_is_guess: false,
                    });
                }
            }
            Told::Left => {
                if let Some(last) = &mut space.last_visit
                    && last.end_is_guess
                    && last.start <= fact.time
                    && fact.time < last.end
                {
                    (last.end, last.end_is_guess) = (fact.time, false);
                }
            }
            _ => {}
        }
    }
}
