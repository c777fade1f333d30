//! libtorch as a library: loading its CUDA half, its version, devices and threads.

use std::error::Error as _;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;

use tartan::diag::Code;
use tartan::event::Failure;
use tch::Cuda;

pub use tch::Device;

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// Neither `cpu` nor `cuda:N`.
    #[error("`{0}` is no device; `cpu` and `cuda:N` are")]
    Unknown(String),
    /// A GPU that is not there.
    #[error("device `{asked}` is not there: libtorch sees {found} CUDA devices{why}")]
    Missing {
        /// The device asked for.
        asked: String,
        /// How many there are.
        found: i64,
        /// Why the CUDA half of libtorch was not loaded, if it was not.
        why: String,
    },
}

/// The device called `name`; for a GPU, loads the CUDA half of libtorch first.
pub fn device(name: &str) -> Result<Device, DeviceError> {
    if name == "cpu" {
        return Ok(Device::Cpu);
    }
    let Some(index) = name.strip_prefix("cuda:").and_then(|index| index.parse::<usize>().ok()) else {
        return Err(DeviceError::Unknown(name.to_owned()));
    };
    let loaded = sys::load_cuda();
    let found = Cuda::device_count();
    if i64::try_from(index).is_ok_and(|index| index < found) {
        return Ok(Device::Cuda(index));
    }
    let why = loaded.err().map(|error| match error.source() {
        Some(source) => format!(" ({error}: {source})"),
        None => format!(" ({error})"),
    });
    let why = why.unwrap_or_default();
    Err(DeviceError::Missing { asked: name.to_owned(), found, why })
}

/// How many GPUs libtorch can use.
pub fn cuda_devices() -> i64 {
    // Without the CUDA libraries there is none to count.
    if sys::load_cuda().is_err() { 0 } else { Cuda::device_count().max(0) }
}

/// Computes with so many threads. To be called before anything is computed.
pub fn set_threads(threads: usize) {
    tch::set_num_threads(i32::try_from(threads.max(1)).unwrap_or(i32::MAX));
    tch::set_num_interop_threads(1);
}

/// libtorch's version, such as `2.11.0`.
pub fn version() -> String {
    sys::abi_version().map_or_else(
        || "unknown".to_owned(),
        |version| {
            let part = |shift: u32| version >> shift & 0xff;
            format!("{}.{}.{}", part(56), part(48), part(40))
        },
    )
}

/// What the first panic said that nobody recovered from.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Keeps what a panic says, for [`take_panic`]. The first says why; others follow from it.
pub fn keep_panic(text: String) {
    if let Ok(mut slot) = PANIC.lock() {
        slot.get_or_insert(text);
    }
}

/// What a panic said, if there was one.
pub fn take_panic() -> Option<String> {
    PANIC.lock().ok().and_then(|mut slot| slot.take())
}

/// What `work` gives, or libtorch's words where memory ran out. Any other panic goes on.
///
/// `work` runs with gradients: `tch::no_grad` leaves them off when it is left by a panic.
pub fn unless_out_of_memory<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    panic::catch_unwind(AssertUnwindSafe(|| tch::with_grad(work))).or_else(|payload| {
        match payload.downcast_ref::<String>() {
            Some(text) if is_out_of_memory(text) => {
                take_panic();
                Err(text.clone())
            }
            _ => panic::resume_unwind(payload),
        }
    })
}

fn is_out_of_memory(text: &str) -> bool {
    let lower = text.to_lowercase();
    [
        "out of memory",
        "can't allocate memory",
        "not enough memory",
        "cublas_status_alloc_failed",
        "std::bad_alloc",
    ]
    .iter()
    .any(|sign| lower.contains(sign))
}

/// What a panic's text says to a user. A tensor operation that fails panics with libtorch's whole message:
/// a C++ error, then a backtrace.
pub fn explain_panic(text: &str) -> Failure {
    let Some((_, error)) = text.split_once("Torch(\"") else {
        return Failure::defect(format!("the worker has a fault: {text}"));
    };
    // The text is as `Debug` prints it: line ends are escaped.
    let first_line = error.split("\\n").next().unwrap_or(error).trim_end_matches("\")").replace("\\\"", "\"");
    if is_out_of_memory(&first_line) {
        return Failure::new(Code::OutOfMemory, format!("out of memory: {first_line}")).help(
            "lower the data's `max_length`, take a smaller encoder, or say `precision: bf16`; training has tried \
             smaller parts of a batch already",
        );
    }
    Failure::new(Code::Torch, format!("libtorch failed: {first_line}"))
        .help("see the stage's log; if `--device cpu` fails alike, please report it")
}

/// The two calls that go through the dynamic loader.
#[expect(unsafe_code, reason = "loading a library runs its initialisers; calling a symbol trusts its type")]
mod sys {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

    /// Loads the CUDA half of libtorch, which registers itself, and keeps it loaded.
    pub(super) fn load_cuda() -> Result<(), libloading::Error> {
        // SAFETY: the library is libtorch's own and meant to be loaded like this.
        let library = unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_GLOBAL) }?;
        std::mem::forget(library);
        Ok(())
    }

    /// `aoti_torch_abi_version`: major, minor and patch in the three highest bytes.
    pub(super) fn abi_version() -> Option<u64> {
        // SAFETY: libtorch's C interface declares it as `uint64_t aoti_torch_abi_version(void)`.
        unsafe {
            let version = Library::this().get::<extern "C" fn() -> u64>(b"aoti_torch_abi_version\0").ok()?;
            Some(version())
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor};

    use super::*;

    #[test]
    fn an_error_of_libtorch_is_told_by_its_first_line() {
        let panic = std::panic::catch_unwind(|| {
            tch::Tensor::zeros([2, 3], (tch::Kind::Float, Device::Cpu))
                .matmul(&tch::Tensor::ones([2, 3], (tch::Kind::Float, Device::Cpu)))
        })
        .unwrap_err();
        let failure = explain_panic(panic.downcast_ref::<String>().unwrap());
        assert_eq!(
            failure.message,
            "libtorch failed: mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)"
        );
    }

    #[test]
    fn too_little_memory_names_the_batch() {
        let panic =
            std::panic::catch_unwind(|| tch::Tensor::zeros([1 << 50], (tch::Kind::Float, Device::Cpu)))
                .unwrap_err();
        let failure = explain_panic(panic.downcast_ref::<String>().unwrap());
        assert!(failure.message.starts_with("out of memory: "), "{}", failure.message);
        assert!(failure.help.unwrap().contains("`max_length`"));
    }

    #[test]
    fn one_can_go_on_when_memory_ran_out_and_from_nothing_else() {
        let too_much = || Tensor::zeros([1 << 50], (Kind::Float, Device::Cpu));
        assert!(unless_out_of_memory(too_much).unwrap_err().contains("memory"));
        assert_eq!(unless_out_of_memory(|| 1), Ok(1));
        assert!(unless_out_of_memory(|| tch::no_grad(too_much)).is_err());
        let graph = || Tensor::ones([2], (Kind::Float, Device::Cpu)).set_requires_grad(true).sum(Kind::Float);
        assert!(
            unless_out_of_memory(graph).unwrap().requires_grad(),
            "no graph after a panic without gradients"
        );
        let other = || unless_out_of_memory(|| Tensor::zeros([2], (Kind::Float, Device::Cpu)).view([3]));
        assert!(panic::catch_unwind(other).is_err());
    }

    #[test]
    fn devices_are_named() {
        assert_eq!(device("cpu").unwrap(), Device::Cpu);
        assert!(matches!(device("gpu"), Err(DeviceError::Unknown(_))));
        assert!(matches!(device("cuda:4096"), Err(DeviceError::Missing { .. })));
        assert!(version().starts_with("2."), "{}", version());
    }
}
