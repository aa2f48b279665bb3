use chrono::{DateTime, Utc};

use super::block_size::BlockSizes;
use crate::Permission;

/// How a blob is written.
#[derive(Debug, Clone)]
pub struct UploadOptions {
    /// Writes over a blob of the same name. Without it a taken name is an error.
    pub overwrite: bool,
    /// `Hot`, `Cool`, `Cold`, `Archive`; none is the account's default.
    pub tier: Option<String>,
    /// Until when an (unlocked) immutability policy retains the blob.
    pub immutable_until: Option<DateTime<Utc>>,
    /// Blob index tags.
    pub tags: Vec<(String, String)>,
    /// The source's size in bytes, where it is known: the blocks are made to fit.
    pub expected_size: Option<u64>,
    /// Memory for blocks in bytes, at least 16 MiB. A block is at most a quarter of it, and a blob has at most
    /// 50,000 blocks.
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
    /// The longest stream that this memory allows, in bytes.
    pub fn capacity(&self) -> u64 {
        self.block_sizes().capacity()
    }

    pub(super) fn block_sizes(&self) -> BlockSizes {
        BlockSizes::new(self.memory, self.expected_size)
    }

    /// What the token must allow.
    pub fn needs(&self) -> Vec<Permission> {
        let wanted = [
            (true, Permission::Create),
            (self.overwrite, Permission::Overwrite),
            (!self.tags.is_empty(), Permission::Tag),
            (self.immutable_until.is_some(), Permission::Immutability),
        ];
        let wanted = wanted.into_iter().filter(|(wanted, _)| *wanted);
        wanted.map(|(_, need)| need).collect()
    }
}
