//! The program: everything is in the library, so that tests can reach it.

/// Gives memory back where the C library's keeps it in pieces for ever: see decision 20.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    playoutd::cli::main()
}
