use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ureq::http::Method;

use super::queue::Block;
use crate::request::{Call, Operation};
use crate::transport::Cancel;
use crate::url::encode_value;
use crate::{Client, Error, ErrorKind, Permission};

/// A blob that is being written. The threads that send its blocks have clones.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) client: Client,
    pub(super) name: String,
    /// What all its block IDs begin with. Blocks of another writer, or of a run that was killed, begin with
    /// something else.
    id: [u8; 8],
}

impl Target {
    pub(super) fn new(client: Client, name: &str) -> Result<Self, Error> {
        Ok(Self {
            client,
            name: name.to_owned(),
            id: random()?,
        })
    }

    /// Puts a tiny block that is never committed: it proves that the container can be reached and written to.
    pub(super) fn probe(&self) -> Result<(), Error> {
        let cannot = format!("cannot write '{}'", self.name);
        let operation = Operation::new(cannot, &[Permission::Create]);
        self.put_block(&operation, u64::from(u32::MAX), b"?", &Cancel::default())
    }

    /// All block IDs of a blob must have the same length ("Put Block").
    pub(super) fn block_id(&self, index: u64) -> String {
        let mut id = [0; 12];
        let number = u32::try_from(index).unwrap_or(u32::MAX).to_be_bytes();
        for (to, from) in id.iter_mut().zip(self.id.iter().chain(&number)) {
            *to = *from;
        }
        BASE64.encode(id)
    }

    pub(super) fn put(&self, block: &Block, cancel: &Cancel) -> Result<(), Error> {
        let cannot = format!("cannot put block {} of '{}'", block.index + 1, self.name);
        let operation = Operation::new(cannot, &[Permission::Create]);
        self.put_block(&operation, block.index, block.data(), cancel)
    }

    fn put_block(
        &self,
        operation: &Operation,
        index: u64,
        bytes: &[u8],
        cancel: &Cancel,
    ) -> Result<(), Error> {
        let id = self.block_id(index);
        let query = format!("comp=block&blockid={}", encode_value(&id));
        let path = self.client.url(&self.name).path();
        let first = Call::new(Method::PUT, path, query).checked_body(bytes);
        // A server that refuses a block may close the connection before all of it has arrived, and its refusal is
        // lost in the reset. So every second attempt asks before it sends.
        let again = first.clone().header("expect", "100-continue");
        let mut attempts = 0;
        let exchange = self.client.exchange();
        exchange.retry(operation, cancel, |authorization| {
            attempts += 1;
            let call = if attempts % 2 == 1 { &first } else { &again };
            exchange.send(call, authorization).map(drop)
        })?;
        Ok(())
    }
}

fn random() -> Result<[u8; 8], Error> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::new(ErrorKind::Refused, format!("no random numbers: {error}")))?;
    Ok(bytes)
}
