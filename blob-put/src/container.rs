//! Into a container: block by block, visible at the end.

use azure_blob::{Client, ErrorKind, Upload, UploadOptions};
use chrono::{TimeDelta, Utc};
use job::{Error, say};

use crate::cli::Args;
use crate::command::Put;
use crate::source::{Intake, Source};

/// Begins: all that can be known before the source is read is found out here.
pub(crate) fn begin(
    client: &Client,
    name: &str,
    source: &Source,
    args: &Args,
) -> Result<Upload, Error> {
    let days = args.immutable_days.map(|days| TimeDelta::days(days.into()));
    let options = UploadOptions {
        overwrite: args.overwrite,
        tier: args.tier.clone(),
        immutable_until: days.map(|days| Utc::now() + days),
        tags: args.tag.clone(),
        expected_size: source.size(),
        memory: args.memory,
    };
    let upload = client.upload(name, options)?;
    warn_of_expiry(client, args.warn_expiry);
    Ok(upload)
}

fn warn_of_expiry(client: &Client, within: TimeDelta) {
    if let Some(expires) = client.expires() {
        let left = expires - Utc::now();
        let until = expires.format("%Y-%m-%d %H:%M UTC");
        if left <= TimeDelta::zero() {
            say!(
                "warning: by this machine's clock the SAS token expired at {until}, and the service takes it: is the clock right?"
            );
        } else if left <= within {
            say!(
                "warning: the SAS token expires in {}, at {until}",
                job::text::age(left)
            );
        }
    }
}

/// Uploads all of it.
pub(crate) fn put(mut upload: Upload, mut intake: Intake) -> Result<Put, Error> {
    // Dropped before the commit: a signal that comes before lets nothing be published any more.
    let unpublished = job::on_stop(|| say!("nothing was published"));
    loop {
        let count = intake.read(upload.space()?)?;
        if count == 0 {
            break;
        }
        upload.filled(count)?;
    }
    let ready = upload.finish()?;
    intake.check(ready.sha256())?;
    drop(unpublished);
    let uploaded = ready.commit().map_err(|error| match error.kind() {
        ErrorKind::Deadline | ErrorKind::Unreachable => Error::from(error)
            .hint("whether it was published is not known: backup-verify tells; run it again"),
        _ => error.into(),
    })?;
    Ok(Put {
        label: uploaded.url.to_string(),
        size: uploaded.size,
        sha256: uploaded.sha256,
    })
}
