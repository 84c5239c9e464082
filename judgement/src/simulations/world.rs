//! A small world of users, requests and steps, that feeds the error test at every tick.

use std::collections::VecDeque;

use fastrand::Rng;

use crate::{Arm, EpochEvidence, ErrorSettings, ErrorTest, Stratum};

/// What does not change during a run.
#[derive(Clone)]
pub(super) struct World {
    /// How many users there are; 0 means that no request has a key.
    pub(super) users: usize,
    /// The share of the traffic that the first user makes, on top of its even share.
    pub(super) heavy: f64,
    /// Whether the first user is always hashed into the canary.
    pub(super) heavy_in_canary: bool,
    /// Fraction of users with an ailment of their own, and the chance that a request of theirs fails.
    pub(super) ailing: (f64, f64),
    /// Requests per tick, on average.
    pub(super) per_tick: usize,
    /// Outcomes come within this many ticks.
    pub(super) delay: u32,
}

/// One weight epoch.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) weight: f64,
    pub(super) ticks: u32,
    /// Chance that a request fails, in stable and in the canary.
    pub(super) fail: (f64, f64),
    /// Whether this goes on in the epoch before: the world changed, not the weight.
    pub(super) continues: bool,
}

struct User {
    hash: f64,
    ailing: bool,
    exposed_in: Option<usize>,
    bad_in: Option<usize>,
}

struct Failure {
    due: u32,
    step: usize,
    canary: bool,
    user: Option<usize>,
}

/// A run in progress.
struct Run<'a> {
    world: &'a World,
    users: Vec<User>,
    evidence: Vec<EpochEvidence>,
    pending: VecDeque<Failure>,
    tick: u32,
}

impl World {
    pub(super) fn unkeyed(per_tick: usize) -> Self {
        let (heavy, heavy_in_canary, ailing) = (0.0, false, (0.0, 0.0));
        Self {
            users: 0,
            heavy,
            heavy_in_canary,
            ailing,
            per_tick,
            delay: 0,
        }
    }

    pub(super) fn sticky(users: usize, per_tick: usize) -> Self {
        Self {
            users,
            ..Self::unkeyed(per_tick)
        }
    }

    /// The tick of each setting's alarm, looking at every tick, from the first on.
    pub(super) fn alarms(
        &self,
        steps: &[Step],
        settings: &[ErrorSettings],
        seed: u64,
    ) -> Vec<Option<u32>> {
        let mut rng = Rng::with_seed(seed);
        let mut run = Run::new(self, &mut rng);
        let mut tests: Vec<_> = settings.iter().map(|s| ErrorTest::new(*s)).collect();
        let mut alarms = vec![None; tests.len()];
        for step in steps {
            run.begin(*step);
            for _ in 0..step.ticks {
                run.advance(*step, &mut rng);
                for (test, alarm) in tests.iter_mut().zip(&mut alarms) {
                    if alarm.is_none() && test.look(&run.evidence).is_worse() {
                        *alarm = Some(run.tick);
                    }
                }
                if alarms.iter().all(Option::is_some) {
                    return alarms;
                }
            }
        }
        alarms
    }
}

impl<'a> Run<'a> {
    fn new(world: &'a World, rng: &mut Rng) -> Self {
        let user = |n: usize, rng: &mut Rng| User {
            hash: if n == 0 && world.heavy_in_canary {
                0.0
            } else {
                rng.f64()
            },
            ailing: rng.f64() < world.ailing.0,
            exposed_in: None,
            bad_in: None,
        };
        let users = (0..world.users).map(|n| user(n, rng)).collect();
        Self {
            world,
            users,
            evidence: Vec::new(),
            pending: VecDeque::new(),
            tick: 0,
        }
    }

    fn begin(&mut self, step: Step) {
        if !step.continues {
            let epoch = self.evidence.len() as u64;
            self.evidence.push(EpochEvidence {
                epoch,
                ..EpochEvidence::default()
            });
        }
    }

    fn advance(&mut self, step: Step, rng: &mut Rng) {
        self.tick += 1;
        for _ in 0..rng.usize(0..=2 * self.world.per_tick) {
            self.request(step, rng);
        }
        for _ in 0..self.pending.len() {
            let Some(failure) = self.pending.pop_front() else {
                break;
            };
            if failure.due <= self.tick {
                self.fail(&failure);
            } else {
                self.pending.push_back(failure);
            }
        }
    }

    fn request(&mut self, step: Step, rng: &mut Rng) {
        let now = self.evidence.len() - 1;
        let user = (self.world.users > 0).then(|| {
            if rng.f64() < self.world.heavy {
                0
            } else {
                rng.usize(0..self.world.users)
            }
        });
        let hash = user.map_or_else(|| rng.f64(), |user| self.users[user].hash);
        let canary = hash < step.weight;
        arm(&mut self.evidence[now].requests, canary).exposed += 1;
        match user {
            None => arm(&mut self.evidence[now].unkeyed, canary).exposed += 1,
            Some(user) if self.users[user].exposed_in != Some(now) => {
                self.users[user].exposed_in = Some(now);
                arm(&mut self.evidence[now].keyed, canary).exposed += 1;
            }
            Some(_) => {}
        }
        let base = if canary { step.fail.1 } else { step.fail.0 };
        let own = user.is_some_and(|user| self.users[user].ailing);
        let chance = if own {
            base.max(self.world.ailing.1)
        } else {
            base
        };
        if rng.f64() < chance {
            let due = self.tick + rng.u32(0..=self.world.delay);
            self.pending.push_back(Failure {
                due,
                step: now,
                canary,
                user,
            });
        }
    }

    fn fail(&mut self, failure: &Failure) {
        let evidence = &mut self.evidence[failure.step];
        arm(&mut evidence.requests, failure.canary).bad += 1;
        match failure.user {
            None => arm(&mut evidence.unkeyed, failure.canary).bad += 1,
            Some(user) if self.users[user].bad_in < Some(failure.step) => {
                self.users[user].bad_in = Some(failure.step);
                arm(&mut evidence.keyed, failure.canary).bad += 1;
            }
            Some(_) => {}
        }
    }
}

fn arm(stratum: &mut Stratum, canary: bool) -> &mut Arm {
    if canary {
        &mut stratum.canary
    } else {
        &mut stratum.stable
    }
}
