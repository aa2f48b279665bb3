//! What is in an archive.

use std::ops::ControlFlow;

use super::archived::Archived;
use super::error::ArchiveError;
use super::{Archive, Place, directory};
use crate::layout::{archive_directory, name_in_archive};

impl Archive {
    /// Hands every file of the archive to `each`, in the order of their names in the store (`NAME.gz`). What has another form is passed over, and
    /// an archive that is not there is empty.
    ///
    /// # Errors
    /// The store cannot be listed to its end. `each` has seen a part then.
    pub fn list(&self, mut each: impl FnMut(Archived)) -> Result<(), ArchiveError> {
        self.list_beginning("", |file| {
            each(file);
            ControlFlow::Continue(())
        })
    }

    /// As [`list`](Self::list), only the files whose names begin with `begin` (`00000001`: all of timeline 1), until
    /// `each` breaks.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub fn list_beginning(
        &self,
        begin: &str,
        mut each: impl FnMut(Archived) -> ControlFlow<()>,
    ) -> Result<(), ArchiveError> {
        match &self.place {
            Place::Directory(_, path) => {
                let mut files = directory::files(path, begin)?.into_iter();
                let _ = files.try_for_each(each);
            }
            Place::Container(client) => {
                let directory = format!("{}/", archive_directory(self.system));
                client.list_beginning(&format!("{directory}{begin}"), |blob| {
                    let name = blob.name.strip_prefix(&directory).and_then(name_in_archive);
                    match name {
                        Some(name) => each(Archived {
                            name,
                            size: blob.properties.size,
                            stored: blob.properties.last_modified,
                        }),
                        None => ControlFlow::Continue(()),
                    }
                })?;
            }
        }
        Ok(())
    }

    /// Whether there is any file in it whose name begins with `begin`.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub fn holds_any(&self, begin: &str) -> Result<bool, ArchiveError> {
        let mut any = false;
        self.list_beginning(begin, |_| {
            any = true;
            ControlFlow::Break(())
        })?;
        Ok(any)
    }
}
