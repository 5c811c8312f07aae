//! What the world does to tasks, stores and clocks between two steps.

use std::rc::Rc;

use parking_crds::duration::Duration;
use parking_workers::ports::{clock::Clock as _, event_log::Partition};

use super::{Actor, OWNERS, Schedule};
use crate::faults::{FaultKind, Mischief};

const MOST_ROLL_BACKS: u64 = 2;
const MOST_CLAIM_ROLL_BACKS: u64 = 3;
const MOST_FLUSHES: u64 = 2;

impl Schedule<'_> {
    pub(super) fn make_mischief(&mut self) {
        self.roll_back_claim();
        let Some(mischief) = Mischief::of(self.chance.below(1_000)) else { return };
        match mischief {
            Mischief::Crash => {
                let index = self.chance.index(self.actors.len());
                self.crash(index);
                self.world.trace.struck(FaultKind::Crash, 1);
            }
            Mischief::CrashProcess => self.crash_process(),
            Mischief::Freeze => {
                let index = self.chance.index(self.actors.len());
                self.actors[index].frozen_until = self.step.get() + 50 + self.chance.below(600);
            }
            Mischief::HandOver => self.hand_over(),
            Mischief::Checkpoint => {
                self.checkpoints.push_back(self.world.checkpoint());
                if self.checkpoints.len() > 4 {
                    self.checkpoints.pop_front();
                }
            }
            Mischief::RollBack => self.roll_back(),
            Mischief::RollBackClaim => {
                if self.claim_roll_backs < MOST_CLAIM_ROLL_BACKS {
                    self.before_claim = Some((self.world.checkpoint(), self.world.claims()));
                    self.claim_roll_backs += 1;
                }
            }
            Mischief::Flush => self.flush(),
            Mischief::Expire => {
                let partition = self.chance.index(self.positions.len());
                self.world.expire(Partition::try_from(partition).unwrap());
            }
            Mischief::JumpClock => self.jump_clock(),
        }
    }

    fn crash_process(&mut self) {
        let owner = self.chance.index(OWNERS);
        for index in 0..self.actors.len() {
            if self.actors[index].owner == owner {
                self.crash(index);
            }
        }
        self.world.trace.struck(FaultKind::ProcessCrash, 1);
    }

    /// The task ends where it stands, and starts anew.
    pub(super) fn crash(&mut self, index: usize) {
        let Actor { owner, task, .. } = self.actors[index];
        self.world.trace.note(format_args!("crash of {task:?} of {owner}"));
        let life = self.begin(owner, task);
        self.actors[index].life = life;
    }

    /// Another owner gets a stage. The one before may be told, find out, or fight.
    fn hand_over(&mut self) {
        let seat = Rc::clone(&self.seats[self.chance.index(self.seats.len())]);
        let before = seat.holder.get();
        let after = (before + 1) % OWNERS;
        seat.holder.set(after);
        seat.believes[after].set(true);
        if self.chance.hits(300) {
            seat.believes[before].set(false);
        }
        if self.chance.hits(200) {
            seat.contested_until.set(self.step.get() + 400);
        }
        self.world.trace.note(format_args!("handed over from {before} to {after}"));
    }

    fn roll_back(&mut self) {
        if self.checkpoints.is_empty() || self.roll_backs == MOST_ROLL_BACKS {
            return;
        }
        let index = self.chance.index(self.checkpoints.len());
        if let Some(checkpoint) = self.checkpoints.remove(index) {
            self.world.roll_back(checkpoint);
            // What was kept after it is of a time that never was.
            self.checkpoints.truncate(index);
            self.roll_backs += 1;
            self.world.trace.note(format_args!("store rolled back"));
            self.world.trace.struck(FaultKind::StoreRolledBack, 1);
        }
    }

    /// Once something was claimed, the store goes back to before it.
    fn roll_back_claim(&mut self) {
        let claims = self.world.claims();
        if let Some((checkpoint, _)) = self.before_claim.take_if(|(_, before)| claims > *before) {
            self.world.roll_back(checkpoint);
            self.checkpoints.clear();
            self.world.trace.note(format_args!("claim rolled back"));
            self.world.trace.struck(FaultKind::ClaimRolledBack, 1);
        }
    }

    fn flush(&mut self) {
        if self.flushes < MOST_FLUSHES {
            self.world.flush();
            self.flushes += 1;
            self.world.trace.note(format_args!("store flushed"));
            self.world.trace.struck(FaultKind::StoreFlushed, 1);
        }
    }

    fn jump_clock(&mut self) {
        let clock = &self.world.clock;
        if self.chance.hits(300) {
            clock.advance(Duration::from_secs(self.chance.between(60, 900)));
        } else {
            let hours = 3_600_000 * 5;
            clock.jump_to(clock.now() + self.chance.between(-hours, hours));
        }
        self.world.trace.struck(FaultKind::ClockJump, 1);
    }
}
