//! Slots: how many workers may run, and on which device.

use std::fmt;
use std::path::Path;

use super::{DeviceChoice, Options};
use crate::action::Action;
use crate::plan::{NodeId, Plan};

/// Where a worker computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Device {
    Cpu,
    Cuda(usize),
    /// It waits for others more than it computes.
    Network,
}

/// How many files are fetched at a time, whatever else runs.
const FETCHES: usize = 4;

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Network => f.write_str("network"),
        }
    }
}

/// The free slots. Every worker takes one of `jobs`; one on a GPU takes that GPU as well. Only those that
/// fetch have slots of their own: they need no core.
#[derive(Debug)]
pub(super) struct Pools {
    jobs: usize,
    taken: usize,
    fetching: usize,
    has_gpus: bool,
    free_gpus: Vec<usize>,
}

impl Pools {
    pub(super) fn new(jobs: usize, gpus: Vec<usize>) -> Self {
        Self { jobs, taken: 0, fetching: 0, has_gpus: !gpus.is_empty(), free_gpus: gpus }
    }

    /// Whether no worker at all can be started now.
    pub(super) fn full(&self) -> bool {
        self.taken >= self.jobs && self.fetching >= FETCHES
    }

    /// A slot for an action, if there is one: of the GPUs the lowest.
    pub(super) fn take(&mut self, action: &Action, wants_gpu: bool) -> Option<Device> {
        if matches!(action, Action::Fetch(_)) {
            let free = self.fetching < FETCHES;
            self.fetching += usize::from(free);
            return free.then_some(Device::Network);
        }
        if self.taken >= self.jobs {
            return None;
        }
        let device = if self.has_gpus && wants_gpu {
            let (at, _) = self.free_gpus.iter().enumerate().min_by_key(|(_, index)| **index)?;
            Device::Cuda(self.free_gpus.swap_remove(at))
        } else {
            Device::Cpu
        };
        self.taken += 1;
        Some(device)
    }

    /// Gives a slot back.
    pub(super) fn give(&mut self, device: Device) {
        match device {
            Device::Network => self.fetching -= 1,
            Device::Cpu => self.taken -= 1,
            Device::Cuda(index) => {
                self.taken -= 1;
                self.free_gpus.push(index);
            }
        }
    }
}

/// Jobs and threads of each, constant for a run: the number of threads can change a result's low bits,
/// so it must not depend on what happens to run beside it or on what is cached.
pub(super) fn shares(plan: &Plan, options: &Options) -> (usize, usize) {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let jobs = options.jobs.unwrap_or_else(|| width(plan).min(cores)).max(1);
    let threads = options.threads.unwrap_or(cores / jobs).max(1);
    (jobs, threads)
}

/// The most nodes at one depth of the plan. What is fetched does not count: threads, and with them a result's
/// low bits, must not depend on where the data come from.
fn width(plan: &Plan) -> usize {
    let mut depth = vec![0_usize; plan.len()];
    let mut nodes_at = vec![0_usize; plan.len()];
    for id in plan.ids() {
        let is_fetch = |id: &NodeId| matches!(plan.node(*id).action, Action::Fetch(_));
        if is_fetch(&id) {
            continue;
        }
        let needs = plan.needs(id);
        let needs = needs.iter().filter(|need| !is_fetch(need));
        depth[id.0] = needs.map(|need| depth[need.0] + 1).max().unwrap_or(0);
        nodes_at[depth[id.0]] += 1;
    }
    nodes_at.into_iter().max().unwrap_or(0)
}

/// The numbers of the GPUs to use. One that the user names is taken at their word: the worker, which
/// asks the driver, says so if it is not there.
pub(super) fn gpus(choice: DeviceChoice) -> Vec<usize> {
    match choice {
        DeviceChoice::Cpu => vec![],
        DeviceChoice::Cuda(Some(index)) => vec![index],
        DeviceChoice::Cuda(None) => (0..seen_gpus().max(1)).collect(),
        DeviceChoice::Auto => (0..seen_gpus()).collect(),
    }
}

fn seen_gpus() -> usize {
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    count_gpus(visible.as_deref(), Path::new("/proc/driver/nvidia/gpus"))
}

/// Counts GPUs without libtorch: the entries of `CUDA_VISIBLE_DEVICES` up to the first that is none (as
/// CUDA reads it), else those that the driver lists.
fn count_gpus(visible: Option<&str>, driver: &Path) -> usize {
    match visible {
        Some(list) => list
            .split(',')
            .map(str::trim)
            .take_while(|entry| !entry.is_empty() && !entry.starts_with('-'))
            .count(),
        None => std::fs::read_dir(driver).map_or(0, |entries| entries.filter_map(Result::ok).count()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::{Evaluate, Export, Fetch, Pin, Precision};

    #[test]
    fn a_gpu_takes_one_worker_and_the_cpu_the_rest() {
        let evaluate = Action::Evaluate(Evaluate {
            split: "test".to_owned(),
            metrics: vec![],
            batch: 1,
            attend_pads: false,
            precision: Precision::Float32,
        });
        let export = Action::Export(Export {});
        let mut pools = Pools::new(3, vec![0, 1]);
        assert_eq!(pools.take(&evaluate, true), Some(Device::Cuda(0)));
        assert_eq!(pools.take(&evaluate, true), Some(Device::Cuda(1)));
        assert_eq!(pools.take(&evaluate, true), None, "a third worker on two GPUs");
        assert_eq!(pools.take(&export, false), Some(Device::Cpu));
        assert_eq!(pools.take(&evaluate, true), None);
        pools.give(Device::Cuda(1));
        assert_eq!(pools.take(&export, false), Some(Device::Cpu));
        pools.give(Device::Cpu);
        assert_eq!(pools.take(&evaluate, true), Some(Device::Cuda(1)));

        let mut pools = Pools::new(1, vec![]);
        assert_eq!(pools.take(&evaluate, true), Some(Device::Cpu));
        assert_eq!(pools.take(&export, false), None);

        let fetch = Action::Fetch(Fetch { pin: Pin::Sha256(String::new()) });
        for _ in 0..FETCHES {
            assert!(!pools.full());
            assert_eq!(pools.take(&fetch, false), Some(Device::Network), "beside what computes");
        }
        assert!(pools.full() && pools.take(&fetch, false).is_none());
        pools.give(Device::Network);
        assert_eq!((pools.take(&export, false), pools.take(&fetch, false)), (None, Some(Device::Network)));
    }

    #[test]
    fn counts_gpus_as_cuda_does() {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::create_dir(folder.path().join("0000:01:00.0")).expect("entry");
        for (visible, count) in [
            (None, 1),
            (Some(""), 0),
            (Some("-1"), 0),
            (Some("2"), 1),
            (Some("0, 3"), 2),
            (Some("0,-1,1"), 1),
            (Some("GPU-8932f937"), 1),
        ] {
            assert_eq!(count_gpus(visible, folder.path()), count, "{visible:?}");
        }
        assert_eq!(count_gpus(None, &folder.path().join("none")), 0);
    }
}
