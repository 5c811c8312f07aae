//! What a replica does next about the Lease: pure, told the time and what was seen.

use std::time::Duration;

use crate::monotonic::Instant;

/// The longest duration that is believed of another's Lease.
const LONGEST_LEASE: Duration = Duration::from_mins(5);

/// The terms of the election.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Who this process is; never used by another process, nor by an earlier life of this one.
    pub identity: String,
    /// How long a Lease lasts after its renewal.
    pub duration: Duration,
    /// How long before its end its holder gives up.
    pub margin: Duration,
    /// Pause between renewals.
    pub renew: Duration,
    /// Pause between two looks of a standby.
    pub look: Duration,
    /// Pause after a failure of the holder.
    pub retry: Duration,
    /// How long one request may take.
    pub request: Duration,
}

impl Terms {
    /// Lease 10 s, renewed every 3 s, looked at every second.
    pub fn new(identity: impl Into<String>) -> Self {
        Self {
            identity: identity.into(),
            duration: Duration::from_secs(10),
            margin: Duration::from_secs(1),
            renew: Duration::from_secs(3),
            look: Duration::from_secs(1),
            retry: Duration::from_millis(500),
            request: Duration::from_secs(2),
        }
    }
}

/// The Lease as the API server showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseSeen {
    /// Its version.
    pub resource_version: String,
    /// Who holds it; nobody after a release.
    pub holder: Option<String>,
    /// How long its holder said that it lasts.
    pub duration: Duration,
    /// How often it has changed hands.
    pub transitions: i32,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing before that instant.
    Wait(Instant),
    /// Read the Lease.
    Look,
    /// Create the Lease: there is none.
    Create,
    /// Take or renew the Lease, if it still is as it was seen.
    Hold(LeaseSeen),
    /// The leadership is lost.
    Leave,
}

/// What is known of the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Known {
    Nothing,
    Absent { vacant: Instant },
    Present { seen: LeaseSeen, since: Instant },
}

/// A replica in the election.
#[derive(Clone, Debug)]
pub struct Candidate {
    terms: Terms,
    known: Known,
    /// What is known is to be acted upon; else it is looked at again first.
    fresh: bool,
    next: Option<Instant>,
    until: Option<Instant>,
}

impl Candidate {
    /// A replica that has seen nothing yet.
    pub const fn new(terms: Terms) -> Self {
        Self { terms, known: Known::Nothing, fresh: false, next: None, until: None }
    }

    /// Whether it holds the Lease, as far as it knows.
    pub const fn leads(&self) -> bool {
        self.until.is_some()
    }

    /// Until when it leads.
    pub const fn until(&self) -> Option<Instant> {
        self.until
    }

    /// The Lease as last seen, if this replica is its holder.
    pub fn own(&self) -> Option<&LeaseSeen> {
        match &self.known {
            Known::Present { seen, .. } if seen.holder.as_ref() == Some(&self.terms.identity) => Some(seen),
            _ => None,
        }
    }

    /// When a request that begins now is given up: within its time, and never after the leadership's end.
    pub fn request_ends(&self, now: Instant) -> Instant {
        let end = now + self.terms.request;
        self.until.map_or(end, |until| end.min(until))
    }

    /// What to do now.
    pub fn decide(&self, now: Instant) -> Action {
        if self.until.is_some_and(|until| now >= until) {
            return Action::Leave;
        }
        if let Some(next) = self.next.filter(|next| *next > now) {
            return Action::Wait(self.until.map_or(next, |until| next.min(until)));
        }
        if !self.fresh {
            return Action::Look;
        }
        match &self.known {
            Known::Nothing => Action::Look,
            Known::Absent { vacant } if now < *vacant => Action::Look,
            Known::Absent { .. } => Action::Create,
            Known::Present { seen, since } => self.judge(seen, *since, now),
        }
    }

    fn judge(&self, seen: &LeaseSeen, since: Instant, now: Instant) -> Action {
        match &seen.holder {
            Some(holder) if *holder == self.terms.identity => Action::Hold(seen.clone()),
            _ if self.leads() => Action::Leave,
            Some(_) if now < since + self.lasts(seen) => Action::Look,
            Some(_) | None => Action::Hold(seen.clone()),
        }
    }

    fn lasts(&self, seen: &LeaseSeen) -> Duration {
        self.terms.duration.max(seen.duration.min(LONGEST_LEASE))
    }

    /// The Lease was read; it may be absent.
    pub fn saw(&mut self, seen: Option<LeaseSeen>, received: Instant) {
        self.known = match (seen, &self.known) {
            (None, Known::Absent { vacant }) => Known::Absent { vacant: *vacant },
            // Whoever held the Lease that someone deleted may have renewed it a moment before.
            (None, Known::Present { seen, .. }) if seen.holder.is_some() && !self.leads() => {
                Known::Absent { vacant: received + self.lasts(seen) }
            }
            (None, _) => Known::Absent { vacant: received },
            (Some(seen), Known::Present { seen: before, since })
                if before.resource_version == seen.resource_version =>
            {
                Known::Present { seen, since: *since }
            }
            (Some(seen), _) => Known::Present { seen, since: received },
        };
        self.fresh = true;
        self.next = None;
        if self.decide(received) == Action::Look {
            self.fresh = false;
            self.next = Some(received + self.terms.look);
        }
    }

    /// The Lease was written for this replica by a request sent at that instant.
    pub fn held(&mut self, held: LeaseSeen, sent: Instant) {
        let renewed = !matches!(
            &self.known,
            Known::Present { seen, .. } if seen.resource_version == held.resource_version
        );
        // An API server that sees no change keeps the version: the others did not see a renewal either.
        if renewed {
            self.until = Some(sent + self.terms.duration.saturating_sub(self.terms.margin));
        }
        self.known = Known::Present { seen: held, since: sent };
        self.fresh = true;
        self.next = Some(sent + if renewed { self.terms.renew } else { self.terms.retry });
    }

    /// A request failed, was refused or got no answer: nobody knows what became of it.
    pub fn failed(&mut self, now: Instant) {
        self.fresh = false;
        self.next = Some(now + if self.leads() { self.terms.retry } else { self.terms.look });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monotonic;

    fn lease(version: u32, holder: Option<&str>) -> LeaseSeen {
        LeaseSeen {
            resource_version: version.to_string(),
            holder: holder.map(str::to_owned),
            duration: Duration::from_secs(10),
            transitions: 0,
        }
    }

    fn after(start: Instant, seconds: f64) -> Instant {
        start + Duration::from_secs_f64(seconds)
    }

    fn candidate() -> (Candidate, Instant) {
        (Candidate::new(Terms::new("me")), monotonic::now())
    }

    #[test]
    fn an_absent_lease_is_created_and_a_released_one_is_taken_at_once() {
        let (mut me, start) = candidate();
        assert_eq!(me.decide(start), Action::Look);
        me.saw(None, start);
        assert_eq!(me.decide(start), Action::Create);
        me.saw(Some(lease(1, None)), start);
        assert_eq!(me.decide(start), Action::Hold(lease(1, None)));
    }

    #[test]
    fn the_lease_of_another_is_over_only_after_it_was_seen_unchanged_for_its_duration() {
        let (mut me, start) = candidate();
        for second in 0..10 {
            let now = after(start, f64::from(second));
            assert_eq!(me.decide(now), Action::Look);
            me.saw(Some(lease(1, Some("other"))), now);
            assert_eq!(me.decide(now), Action::Wait(after(now, 1.0)));
        }
        me.saw(Some(lease(1, Some("other"))), after(start, 10.0));
        assert_eq!(me.decide(after(start, 10.0)), Action::Hold(lease(1, Some("other"))));
        me.saw(Some(lease(2, Some("other"))), after(start, 11.0));
        assert_eq!(me.decide(after(start, 12.0)), Action::Look);
    }

    #[test]
    fn a_longer_lease_of_another_is_respected_within_bounds() {
        let (mut me, start) = candidate();
        let long = LeaseSeen { duration: Duration::from_secs(40), ..lease(1, Some("other")) };
        me.saw(Some(long.clone()), start);
        me.saw(Some(long.clone()), after(start, 39.0));
        assert_eq!(me.decide(after(start, 40.0)), Action::Look);
        me.saw(Some(long.clone()), after(start, 40.0));
        assert_eq!(me.decide(after(start, 40.0)), Action::Hold(long));
        let endless = LeaseSeen { duration: Duration::from_hours(9000), ..lease(2, Some("other")) };
        me.saw(Some(endless.clone()), after(start, 50.0));
        me.saw(Some(endless.clone()), after(start, 351.0));
        assert_eq!(me.decide(after(start, 351.0)), Action::Hold(endless));
    }

    #[test]
    fn a_deleted_lease_is_not_taken_before_its_holder_gave_up() {
        let (mut me, start) = candidate();
        me.saw(Some(lease(1, Some("other"))), start);
        me.saw(None, after(start, 5.0));
        assert_eq!(me.decide(after(start, 5.0)), Action::Wait(after(start, 6.0)));
        me.saw(None, after(start, 15.0));
        assert_eq!(me.decide(after(start, 15.0)), Action::Create);
    }

    #[test]
    fn leadership_counts_from_before_the_request() {
        let (mut me, start) = candidate();
        me.held(lease(1, Some("me")), start);
        assert_eq!(me.until(), Some(after(start, 9.0)));
        assert_eq!(me.decide(after(start, 1.0)), Action::Wait(after(start, 3.0)));
        assert_eq!(me.decide(after(start, 3.0)), Action::Hold(lease(1, Some("me"))));
        assert_eq!(me.decide(after(start, 9.0)), Action::Leave);
    }

    #[test]
    fn an_answer_without_a_new_version_renews_nothing() {
        let (mut me, start) = candidate();
        me.held(lease(1, Some("me")), start);
        me.held(lease(1, Some("me")), after(start, 3.0));
        assert_eq!(me.until(), Some(after(start, 9.0)));
    }

    #[test]
    fn a_lost_answer_is_looked_up_and_the_lease_renewed() {
        let (mut me, start) = candidate();
        me.held(lease(1, Some("me")), start);
        me.failed(after(start, 5.0));
        assert_eq!(me.decide(after(start, 5.1)), Action::Wait(after(start, 5.5)));
        assert_eq!(me.decide(after(start, 5.5)), Action::Look);
        me.saw(Some(lease(2, Some("me"))), after(start, 5.6));
        assert_eq!(me.decide(after(start, 5.6)), Action::Hold(lease(2, Some("me"))));
    }

    #[test]
    fn a_lease_in_other_hands_ends_the_leadership() {
        let (mut me, start) = candidate();
        me.held(lease(1, Some("me")), start);
        me.saw(Some(lease(2, Some("other"))), after(start, 1.0));
        assert_eq!(me.decide(after(start, 1.0)), Action::Leave);
        me.saw(Some(lease(3, None)), after(start, 1.0));
        assert_eq!(me.decide(after(start, 1.0)), Action::Leave);
    }
}
