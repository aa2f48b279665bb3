//! Put Block: a stream of unknown length becomes the blocks of a blob.

use std::sync::Arc;
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};
use ureq::http::Method;

use crate::blocks::{Block, Blocks};
use crate::cancel::Cancel;
use crate::exchange::Call;
use crate::plan::{MAX_BLOCKS, Plan};
use crate::refusal::Asked;
use crate::token::Need;
use crate::url::encode_value;
use crate::{Client, Error, ErrorKind, Ready, Sha256};

/// How a blob is written.
#[derive(Debug, Clone)]
pub struct UploadOptions {
    /// Writes over a blob of the same name; otherwise that is an error.
    pub overwrite: bool,
    /// `Hot`, `Cool`, `Cold`, `Archive`; none: the account's default.
    pub tier: Option<String>,
    /// Until when an immutability policy (unlocked) retains it.
    pub immutable_until: Option<DateTime<Utc>>,
    /// Blob index tags.
    pub tags: Vec<(String, String)>,
    /// The source's size in bytes, where it is known: blocks are chosen by it.
    pub expected_size: Option<u64>,
    /// Bytes of memory that blocks may take, at least 16 MiB. A block is at most a quarter of it, and
    /// there are at most 50,000.
    pub memory: u64,
}

impl Default for UploadOptions {
    fn default() -> Self {
        Self {
            overwrite: false,
            tier: None,
            immutable_until: None,
            tags: Vec::new(),
            expected_size: None,
            memory: 256 << 20,
        }
    }
}

impl UploadOptions {
    /// The most bytes that a stream may have with this memory.
    pub fn capacity(&self) -> u64 {
        self.plan().capacity()
    }

    fn plan(&self) -> Plan {
        Plan::new(self.memory, self.expected_size)
    }

    /// What the token must allow.
    pub fn needs(&self) -> Vec<Need> {
        let wanted = [
            (true, Need::Create),
            (self.overwrite, Need::Overwrite),
            (!self.tags.is_empty(), Need::Tag),
            (self.immutable_until.is_some(), Need::Immutability),
        ];
        let wanted = wanted.into_iter().filter(|(wanted, _)| *wanted);
        wanted.map(|(_, need)| need).collect()
    }
}

/// A blob that is being written, shared with the threads that send its blocks.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) client: Client,
    pub(crate) name: String,
    /// Begins each block's ID: another writer's blocks, or those of a run that was killed, have another.
    id: [u8; 8],
}

/// A block blob that is being written. Nobody sees it before [`Ready::commit`]; if it is dropped, the
/// service forgets its blocks after a week.
///
/// Fill [`space`](Upload::space), say how much with [`filled`](Upload::filled), again and again, then
/// [`finish`](Upload::finish).
#[derive(Debug)]
#[must_use = "nothing is published before it is finished and committed"]
pub struct Upload {
    target: Target,
    options: UploadOptions,
    plan: Plan,
    blocks: Arc<Blocks>,
    hasher: Option<thread::JoinHandle<Sha256>>,
    /// The block that is being filled, and how much of it is.
    filling: Vec<u8>,
    fill: usize,
    /// Blocks that were filled.
    count: u64,
    size: u64,
}

impl Client {
    /// Begins an upload under `name`. A tiny block that is never committed is put first: it proves that
    /// the container can be reached and written to before anything is read of a source.
    ///
    /// # Errors
    /// As every request; kind [`Exists`](crate::ErrorKind::Exists) if the token can read and the name is taken.
    pub fn upload(&self, name: &str, options: UploadOptions) -> Result<Upload, Error> {
        self.check(&options.needs())?;
        if options
            .expected_size
            .is_some_and(|size| size > options.capacity())
        {
            return Err(too_long(name, options.capacity()));
        }
        if !options.overwrite {
            self.look_for(name)?;
        }
        let target = Target {
            client: self.clone(),
            name: name.to_owned(),
            id: random()?,
        };
        let probe = Asked::new(format!("cannot write '{name}'"), &[Need::Create]);
        target.put_block(&probe, u64::from(u32::MAX), b"?", &Cancel::default())?;
        Upload::begin(target, options)
    }

    /// An error if the name is taken, as far as the token lets us see.
    fn look_for(&self, name: &str) -> Result<(), Error> {
        if !self.token().has('r') {
            return Ok(());
        }
        match self.properties(name) {
            Ok(_) => Err(Error::new(
                ErrorKind::Exists,
                format!("'{}' is there already", self.url(name)),
            )
            .hint("--overwrite writes over it")),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Token) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Upload {
    fn begin(target: Target, options: UploadOptions) -> Result<Self, Error> {
        let plan = options.plan();
        let concurrency = target.client.options().concurrency;
        let blocks = Arc::new(Blocks::new(concurrency, options.memory));
        let hasher = {
            let blocks = Arc::clone(&blocks);
            spawn("sha256", move || blocks.hash())?
        };
        Ok(Self {
            target,
            plan,
            options,
            blocks,
            hasher: Some(hasher),
            filling: Vec::new(),
            fill: 0,
            count: 0,
            size: 0,
        })
    }

    /// Room for the next bytes, never empty. Waits while memory is taken by blocks under way.
    ///
    /// # Errors
    /// What a block met that is under way; more bytes than 50,000 blocks hold.
    pub fn space(&mut self) -> Result<&mut [u8], Error> {
        if self.filling.is_empty() {
            let size = self
                .plan
                .block(self.count)
                .ok_or_else(|| too_long(&self.target.name, self.plan.capacity()))?;
            self.filling = self
                .blocks
                .buffer(usize::try_from(size).unwrap_or(usize::MAX))?;
            self.fill = 0;
        }
        Ok(self.filling.get_mut(self.fill..).unwrap_or_default())
    }

    /// Says that the first `count` bytes of [`space`](Upload::space) are the stream's next ones.
    ///
    /// # Errors
    /// What a block met that is under way.
    pub fn filled(&mut self, count: usize) -> Result<(), Error> {
        self.fill = (self.fill + count).min(self.filling.len());
        self.size += count as u64;
        match self.fill == self.filling.len() && self.fill > 0 {
            true => self.hand_over(),
            false => self.blocks.failure().map_or(Ok(()), Err),
        }
    }

    /// The bytes so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The stream is at its end: waits until all blocks are there.
    ///
    /// # Errors
    /// What a block met.
    pub fn finish(mut self) -> Result<Ready, Error> {
        if self.fill > 0 {
            self.hand_over()?;
        }
        self.blocks.settle()?;
        self.blocks.close();
        let hasher = self.hasher.take().map(thread::JoinHandle::join);
        let Some(Ok(sha256)) = hasher else {
            return Err(Error::new(ErrorKind::Refused, "cannot hash the stream"));
        };
        Ok(Ready {
            target: self.target.clone(),
            options: self.options.clone(),
            count: self.count,
            size: self.size,
            sha256,
        })
    }

    /// The block goes on its way, with a thread more if all are busy.
    fn hand_over(&mut self) -> Result<(), Error> {
        let block = Block {
            index: self.count,
            bytes: std::mem::take(&mut self.filling),
            length: std::mem::take(&mut self.fill),
        };
        self.count += 1;
        if self.blocks.add(block)? {
            let (target, blocks) = (self.target.clone(), Arc::clone(&self.blocks));
            spawn("put-block", move || {
                blocks.work(|block, cancel| target.put(block, cancel));
            })?;
        }
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.blocks.abandon();
    }
}

impl Target {
    /// All IDs of a blob have the same length (Put Block).
    pub(crate) fn block_id(&self, index: u64) -> String {
        let mut id = [0; 12];
        let number = u32::try_from(index).unwrap_or(u32::MAX).to_be_bytes();
        for (to, from) in id.iter_mut().zip(self.id.iter().chain(&number)) {
            *to = *from;
        }
        BASE64.encode(id)
    }

    fn put(&self, block: &Block, cancel: &Cancel) -> Result<(), Error> {
        let doing = format!("cannot put block {} of '{}'", block.index + 1, self.name);
        let asked = Asked::new(doing, &[Need::Create]);
        self.put_block(&asked, block.index, block.data(), cancel)
    }

    fn put_block(
        &self,
        asked: &Asked,
        index: u64,
        bytes: &[u8],
        cancel: &Cancel,
    ) -> Result<(), Error> {
        let id = self.block_id(index);
        let query = format!("comp=block&blockid={}", encode_value(&id));
        let path = self.client.url(&self.name).path();
        let first = Call::new(Method::PUT, path, query).checked_body(bytes);
        // Who refuses a block may close the connection before all of it is there, and the refusal is
        // lost in the reset. So each second attempt asks before it sends.
        let again = first.clone().header("expect", "100-continue");
        let mut attempts = 0;
        self.client.retry(asked, cancel, |token| {
            attempts += 1;
            let call = if attempts % 2 == 1 { &first } else { &again };
            self.client.send(call, token).map(drop)
        })?;
        Ok(())
    }
}

fn too_long(name: &str, capacity: u64) -> Error {
    let most = job::text::bytes(capacity);
    Error::new(
        ErrorKind::Usage,
        format!(
            "cannot write '{name}': it is longer than the {most} that {MAX_BLOCKS} blocks hold"
        ),
    )
    .hint("more memory allows larger blocks: --memory")
}

fn random() -> Result<[u8; 8], Error> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::new(ErrorKind::Refused, format!("no random numbers: {error}")))?;
    Ok(bytes)
}

/// A thread whose stack is counted.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<thread::JoinHandle<T>, Error> {
    let builder = thread::Builder::new()
        .name(name.to_owned())
        .stack_size(512 << 10);
    builder.spawn(work).map_err(|error| {
        Error::new(
            ErrorKind::Refused,
            job::Error::io("cannot start a thread", &error).to_string(),
        )
    })
}
