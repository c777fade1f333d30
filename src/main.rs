//! The command line: parse, call, turn the result into an exit code.

fn main() -> std::process::ExitCode {
    tartan::cli::main(std::env::args_os())
}
