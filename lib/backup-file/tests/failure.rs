//! Sinks, inputs and temporary files that fail, and what is dropped half done.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this is test code")]

mod sample;

use std::fs::File;
use std::io::{self, Cursor, ErrorKind, Read, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backup_file::{MARKER, PartWriter, ReadError, Reader, SectionKind, Writer};
use sample::{about, backup, options, text};

/// Takes this many bytes, then the disk is full.
#[derive(Debug)]
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self
            .0
            .checked_sub(bytes.len())
            .ok_or(ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps what it takes, and says when it is dropped.
struct Kept(
    Arc<Mutex<Vec<u8>>>,
    #[allow(dead_code, reason = "held, to be dropped")] Sender<()>,
);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn kept() -> (Kept, Arc<Mutex<Vec<u8>>>, Receiver<()>) {
    let bytes = Arc::default();
    let (held, dropped) = channel();
    (Kept(Arc::clone(&bytes), held), bytes, dropped)
}

#[test]
fn a_full_disk() {
    let sql = text(3_000_000);
    for threads in [1, 2, 4] {
        for room in [0, 100_000, 500_000] {
            let mut writer = Writer::new(Full(room), options(1, threads));
            writer.begin(SectionKind::Globals).unwrap();
            // It is found out before long: no more is taken than is on its way.
            let error = (0..1000)
                .find_map(|_| writer.write_all(&sql).err())
                .unwrap();
            assert_eq!(
                error.kind(),
                ErrorKind::StorageFull,
                "{threads} threads, room for {room}"
            );
            let again = [
                writer.write_all(&sql).unwrap_err(),
                writer.copy_from(&mut &sql[..], &mut |_| {}).unwrap_err(),
                writer.begin(SectionKind::End).unwrap_err(),
                writer.finish(about()).unwrap_err(),
            ];
            assert!(
                again
                    .iter()
                    .all(|error| error.kind() == ErrorKind::StorageFull),
                "{again:?}"
            );
        }
    }
}

#[test]
fn a_disk_that_is_full_at_the_very_end() {
    let whole = backup(&[300, 100_000, 20], options(3, 1)).len();
    for threads in [1, 2] {
        for missing in [1, 28, 29, 300] {
            let mut writer = Writer::new(Full(whole - missing), options(3, threads));
            for (at, sql) in sample::sections(&[300, 100_000, 20]).iter().enumerate() {
                writer.begin(sample::kind(at, 3)).unwrap();
                writer.took(sample::TOOK);
                writer.write_all(sql).unwrap();
            }
            let error = writer.finish(about()).err().map(|error| error.kind());
            assert_eq!(error, Some(ErrorKind::StorageFull), "{missing}");
        }
    }
}

#[test]
fn a_writer_that_is_dropped() {
    for threads in [1, 2, 4] {
        for size in [0, 10, 70_000, 9_000_000] {
            let (sink, bytes, dropped) = kept();
            let mut writer = Writer::new(sink, options(1, threads));
            writer.begin(SectionKind::Globals).unwrap();
            writer.write_all(&text(size)).unwrap();
            drop(writer);
            // The sink is gone when the writer is: no thread holds it.
            assert!(
                dropped
                    .try_recv()
                    .is_err_and(|error| error == std::sync::mpsc::TryRecvError::Disconnected)
            );
            assert!(!bytes.lock().unwrap().ends_with(&MARKER));
        }
    }
}

/// Gives some bytes, then fails.
struct Broken(Cursor<Vec<u8>>);

impl Read for Broken {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(ErrorKind::ConnectionReset.into()),
            count => Ok(count),
        }
    }
}

/// Is interrupted before each read.
struct Interrupted(Cursor<Vec<u8>>, bool);

impl Read for Interrupted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            return Err(ErrorKind::Interrupted.into());
        }
        self.0.read(buffer)
    }
}

#[test]
fn an_input_that_breaks() {
    for threads in [1, 2] {
        let mut writer = Writer::new(Vec::new(), options(1, threads));
        let error = writer.copy_from(&mut Broken(Cursor::new(text(700_000))), &mut |_| {});
        assert_eq!(error.unwrap_err().kind(), ErrorKind::ConnectionReset);

        let foreign = [
            0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 200, 0, 55, 255, 1, 2, 3,
        ]
        .to_vec();
        let file = backup(&[300_000, 20], options(3, 1));
        for bytes in [Vec::new(), file[..40].to_vec(), file, foreign] {
            let mut reader = Reader::whole(Box::new(Broken(Cursor::new(bytes))), threads);
            let error = loop {
                match reader.next() {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("an end without an error"),
                    Err(error) => break error,
                }
            };
            for error in [error, reader.finish().unwrap_err()] {
                let ReadError::Io(error) = error else {
                    panic!("{error}");
                };
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            }
        }
    }
}

#[test]
fn an_input_that_is_interrupted() {
    let sql = text(700_000);
    let mut writer = Writer::new(Vec::new(), options(1, 2));
    let mut input = Interrupted(Cursor::new(sql.clone()), false);
    writer.copy_from(&mut input, &mut |_| {}).unwrap();
    let file = writer.finish_without_index().unwrap();
    for threads in [1, 2] {
        let input = Interrupted(Cursor::new(file.clone()), false);
        let report = Reader::whole(Box::new(input), threads).finish().unwrap();
        assert_eq!(report.sql_size, sql.len() as u64);
    }
}

#[test]
fn sql_before_the_first_section() {
    for threads in [1, 2] {
        let mut writer = Writer::new(Vec::new(), options(1, threads));
        writer.write_all(b"SELECT 1;\n").unwrap();
        writer.begin(SectionKind::End).unwrap();
        let error = writer.finish(about()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "SQL was written before the first section began"
        );
    }
}

#[test]
fn a_temporary_file_that_changes() {
    for threads in [1, 2] {
        let file = tempfile::NamedTempFile::new().unwrap();
        let kind = SectionKind::Database("a".into());
        let mut part = PartWriter::new(file.reopen().unwrap(), kind, options(3, threads));
        part.write_all(&text(100_000)).unwrap();
        let part = part.finish(Duration::ZERO).unwrap();
        std::os::unix::fs::FileExt::write_at(file.as_file(), b"?", 5000).unwrap();
        let mut writer = Writer::new(Vec::new(), options(3, threads));
        let error = writer
            .append(part)
            .and_then(|()| writer.finish(about()).map(drop))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the temporary file of database \"a\" does not hold what was written to it"
        );
    }
}

#[test]
fn a_temporary_file_that_cannot_be_written() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for threads in [1, 2] {
        let read_only = File::open(file.path()).unwrap();
        let mut part = PartWriter::new(read_only, SectionKind::Globals, options(3, threads));
        let written = part.write_all(&text(3_000_000));
        let error = written
            .and_then(|()| part.finish(Duration::ZERO).map(drop))
            .unwrap_err();
        assert!(error.raw_os_error().is_some(), "{error}");
    }
}

#[test]
fn readers_that_are_dropped() {
    let file = backup(&[9_000_000, 20], options(1, 1));
    for threads in [1, 2, 4] {
        for pieces in [0, 1, 3] {
            let mut reader = Reader::whole(Box::new(Cursor::new(file.clone())), threads);
            for _ in 0..pieces {
                reader.next().unwrap();
            }
        }
    }
}
