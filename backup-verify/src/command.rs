use std::time::Instant;

use job::Error;
use store::Store;

use crate::cli::Args;
use crate::tell::Monitoring;
use crate::verification::Verification;

pub(crate) fn run() -> Result<(), Error> {
    let began = Instant::now();
    let args = job::parse_args::<Args>()?;
    args.check()?;
    let monitoring = Monitoring::new(&args)?;
    monitoring.tell_start();
    let mut verification = Verification::new(&args);
    let verified = match Store::is_store(&args.target) {
        true => verification.of_store(),
        false => verification.of_backup(),
    };
    let Verification {
        report,
        mut metrics,
        ..
    } = verification;
    let ended = verified.and_then(|()| report.end());
    metrics.findings(report.findings());
    metrics.run(args.now(), began.elapsed(), ended.is_ok());
    monitoring.tell(&metrics, &report.lines(), ended)
}
