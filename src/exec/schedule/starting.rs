//! From ready to running: slots, locks, and a last look whether somebody else has made it.

use std::collections::BTreeMap;
use std::time::Instant;

use super::{POLL, Schedule, State, Task, Worker, in_words};
use crate::action::{InputFile, Request};
use crate::diag::Code;
use crate::digest::Digest;
use crate::event::{Event, Failure};
use crate::exec::pools::Device;
use crate::exec::worker::Process;
use crate::plan::{Input, NodeId};
use crate::store::{Lock, StoreError};

impl Schedule<'_, '_, '_> {
    /// Starts what there are slots for.
    pub(super) fn start_ready(&mut self) {
        if self.halted.is_some() {
            return;
        }
        let now = Instant::now();
        let due: Vec<NodeId> = self
            .ready
            .iter()
            .filter(|(_, task)| task.held_elsewhere.is_some_and(|next| next <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.try_start(id);
        }
        let mut after = None;
        while self.halted.is_none() && !self.pools.full() {
            let from = after.map_or(NodeId(0), |NodeId(at)| NodeId(at + 1));
            let Some((&id, task)) = self.ready.range(from..).next() else { break };
            if task.held_elsewhere.is_none() {
                self.try_start(id);
            }
            after = Some(id);
        }
    }

    /// Starts a ready node, if nobody makes its key and there is a slot; or finds that it is made.
    fn try_start(&mut self, id: NodeId) {
        let Some(task) = self.ready.get(&id) else { return };
        let (key, waited) = (task.key, task.held_elsewhere.is_some());
        if self.in_flight.contains(&key) {
            return;
        }
        if let Some(twin) = self.failed.get(&key) {
            let because = format!("`{}`, which does the same, failed", self.plan.node(*twin).name);
            self.skip(id, &because);
            return self.skip_dependents(id, &because);
        }
        let result =
            if waited && self.take_record(id, &key) { Ok(()) } else { self.lock_and_start(id, &key) };
        if let Err(failure) = result {
            self.ready.remove(&id);
            self.fail(id, Some(key), failure);
        }
    }

    fn lock_and_start(&mut self, id: NodeId, key: &Digest) -> Result<(), Failure> {
        let plan = self.plan;
        let node = plan.node(id);
        let Some(device) = self.pools.take(&node.action, node.wants_gpu()) else { return Ok(()) };
        let result = match self.lock_afresh(id, key) {
            Ok(Some(lock)) if self.take_record(id, key) => {
                drop(lock);
                Ok(false)
            }
            Ok(Some(lock)) => self.launch(id, key, device, lock).map(|()| true),
            Ok(None) => {
                if let Some(task) = self.ready.get_mut(&id)
                    && task.held_elsewhere.replace(Instant::now() + POLL).is_none()
                {
                    self.emit(Event::StageWaiting { stage: node.name.clone(), key: *key });
                }
                Ok(false)
            }
            Err(error) => Err(in_words(&error)),
        };
        if !matches!(result, Ok(true)) {
            self.pools.give(device);
        }
        result.map(|_| ())
    }

    /// The lock of a ready node's key, unless somebody is at it. Who wants a stage run again wants it from the
    /// start: what earlier attempts left goes, once the worker of a killed run that may be at it still has ended.
    fn lock_afresh(&self, id: NodeId, key: &Digest) -> Result<Option<Lock>, StoreError> {
        match self.store.try_lock(key)? {
            Some(lock) if self.is_forced(id, key) && !self.store.discard_partial(&lock)? => Ok(None),
            lock => Ok(lock),
        }
    }

    /// Takes a ready node's result from the store, if another process has made it since.
    fn take_record(&mut self, id: NodeId, key: &Digest) -> bool {
        if self.is_forced(id, key) {
            return false;
        }
        match self.store.record(key) {
            Ok(Some(record)) => {
                self.ready.remove(&id);
                self.cached(id, record.into());
                true
            }
            Ok(None) => false,
            Err(error) => {
                self.give_up(error);
                true
            }
        }
    }

    fn launch(&mut self, id: NodeId, key: &Digest, device: Device, lock: Lock) -> Result<(), Failure> {
        let plan = self.plan;
        let node = plan.node(id);
        let resume = self.store.partial(&lock).map_err(|error| in_words(&error))?;
        let scratch = self.store.scratch(key).map_err(|error| in_words(&error))?;
        let request = Request {
            stage: node.name.clone(),
            action: node.action.clone(),
            inputs: self.input_files(id),
            out: scratch.path().to_owned(),
            resume,
            device: device.to_string(),
            threads: self.threads,
            checkpoint: node.checkpoint,
            objective_names: node.objective_names.clone(),
            urls: node.urls.clone(),
            means: node.means.clone(),
        };
        let (program, log) = (&self.options.worker, self.store.log_path(key));
        self.tickets += 1;
        let process =
            Process::start(program, &request, &log, self.tickets, &self.sender).map_err(|error| {
                let message = format!("cannot start the worker {}: {error}", program.display());
                Failure::new(Code::NoWorker, message).help(format!("its log would be {}", log.display()))
            })?;
        let Some(Task { manifest, .. }) = self.ready.remove(&id) else { return Ok(()) };
        self.states[id.0] = State::Running;
        self.in_flight.insert(*key);
        self.workers
            .insert(self.tickets, Worker { node: id, manifest, key: *key, device, process, scratch, lock });
        self.emit(Event::StageStarted {
            stage: node.name.clone(),
            key: *key,
            kind: node.action.kind().to_owned(),
            device: device.to_string(),
        });
        Ok(())
    }

    /// Where the worker finds its inputs. All of them are known.
    fn input_files(&self, id: NodeId) -> BTreeMap<String, InputFile> {
        let input = |input: Input| match input {
            Input::File { path, name, digest } => Some(InputFile { path, digest, name, stored: false }),
            Input::Output { node, file } => {
                let digest = self.states[node.0].made(&file)?;
                let name = format!("{}/{file}", self.plan.node(node).name);
                Some(InputFile { path: self.store.object(&digest), digest, name, stored: true })
            }
            Input::Folder { .. } => None,
        };
        let node = self.plan.node(id);
        let roles = self.ready.get(&id).into_iter().flat_map(|task| task.manifest.inputs.keys());
        roles.filter_map(|role| Some((role.clone(), input(node.source(role)?)?))).collect()
    }
}
