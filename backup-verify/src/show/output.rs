use std::path::Path;

use crate::cli::Args;

/// What standard output has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// A line for each check.
    Lines,
    /// One JSON document.
    Json,
    /// The metrics.
    Metrics,
}

impl Output {
    /// As the command line wants it.
    pub(crate) fn of(args: &Args) -> Self {
        match &args.metrics {
            Some(file) if is_stdout(file) => Self::Metrics,
            _ if args.json => Self::Json,
            _ => Self::Lines,
        }
    }
}

/// Whether `--metrics` names standard output.
pub(crate) fn is_stdout(file: &Path) -> bool {
    file == Path::new("-")
}
