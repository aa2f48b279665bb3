//! The client against a service that does every thing wrong that a service and a network can do. Each
//! fault ends in success, or in the right error.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends so")]

mod bad_day;
mod deletion;
mod download;
mod identity;
mod listing;
mod token;
mod upload;
mod whole;

use std::time::Duration;

use azure_blob::{Client, ContainerUrl, CredentialSource, Error, Options, Token, Upload};
use scripted_service::Service;

/// A token that allows everything; its signature is looked for in what must not show it.
const SIGNATURE: &str = "S3CRETS3CRETS3CRET";

fn token(permissions: &str) -> CredentialSource {
    let text = format!("se=2999-01-01&sr=c&sp={permissions}&sig={SIGNATURE}");
    Token::parse(&text).unwrap().into()
}

/// More than anything takes on a busy machine that nothing holds up, and not long to wait for.
const SOON: Duration = Duration::from_secs(1);

/// Patient enough for a slow machine, with short pauses.
fn options() -> Options {
    Options {
        deadline: Duration::from_secs(120),
        first_contact: SOON,
        stall_timeout: Duration::from_secs(60),
        first_pause: Duration::from_millis(1),
        max_pause: Duration::from_millis(20),
        concurrency: 3,
        ..Options::default()
    }
}

/// Gives up soon.
fn hasty() -> Options {
    Options {
        deadline: SOON,
        ..options()
    }
}

fn open(service: &Service, token: CredentialSource, options: Options) -> Client {
    let (url, _) = ContainerUrl::parse(&service.url()).unwrap();
    Client::new(url, token, options).unwrap()
}

fn client(service: &Service) -> Client {
    open(service, token("racwdl"), options())
}

/// Bytes that differ from place to place.
fn bytes(length: usize) -> Vec<u8> {
    let mut seed = 1_u32;
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

/// Fills an upload in pieces that are no blocks.
fn fill(upload: &mut Upload, bytes: &[u8]) -> Result<(), Error> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let space = upload.space()?;
        let count = space.len().min(rest.len()).min(1_000_000);
        space[..count].copy_from_slice(&rest[..count]);
        upload.filled(count)?;
        rest = &rest[count..];
    }
    Ok(())
}
