//! The `falsefront` binary: parses the command line and runs one command.

/// For librdkafka as well: the C library's own allocator gives the buffer of each fetch back to the kernel and has it
/// zeroed again for the next, which took an eighth of all processor time from Kafka to Kafka.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    falsefront::service::kafka::keep_freed_memory();
    falsefront::cli::main()
}
