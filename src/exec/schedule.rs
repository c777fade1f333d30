//! The loop. Every node is in one [`State`]; each turn looks up what has become known, starts what there
//! are slots for, and takes in what workers report. Only this thread touches the states.
//!
//! ```text
//! Waiting ─ all its needs are done → Looking ─ recorded → Done
//!    ↑                                  └ not recorded → Ready ─ slot and lock → Running ─ kept → Done
//!    └──────── an input is damaged: its maker is looked at again, and this waits ──┘ └ Failed
//! ```

mod setbacks;
mod starting;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::Scope;
use std::time::{Duration, Instant};

use super::aftermath::{self, Harvest, Kept, Last};
use super::pools::{self, Device, Pools};
use super::status::{self, Found, NodeStatus};
use super::stop::Stop;
use super::worker::{Ending, Process};
use super::{ExecError, Options, Outcome};
use crate::action::Manifest;
use crate::digest::Digest;
use crate::event::{Event, Failure, Level, Message};
use crate::plan::{NodeId, Plan};
use crate::store::{Artifacts, Lock, Output, Provenance, Scratch, Store, StoreError};

/// How often the loop looks up without news: for signals, deadlines and other processes' locks.
const TICK: Duration = Duration::from_millis(50);
/// How often it looks whether another process has finished a stage.
const POLL: Duration = Duration::from_millis(250);
/// How long workers have to end when a run is stopped.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 5 } else { 30 });
/// How often a node's damaged inputs are made again before it counts as failed.
const REPAIRS: u32 = 2;

/// One start of a worker.
pub(super) type Ticket = u64;

/// What reaches the loop from other threads.
pub(super) enum News {
    /// A worker sent a message.
    Said(Ticket, Message),
    /// A worker's output is closed.
    Silent(Ticket),
    /// A worker exited.
    Exited(Ticket),
    /// A node's result is in the store, or could not be put there.
    Kept(NodeId, Digest, Result<Box<Kept>, Failure>),
    /// A node's result was copied to the user's folders.
    Delivered(NodeId, Result<Vec<std::path::PathBuf>, StoreError>),
}

enum State {
    /// So many of its needs are not done.
    Waiting(usize),
    /// Its inputs are known; the store is to be asked.
    Looking,
    /// It is to run.
    Ready,
    /// A worker runs, or its result is on the way into the store.
    Running,
    Done {
        artifacts: Artifacts,
        ran: bool,
    },
    Failed,
    Skipped,
}

impl State {
    /// The digest of an output, where the node is done and made it.
    fn made(&self, file: &str) -> Option<Digest> {
        Some(self.outputs()?.get(file)?.digest)
    }

    /// All its outputs, where the node is done.
    fn outputs(&self) -> Option<&BTreeMap<String, Output>> {
        match self {
            Self::Done { artifacts, .. } => Some(&artifacts.outputs),
            _ => None,
        }
    }
}

/// A node that is to run.
struct Task {
    manifest: Manifest,
    key: Digest,
    /// When to try next, where another process holds its lock.
    held_elsewhere: Option<Instant>,
}

struct Worker {
    node: NodeId,
    manifest: Manifest,
    key: Digest,
    device: Device,
    // In the order in which they must go.
    process: Process,
    scratch: Scratch,
    lock: Lock,
}

struct Schedule<'run, 'scope, 'env> {
    plan: &'env Plan,
    store: &'env Store,
    options: &'env Options,
    stop: &'env Stop,
    last: &'env Last,
    on_event: &'run mut dyn FnMut(Event),
    scope: &'scope Scope<'scope, 'env>,
    sender: SyncSender<News>,
    threads: usize,
    host: String,

    states: Vec<State>,
    looking: BTreeSet<NodeId>,
    ready: BTreeMap<NodeId, Task>,
    pools: Pools,
    workers: BTreeMap<Ticket, Worker>,
    tickets: Ticket,
    /// Keys that are being made now: a second node of the same key waits, and finds the record.
    in_flight: BTreeSet<Digest>,
    /// Keys made by this run: a forced stage runs once.
    made: BTreeSet<Digest>,
    /// Keys that failed, and for which node.
    failed: BTreeMap<Digest, NodeId>,
    repairs: BTreeMap<NodeId, u32>,
    /// Threads at work on the aftermath.
    aside: usize,
    /// Why nothing more is started.
    halted: Option<String>,
    stopping: Option<Instant>,
    killed: bool,
    fatal: Option<StoreError>,
}

pub(super) fn run(
    plan: &Plan,
    store: &Store,
    options: &Options,
    stop: &Stop,
    on_event: &mut dyn FnMut(Event),
) -> Result<Outcome, ExecError> {
    let begun = Instant::now();
    let status = status::known(plan, store, &options.force)?;
    let cached = status.cached();
    // A bare name is looked for by the system.
    let is_path = options.worker.components().nth(1).is_some();
    if cached < plan.len() && is_path && !options.worker.is_file() {
        return Err(ExecError::NoWorker { path: options.worker.clone() });
    }
    let (jobs, threads) = pools::shares(plan, options);
    on_event(Event::RunStarted {
        pipeline: plan.pipeline.clone(),
        stages: plan.len(),
        cached,
        jobs,
        threads,
    });
    let last = Last::default();
    let outcome = std::thread::scope(|scope| {
        let (sender, news) = sync_channel(1024);
        let mut schedule = Schedule {
            plan,
            store,
            options,
            stop,
            last: &last,
            on_event: &mut *on_event,
            scope,
            sender,
            threads,
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            states: plan.ids().map(|id| State::Waiting(plan.needs(id).len())).collect(),
            looking: plan.ids().filter(|&id| plan.needs(id).is_empty()).collect(),
            ready: BTreeMap::new(),
            pools: Pools::new(jobs, pools::gpus(options.device)),
            workers: BTreeMap::new(),
            tickets: 0,
            in_flight: BTreeSet::new(),
            made: BTreeSet::new(),
            failed: BTreeMap::new(),
            repairs: BTreeMap::new(),
            aside: 0,
            halted: None,
            stopping: None,
            killed: false,
            fatal: None,
        };
        schedule.take_up(status.into_nodes());
        schedule.turn_until_over(&news);
        schedule.conclude()
    })?;
    on_event(Event::RunFinished {
        ran: outcome.ran,
        cached: outcome.cached,
        failed: outcome.failed,
        skipped: outcome.skipped,
        seconds: begun.elapsed().as_secs_f64(),
        interrupted: outcome.interrupted,
    });
    Ok(outcome)
}

impl Schedule<'_, '_, '_> {
    fn turn_until_over(&mut self, news: &Receiver<News>) {
        loop {
            self.heed_stop();
            self.look_up();
            self.start_ready();
            let waits_for_others = self.halted.is_none() && !self.ready.is_empty();
            if self.workers.is_empty() && self.aside == 0 && !waits_for_others && self.looking.is_empty() {
                break;
            }
            match news.recv_timeout(TICK) {
                Ok(first) => {
                    self.take_in(first);
                    while let Ok(next) = news.try_recv() {
                        self.take_in(next);
                    }
                }
                // It holds a sender itself.
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            let over: Vec<Ticket> = self
                .workers
                .iter_mut()
                .filter_map(|(ticket, worker)| worker.process.is_over().then_some(*ticket))
                .collect();
            for ticket in over {
                self.harvest(ticket);
            }
        }
    }

    /// Starts from what was known before.
    fn take_up(&mut self, nodes: Vec<NodeStatus>) {
        for (id, status) in self.plan.ids().zip(nodes) {
            match status {
                NodeStatus::Cached(artifacts) => {
                    self.looking.remove(&id);
                    self.cached(id, artifacts);
                }
                NodeStatus::Run(manifest) => {
                    self.looking.remove(&id);
                    self.make_ready(id, manifest);
                }
                NodeStatus::Waits(_) => {}
            }
        }
    }

    /// Asks the store for every node whose inputs have become known, until none is left.
    fn look_up(&mut self) {
        while !self.looking.is_empty() {
            let ids: Vec<NodeId> = std::mem::take(&mut self.looking).into_iter().collect();
            let states = &self.states;
            let made = |id: NodeId| states[id.0].outputs();
            let found = match status::look(self.plan, self.store, made, &ids) {
                Ok(found) => found,
                Err(error) => return self.give_up(error),
            };
            for (id, found) in found {
                match found {
                    Found::Cached(artifacts) if !self.is_forced(id, &artifacts.key) => {
                        self.cached(id, artifacts);
                    }
                    Found::Cached(_) | Found::Nothing | Found::Unknown => {
                        match self.plan.manifest(id, |id| self.states[id.0].outputs()) {
                            Some(manifest) => self.make_ready(id, manifest),
                            None => self.fail(id, None, self.missing_input(id)),
                        }
                    }
                }
            }
        }
    }

    fn take_in(&mut self, news: News) {
        match news {
            News::Said(ticket, message) => {
                // One that was given up may still be heard.
                let Some(worker) = self.workers.get_mut(&ticket) else { return };
                let stage = self.plan.node(worker.node).name.clone();
                match worker.process.said(message) {
                    Some(Message::Progress(progress)) => {
                        self.emit(Event::StageProgress { stage, progress });
                    }
                    Some(Message::Note { level, text }) => self.emit(Event::StageNote { stage, level, text }),
                    Some(Message::Finding(finding)) => self.emit(Event::StageFinding { stage, finding }),
                    Some(Message::Done { .. } | Message::Failed(_)) | None => {}
                }
            }
            News::Silent(ticket) => {
                if let Some(worker) = self.workers.get_mut(&ticket) {
                    worker.process.fell_silent();
                }
            }
            News::Exited(ticket) => {
                if let Some(worker) = self.workers.get_mut(&ticket) {
                    worker.process.exited();
                }
            }
            News::Kept(id, key, result) => {
                self.aside -= 1;
                self.in_flight.remove(&key);
                match result {
                    Ok(kept) => self.kept(id, key, *kept),
                    Err(failure) => self.fail(id, Some(key), failure),
                }
            }
            News::Delivered(id, result) => {
                self.aside -= 1;
                self.delivered(id, result);
            }
        }
    }

    /// Takes in how a worker ended.
    fn harvest(&mut self, ticket: Ticket) {
        let Some(mut worker) = self.workers.remove(&ticket) else { return };
        let (id, key) = (worker.node, worker.key);
        self.pools.give(worker.device);
        let ending = worker.process.reap();
        if let Ending::Done { peak_memory, mut versions } = ending {
            versions.insert("tartan".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
            let provenance = Provenance {
                stage: self.plan.node(id).name.clone(),
                pipeline: self.plan.pipeline.clone(),
                command: self.options.command.clone(),
                git_commit: self.options.git_commit.clone(),
                versions,
                host: self.host.clone(),
                device: worker.device.to_string(),
                threads: self.threads,
                started: worker.process.started_unix,
                seconds: worker.process.started.elapsed().as_secs_f64(),
                peak_memory,
            };
            let Worker { manifest, scratch, lock, .. } = worker;
            let plan = self.plan;
            let action = &plan.node(id).action;
            let harvest = Harvest { action, manifest, provenance, scratch, lock };
            let (store, last, sender) = (self.store, self.last, self.sender.clone());
            self.aside += 1;
            self.scope.spawn(move || {
                let kept = aftermath::keep(store, last, harvest).map(Box::new);
                // The loop waits for this, unless it panicked.
                drop(sender.send(News::Kept(id, key, kept)));
            });
            return;
        }
        drop(worker);
        self.in_flight.remove(&key);
        let Ending::Failed(failure) = ending else { return };
        if self.stopping.is_some() {
            self.skip(id, "the run was stopped while it ran");
        } else if !self.repair(id, &failure) {
            self.fail(id, Some(key), failure);
        }
    }

    fn kept(&mut self, id: NodeId, key: Digest, kept: Kept) {
        let stage = self.plan.node(id).name.clone();
        self.made.insert(key);
        if kept.committed.diverged {
            let text = "made other bytes than the first time with the same key; the first result stays, \
                        and the other is noted beside it"
                .to_owned();
            self.emit(Event::StageNote { stage: stage.clone(), level: Level::Warning, text });
        }
        let (seconds, unchanged) = (kept.seconds, kept.unchanged);
        self.emit(Event::StageFinished { stage, key, seconds, unchanged });
        self.done(id, kept.committed.record.into(), true);
    }

    fn cached(&mut self, id: NodeId, artifacts: Artifacts) {
        self.emit(Event::StageCached { stage: self.plan.node(id).name.clone(), key: artifacts.key });
        self.done(id, artifacts, false);
    }

    /// A node's outputs are known: what waits for them comes nearer.
    fn done(&mut self, id: NodeId, artifacts: Artifacts, ran: bool) {
        let plan = self.plan;
        for dependent in plan.dependents(id) {
            if let State::Waiting(missing) = &mut self.states[dependent.0] {
                *missing -= 1;
                if *missing == 0 {
                    self.states[dependent.0] = State::Looking;
                    self.looking.insert(dependent);
                }
            }
        }
        let folders = plan.node(id).deliver_to.clone();
        if !folders.is_empty() {
            let (store, sender, artifacts) = (self.store, self.sender.clone(), artifacts.clone());
            self.aside += 1;
            self.scope.spawn(move || {
                let written = aftermath::deliver(store, &artifacts, folders);
                // The loop waits for this, unless it panicked.
                drop(sender.send(News::Delivered(id, written)));
            });
        }
        self.states[id.0] = State::Done { artifacts, ran };
    }

    fn delivered(&mut self, id: NodeId, result: Result<Vec<std::path::PathBuf>, StoreError>) {
        let stage = self.plan.node(id).name.clone();
        match result {
            Ok(written) => {
                for folder in written {
                    let text = format!("written to {}", folder.display());
                    self.emit(Event::StageNote { stage: stage.clone(), level: Level::Info, text });
                }
            }
            // It is set aside by now.
            Err(StoreError::Corrupt { .. }) if self.may_repair(id) => {
                let text = "its result in the store was damaged, and is made again".to_owned();
                self.emit(Event::StageNote { stage, level: Level::Warning, text });
                self.reopen(id);
            }
            Err(error) => self.fail(id, None, in_words(&error)),
        }
    }

    fn make_ready(&mut self, id: NodeId, manifest: Manifest) {
        let key = manifest.key();
        self.states[id.0] = State::Ready;
        self.ready.insert(id, Task { manifest, key, held_elsewhere: None });
    }

    fn is_forced(&self, id: NodeId, key: &Digest) -> bool {
        status::forced(self.plan.node(id), &self.options.force) && !self.made.contains(key)
    }

    fn emit(&mut self, event: Event) {
        (self.on_event)(event);
    }
}

/// A store's error as a stage's failure.
pub(super) fn in_words(error: &StoreError) -> Failure {
    Failure { help: error.help(), ..Failure::new(error.code(), error) }
}
