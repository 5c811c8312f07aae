//! Whether the batches of the database's journals stand in their order.
//!
//! The database's checksum of a batch leaves out its sequence number, by which a later write hides an earlier one: a
//! damaged number would mix two states. Must not judge anything else, and changes nothing: what is torn or not what
//! its checksum says, the database finds by itself. Invariant: numbers of batches grow within a journal and from one
//! to the next; what cannot be read ends the look.
//!
//! Source of the format: `journal/entry.rs` of fjall 3. A batch is a start `1, items u32, number u64`; items `2, kind
//! u8, compression u8, table u64, key length u16, value length u32, stored length u32, key, stored value` or
//! `4, table u64`; an end `3, checksum u64, magic`. Numbers are little-endian.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
/// Checksum and magic.
const END_BYTES: u64 = 8 + 4;

/// Looks at all journals of a database. `Err` with [`io::ErrorKind::InvalidData`] where batches are out of order.
pub(super) fn check(database: &Path) -> io::Result<()> {
    let mut last = None;
    for path in journals(database)? {
        let mut reader = BufReader::with_capacity(1 << 16, File::open(&path)?);
        while let Some(number) = next_batch(&mut reader)? {
            if last.is_some_and(|last| number <= last) {
                let reason = format!("{}: its batches are out of order", path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
            last = Some(number);
        }
    }
    Ok(())
}

/// In the order in which they were written.
fn journals(database: &Path) -> io::Result<Vec<PathBuf>> {
    if !database.try_exists()? {
        return Ok(Vec::new());
    }
    let paths: Vec<_> = fs::read_dir(database)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    let number = |path: &Path| path.file_stem().and_then(OsStr::to_str).and_then(|name| name.parse().ok());
    let mut journals: Vec<(u64, _)> = paths
        .into_iter()
        .filter(|path| path.extension() == Some(OsStr::new("jnl")))
        .filter_map(|path| Some((number(&path)?, path)))
        .collect();
    journals.sort();
    Ok(journals.into_iter().map(|(_, path)| path).collect())
}

/// The number of the batch that is read next; `None` where no whole one is left.
fn next_batch(reader: &mut BufReader<File>) -> io::Result<Option<u64>> {
    match read_batch(reader) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        found => found,
    }
}

fn read_batch(reader: &mut BufReader<File>) -> io::Result<Option<u64>> {
    let [START] = bytes(reader)? else { return Ok(None) };
    let _items: [u8; 4] = bytes(reader)?;
    let number = u64::from_le_bytes(bytes(reader)?);
    loop {
        match bytes(reader)? {
            [ITEM] => {
                let _kind_compression_and_table: [u8; 10] = bytes(reader)?;
                let key = u16::from_le_bytes(bytes(reader)?);
                let _value: [u8; 4] = bytes(reader)?;
                let stored = u32::from_le_bytes(bytes(reader)?);
                skip(reader, u64::from(key) + u64::from(stored))?;
            }
            [CLEAR] => skip(reader, size_of::<u64>() as u64)?,
            [END] => return skip(reader, END_BYTES).map(|()| Some(number)),
            _ => return Ok(None),
        }
    }
}

fn bytes<const COUNT: usize>(reader: &mut BufReader<File>) -> io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn skip(reader: &mut BufReader<File>, count: u64) -> io::Result<()> {
    let skipped = io::copy(&mut reader.take(count), &mut io::sink())?;
    if skipped == count { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
