//! When things do not go on as they should: failures, damaged inputs, a wish to stop; and the account
//! of it all at the end.

use std::time::Instant;

use super::{PATIENCE, REPAIRS, Schedule, State};
use crate::diag::Code;
use crate::digest::Digest;
use crate::event::{Event, Failure, Level};
use crate::exec::{ExecError, Outcome};
use crate::plan::{Input, NodeId};
use crate::store::StoreError;

impl Schedule<'_, '_, '_> {
    /// A node has failed; what depends on it is not run, and without `keep_going` nothing else either.
    pub(super) fn fail(&mut self, id: NodeId, key: Option<Digest>, failure: Failure) {
        let plan = self.plan;
        let stage = plan.node(id).name.clone();
        self.states[id.0] = State::Failed;
        let log = key.map(|key| self.store.log_path(&key)).filter(|path| path.is_file());
        self.emit(Event::StageFailed {
            stage: stage.clone(),
            failure,
            log: log.map(|path| path.display().to_string()),
        });
        if let Some(key) = key {
            self.failed.insert(key, id);
        }
        let because = format!("`{stage}` failed");
        self.skip_dependents(id, &because);
        if !self.options.keep_going && self.halted.is_none() {
            self.halted = Some(because);
        }
    }

    /// Skips everything that needs a node, at however many removes.
    pub(super) fn skip_dependents(&mut self, id: NodeId, because: &str) {
        let mut next = self.plan.dependents(id);
        while let Some(id) = next.pop() {
            if matches!(self.states[id.0], State::Waiting(_) | State::Looking | State::Ready) {
                self.skip(id, because);
                next.extend(self.plan.dependents(id));
            }
        }
    }

    pub(super) fn skip(&mut self, id: NodeId, because: &str) {
        self.looking.remove(&id);
        self.ready.remove(&id);
        self.states[id.0] = State::Skipped;
        let stage = self.plan.node(id).name.clone();
        self.emit(Event::StageSkipped { stage, because: because.to_owned() });
    }

    /// The store itself failed: nothing more is started, and the run ends with the error once what runs
    /// is in.
    pub(super) fn give_up(&mut self, error: StoreError) {
        self.halted.get_or_insert_with(|| error.to_string());
        self.fatal.get_or_insert(error);
    }

    /// What to say of a node that reads what its maker did not make.
    pub(super) fn missing_input(&self, id: NodeId) -> Failure {
        let missing = self.plan.node(id).inputs.values().find_map(|input| match input {
            Input::Output { node, file } if self.states[node.0].made(file).is_none() => {
                Some(format!("it reads `{file}`, which `{}` did not make", self.plan.node(*node).name))
            }
            Input::Folder { node, folder } if !self.has_made_in(*node, folder) => Some(format!(
                "it reads what `{}` makes{}, and there is nothing",
                self.plan.node(*node).name,
                if folder.is_empty() { String::new() } else { format!(" in `{folder}`") }
            )),
            _ => None,
        });
        Failure::new(Code::NotMade, missing.unwrap_or_default())
    }

    fn has_made_in(&self, id: NodeId, folder: &str) -> bool {
        let made = self.states[id.0].outputs();
        made.is_some_and(|made| made.keys().any(|file| file.starts_with(folder)))
    }

    /// After a node failed because objects it reads are damaged: has them made again and puts the node
    /// back. Returns whether that can help.
    pub(super) fn repair(&mut self, id: NodeId, failure: &Failure) -> bool {
        let plan = self.plan;
        let mut damaged = vec![];
        for role in &failure.corrupt {
            let Some(Input::Output { node, file }) = plan.node(id).source(role) else { return false };
            let Some(digest) = self.states[node.0].made(&file) else { return false };
            damaged.push((node, file, digest));
        }
        if damaged.is_empty() || !self.may_repair(id) {
            return false;
        }
        for (maker, file, digest) in damaged {
            let text = match self.store.set_aside(&digest) {
                Ok(true) => {
                    format!("its `{file}` in the store was damaged; it is set aside and made again")
                }
                Ok(false) => format!("its `{file}` was read wrongly, but is sound in the store"),
                Err(error) => {
                    self.give_up(error);
                    return false;
                }
            };
            let stage = plan.node(maker).name.clone();
            self.emit(Event::StageNote { stage, level: Level::Warning, text });
            self.reopen(maker);
        }
        let stage = plan.node(id).name.clone();
        self.emit(Event::StageRetried { stage, because: failure.message.clone() });
        self.enter(id);
        true
    }

    /// Counts a repair for a node, while it has any left.
    pub(super) fn may_repair(&mut self, id: NodeId) -> bool {
        let repairs = self.repairs.entry(id).or_default();
        *repairs += 1;
        *repairs <= REPAIRS
    }

    /// Looks a node that was done up again; what was about to read its outputs waits for them.
    pub(super) fn reopen(&mut self, id: NodeId) {
        if !matches!(self.states[id.0], State::Done { .. }) {
            return;
        }
        for dependent in self.plan.dependents(id) {
            match &mut self.states[dependent.0] {
                State::Waiting(missing) => *missing += 1,
                state @ (State::Looking | State::Ready) => {
                    *state = State::Waiting(1);
                    self.looking.remove(&dependent);
                    self.ready.remove(&dependent);
                }
                State::Running | State::Done { .. } | State::Failed | State::Skipped => {}
            }
        }
        self.enter(id);
    }

    /// Puts a node at the beginning of its way.
    fn enter(&mut self, id: NodeId) {
        let needs = self.plan.needs(id);
        let missing = needs.iter().filter(|need| !matches!(self.states[need.0], State::Done { .. })).count();
        if missing == 0 {
            self.states[id.0] = State::Looking;
            self.looking.insert(id);
        } else {
            self.states[id.0] = State::Waiting(missing);
        }
    }

    /// Passes a wish to stop on to the workers: first politely, then not.
    pub(super) fn heed_stop(&mut self) {
        if !self.stop.asked() {
            return;
        }
        let since = *self.stopping.get_or_insert_with(|| {
            for worker in self.workers.values() {
                worker.process.ask_to_end();
            }
            Instant::now()
        });
        self.halted.get_or_insert_with(|| "the run was stopped".to_owned());
        if !self.killed && (self.stop.urgent() || since.elapsed() >= PATIENCE) {
            self.killed = true;
            for worker in self.workers.values() {
                worker.process.kill();
            }
        }
    }

    /// Skips what has not come to its turn, and counts.
    pub(super) fn conclude(mut self) -> Result<Outcome, ExecError> {
        let because = match (&self.stopping, &self.halted) {
            (Some(_), _) => "the run was stopped".to_owned(),
            (None, Some(why)) => why.clone(),
            (None, None) => "what it needs did not come".to_owned(),
        };
        for id in self.plan.ids() {
            if matches!(self.states[id.0], State::Waiting(_) | State::Looking | State::Ready) {
                self.skip(id, &because);
            }
        }
        if let Some(error) = self.fatal.take() {
            return Err(error.into());
        }
        let mut outcome = Outcome::default();
        for (id, state) in self.plan.ids().zip(self.states) {
            match state {
                State::Done { artifacts, ran } => {
                    *if ran { &mut outcome.ran } else { &mut outcome.cached } += 1;
                    outcome.outputs.insert(id, artifacts);
                }
                State::Failed => outcome.failed += 1,
                State::Skipped | State::Waiting(_) | State::Looking | State::Ready | State::Running => {
                    outcome.skipped += 1;
                }
            }
        }
        outcome.interrupted = self.stopping.is_some() && outcome.skipped > 0;
        Ok(outcome)
    }
}
