//! libtorch's operators by their names, for those of which `tch` has no function.
//!
//! It goes through libtorch's stable C interface (`torch/csrc/stable`): an argument is a word of 64 bits, a
//! tensor a handle that the call takes over, and what may be absent a pointer to its word, or null. Gradients
//! flow through a call as through any other.

#![expect(
    unsafe_code,
    reason = "a call by name trusts that the arguments are those of the operator's schema"
)]

use std::ffi::{CStr, c_char, c_void};

use libloading::os::unix::{Library, Symbol};
use tch::Tensor;

/// An argument of an operator.
#[derive(Clone, Copy, Debug)]
enum Argument<'a> {
    /// `Tensor`
    Tensor(&'a Tensor),
    /// `Tensor?`, given.
    Given(&'a Tensor),
    /// Anything with a `?`, not given.
    Absent,
    /// `int` or `SymInt`
    Int(i64),
    /// `float`
    Float(f64),
    /// `bool`
    Bool(bool),
}

type NewHandle = unsafe extern "C" fn(*const c_void, *mut *mut c_void) -> i32;
type CallDispatcher = unsafe extern "C" fn(*const c_char, *const c_char, *mut u64) -> i32;

/// Flash attention (Dao 2023) over texts that lie one after the other: each token's context, `T×A×D`, from queries,
/// keys and values, `T×A×D` each. `starts` is where each text begins and the last one ends, `B+1`, 32-bit;
/// `longest` the tokens of the longest; `p` the chance of dropout. For a GPU, in bfloat16 or float16, and D a
/// multiple of 8. None where libtorch has no such operator or it fails; it then says why on the standard error.
pub fn flash_attention(
    [query, key, value]: &[Tensor; 3],
    starts: &Tensor,
    longest: i64,
    p: f64,
) -> Option<Tensor> {
    let (starts, longest) = (Argument::Given(starts), Argument::Int(longest));
    let arguments = [
        Argument::Tensor(query),
        Argument::Tensor(key),
        Argument::Tensor(value),
        starts,
        starts,
        longest,
        longest,
        Argument::Float(p),
        // Neither causal nor with a mask to debug by.
        Argument::Bool(false),
        Argument::Bool(false),
        // scale, window_size_left, window_size_right, seqused_k, alibi_slopes
        Argument::Absent,
        Argument::Absent,
        Argument::Absent,
        Argument::Absent,
        Argument::Absent,
    ];
    // SAFETY: these are the arguments of its schema in libtorch 2.11, and it returns five tensors.
    unsafe { call(c"aten::_flash_attention_forward", &arguments, 5) }
}

/// The first of the tensors that the operator called `name` returns. None where libtorch has no such operator or
/// it fails.
///
/// # Safety
///
/// `arguments` are all those of the operator's schema, in order, and it returns `outputs` tensors and nothing else.
unsafe fn call(name: &CStr, arguments: &[Argument<'_>], outputs: usize) -> Option<Tensor> {
    let library = Library::this();
    // SAFETY: libtorch declares them so in `aoti_torch/c/shim.h`.
    let (new_handle, call): (Symbol<NewHandle>, Symbol<CallDispatcher>) = unsafe {
        (
            library.get(b"aoti_torch_new_tensor_handle\0").ok()?,
            library.get(b"aoti_torch_call_dispatcher\0").ok()?,
        )
    };
    let handle = |tensor: &Tensor| {
        let mut handle = std::ptr::null_mut();
        // SAFETY: what `tch` points to is an `at::Tensor`, and so is what a handle points to.
        let code = unsafe { new_handle(tensor.as_ptr().cast(), &raw mut handle) };
        (code == 0).then(|| word_of(handle))
    };
    let mut stack = Vec::with_capacity(arguments.len().max(outputs));
    for argument in arguments {
        stack.push(match *argument {
            Argument::Tensor(tensor) => handle(tensor)?,
            // The callee frees it with `delete`, which is `free` as Rust's default allocator has it.
            Argument::Given(tensor) => word_of(Box::into_raw(Box::new(handle(tensor)?)).cast()),
            Argument::Absent => 0,
            Argument::Int(value) => value.cast_unsigned(),
            Argument::Float(value) => value.to_bits(),
            Argument::Bool(value) => u64::from(value),
        });
    }
    stack.resize(arguments.len().max(outputs), 0);
    // SAFETY: the words are as the schema wants them, by the caller's word, and there is room for the
    // returned ones.
    let code = unsafe { call(name.as_ptr(), c"".as_ptr(), stack.as_mut_ptr()) };
    if code != 0 {
        return None;
    }
    // SAFETY: each returned word is a handle that is ours now, a pointer to an `at::Tensor`.
    let returned = stack[..outputs].iter().map(|&word| unsafe { Tensor::from_ptr(pointer_of(word).cast()) });
    returned.collect::<Vec<_>>().into_iter().next()
}

fn word_of(pointer: *mut c_void) -> u64 {
    pointer.expose_provenance() as u64
}

#[expect(clippy::cast_possible_truncation, reason = "libtorch is for 64 bits")]
fn pointer_of(word: u64) -> *mut c_void {
    std::ptr::with_exposed_provenance_mut(word as usize)
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn calls_by_name_take_every_kind_of_argument_and_have_gradients() {
        let x = Tensor::arange(12, (Kind::Double, Device::Cpu)).view([3, 4]).set_requires_grad(true);
        let narrow = [Argument::Tensor(&x), Argument::Int(1), Argument::Int(1), Argument::Int(2)];
        // SAFETY: as its schema has it, here and below.
        let narrowed = unsafe { call(c"aten::narrow", &narrow, 1) }.unwrap();
        assert_eq!(narrowed, x.narrow(1, 1, 2));

        tch::manual_seed(0);
        let random = || Tensor::randn([2, 3, 5, 8], (Kind::Double, Device::Cpu)).set_requires_grad(true);
        let qkv = [random(), random(), random()];
        let attended = Tensor::eye(5, (Kind::Double, Device::Cpu)).neg();
        let [q, k, v] = qkv.each_ref();
        let by_name = unsafe {
            call(
                c"aten::_scaled_dot_product_flash_attention_for_cpu",
                &[
                    Argument::Tensor(q),
                    Argument::Tensor(k),
                    Argument::Tensor(v),
                    Argument::Float(0.0),
                    Argument::Bool(false),
                    Argument::Given(&attended),
                    Argument::Absent,
                ],
                2,
            )
        }
        .unwrap();
        let expected =
            Tensor::scaled_dot_product_attention(q, k, v, Some(&attended), 0.0, false, None, false);
        let near = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]) < 1e-12;
        assert!(near(&by_name, &expected));
        let gradients =
            |y: &Tensor| Tensor::run_backward(&[(y * y).sum(Kind::Double)], &[q, k, v], false, false);
        for (a, b) in gradients(&by_name).iter().zip(gradients(&expected)) {
            assert!(near(a, &b));
        }
    }

    #[test]
    fn what_is_not_there_is_none() {
        // SAFETY: there is none of this name.
        assert!(unsafe { call(c"aten::no_such_operator", &[], 1) }.is_none());
    }
}
