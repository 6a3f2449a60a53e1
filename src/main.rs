//! The program: `cli` is what people type, `doctor` is what one of its commands asks.

mod cli;
mod doctor;

fn main() -> std::process::ExitCode {
    cli::run()
}
