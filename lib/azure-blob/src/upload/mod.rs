//! Put Block and Put Block List: a stream of unknown length becomes the blocks of a blob, which appears at its end.

mod block_size;
mod commit;
mod options;
mod queue;
mod target;

use std::sync::Arc;
use std::thread;

use block_size::{BlockSizes, MAX_BLOCKS};
pub use commit::{Staged, Uploaded};
pub use options::UploadOptions;
use queue::{Block, BlockQueue};
use target::Target;

use crate::worker::spawn;
use crate::{Client, Error, ErrorKind, Sha256};

/// A block blob that is being written. Nobody sees it before [`Staged::commit`]; if it is dropped, the
/// service forgets its blocks after a week.
///
/// Fill [`space`](Upload::space) and say how much with [`filled`](Upload::filled), until the stream ends; then
/// [`finish`](Upload::finish).
#[derive(Debug)]
#[must_use = "nothing is published before it is finished and committed"]
pub struct Upload {
    target: Target,
    options: UploadOptions,
    block_sizes: BlockSizes,
    blocks: Arc<BlockQueue>,
    hasher: Option<thread::JoinHandle<Sha256>>,
    /// The block that is being filled, and how much of it is.
    filling: Vec<u8>,
    fill: usize,
    /// Blocks that were filled.
    count: u64,
    size: u64,
}

impl Client {
    /// Begins an upload under `name`. Before anything of a source is read, a tiny block that is never committed
    /// proves that the container can be reached and written to.
    ///
    /// # Errors
    /// As every request; kind [`Exists`](crate::ErrorKind::Exists) if the credential may read and the name is taken.
    pub fn upload(&self, name: &str, options: UploadOptions) -> Result<Upload, Error> {
        self.check(&options.needs())?;
        if options
            .expected_size
            .is_some_and(|size| size > options.capacity())
        {
            return Err(too_long(name, options.capacity()));
        }
        if !options.overwrite {
            self.check_is_free(name)?;
        }
        let target = Target::new(self.clone(), name)?;
        target.probe()?;
        Upload::begin(target, options)
    }

    /// An error if the name is taken, as far as the credential lets us see.
    fn check_is_free(&self, name: &str) -> Result<(), Error> {
        if self.sas().is_some_and(|token| !token.has('r')) {
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
        let block_sizes = options.block_sizes();
        let concurrency = target.client.options().concurrency;
        let blocks = Arc::new(BlockQueue::new(concurrency, options.memory));
        let hasher = {
            let blocks = Arc::clone(&blocks);
            spawn("sha256", move || blocks.hash())?
        };
        Ok(Self {
            target,
            block_sizes,
            options,
            blocks,
            hasher: Some(hasher),
            filling: Vec::new(),
            fill: 0,
            count: 0,
            size: 0,
        })
    }

    /// Room for the next bytes, never empty. Waits while blocks that are being sent take all the memory.
    ///
    /// # Errors
    /// The failure of a block that is being sent; more bytes than 50,000 blocks hold.
    pub fn space(&mut self) -> Result<&mut [u8], Error> {
        if self.filling.is_empty() {
            let size = self
                .block_sizes
                .block(self.count)
                .ok_or_else(|| too_long(&self.target.name, self.block_sizes.capacity()))?;
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
    /// The failure of a block that is being sent.
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

    /// The stream has ended: waits until the service has all blocks.
    ///
    /// # Errors
    /// The failure of a block.
    pub fn finish(mut self) -> Result<Staged, Error> {
        if self.fill > 0 {
            self.hand_over()?;
        }
        self.blocks.settle()?;
        self.blocks.close();
        let hasher = self.hasher.take().map(thread::JoinHandle::join);
        let Some(Ok(sha256)) = hasher else {
            return Err(Error::new(ErrorKind::Refused, "cannot hash the stream"));
        };
        Ok(Staged {
            target: self.target.clone(),
            options: self.options.clone(),
            count: self.count,
            size: self.size,
            sha256,
        })
    }

    /// Queues the block that is full, and starts another thread if all are busy.
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
