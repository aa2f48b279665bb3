//! Uploads into a container: block by block, visible at the end.

use azure_blob::{Client, ErrorKind, Upload, UploadOptions};
use chrono::{TimeDelta, Utc};
use job::{Error, say};

use crate::cli::Args;
use crate::report::Uploaded;
use crate::source::{CheckedInput, Source};

/// Begins an upload: whatever is wrong with the network, the container or the token shows before the source is read.
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
pub(crate) fn put(mut upload: Upload, mut input: CheckedInput) -> Result<Uploaded, Error> {
    // A signal that comes before this is dropped ends the program, and nothing is published.
    let unpublished = job::on_stop(|| say!("nothing was published"));
    loop {
        let count = input.read(upload.space()?)?;
        if count == 0 {
            break;
        }
        upload.filled(count)?;
    }
    let staged = upload.finish()?;
    input.check(staged.sha256())?;
    drop(unpublished);
    let uploaded = staged.commit().map_err(|error| match error.kind() {
        ErrorKind::Deadline | ErrorKind::Unreachable => Error::from(error)
            .hint("whether it was published is not known: backup-verify tells; run it again"),
        _ => error.into(),
    })?;
    Ok(Uploaded {
        location: uploaded.url.to_string(),
        size: uploaded.size,
        sql_size: input.sql_size(),
        sha256: uploaded.sha256,
    })
}
