//! The `falsefront` binary: parses the command line and runs one command.

fn main() -> std::process::ExitCode {
    falsefront::cli::main()
}
