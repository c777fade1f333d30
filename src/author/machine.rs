//! What the machine has, told in a moment: nothing is started, and no driver is asked.

use std::path::Path;

/// What there is to train on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// NVIDIA GPUs.
    pub gpus: usize,
    /// Threads of the CPU.
    pub threads: usize,
    /// Whether the CPU computes in bfloat16.
    pub bf16: bool,
}

impl Machine {
    /// This machine.
    pub fn here() -> Self {
        let gpus = std::fs::read_dir("/proc/driver/nvidia/gpus").map_or(0, Iterator::count);
        // Inside a container the driver's folder may be hidden, and the devices are there.
        let devices = (0..16).filter(|n| Path::new(&format!("/dev/nvidia{n}")).exists()).count();
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let flags = cpu.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
        Self {
            gpus: gpus.max(devices),
            threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            bf16: flags.split_whitespace().any(|flag| matches!(flag, "avx512_bf16" | "amx_bf16")),
        }
    }

    /// It in words.
    pub fn text(&self) -> String {
        match self.gpus {
            0 => format!(
                "no GPU, {} CPU threads{}",
                self.threads,
                if self.bf16 { " with bfloat16" } else { "" }
            ),
            1 => "an NVIDIA GPU".to_owned(),
            n => format!("{n} NVIDIA GPUs"),
        }
    }
}
