//! Lines of a file, read once from front to back with bounded memory, and again one by one.
//!
//! Must not hold more than one line and one window of the file.
//! Invariant: a line is at most [`LINE_LIMIT`] bytes; its end (`\n` or `\r\n`) is no part of it.

use std::{
    fs::File,
    io::{BufRead, BufReader, ErrorKind, Read},
    os::unix::fs::FileExt,
    path::Path,
};

use sha2::{Digest, Sha256};

use super::ReplayError;

/// Longest line of any source, bytes.
pub const LINE_LIMIT: usize = 1 << 20;

const WINDOW: usize = 8 << 10;

/// Reads a file from front to back, hashing what it reads.
pub(super) struct Lines<'a, R> {
    path: &'a Path,
    reader: BufReader<R>,
    hash: Sha256,
    number: u64,
    offset: u64,
}

/// Where a line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LineAt {
    /// From 1.
    pub(super) number: u64,
    /// Byte of its first character.
    pub(super) offset: u64,
}

impl<'a, R: Read> Lines<'a, R> {
    pub(super) fn new(path: &'a Path, reader: R) -> Self {
        Self {
            path,
            reader: BufReader::with_capacity(64 << 10, reader),
            hash: Sha256::new(),
            number: 0,
            offset: 0,
        }
    }

    /// Replaces `line` by the next one; `None` at the end.
    pub(super) fn next(&mut self, line: &mut Vec<u8>) -> Result<Option<LineAt>, ReplayError> {
        line.clear();
        let at = LineAt { number: self.number + 1, offset: self.offset };
        loop {
            let chunk = match self.reader.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(ReplayError::unreadable(self.path, error)),
            };
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let (text, _) = chunk.split_at(end.unwrap_or(chunk.len()));
            let used = text.len() + usize::from(end.is_some());
            if line.len() + text.len() > LINE_LIMIT {
                return Err(ReplayError::LineTooLong { path: self.path.into(), line: at.number });
            }
            line.extend_from_slice(text);
            self.hash.update(chunk.get(..used).unwrap_or_default());
            self.offset += used as u64;
            self.reader.consume(used);
            if end.is_some() || used == 0 {
                break;
            }
        }
        if self.offset == at.offset {
            return Ok(None);
        }
        self.number = at.number;
        strip_return(line);
        Ok(Some(at))
    }

    /// Hash of all that was read.
    pub(super) fn digest(self) -> [u8; 32] {
        self.hash.finalize().into()
    }
}

/// Reads single lines at known places, through one window.
#[derive(Default)]
pub(super) struct LineWindow {
    file: usize,
    start: u64,
    bytes: Vec<u8>,
    /// Whether the window reaches the end of the file.
    last: bool,
}

impl LineWindow {
    /// The line that begins at `offset` of `file`, and the offset of the next.
    pub(super) fn line(
        &mut self,
        (number, file, path): (usize, &File, &Path),
        offset: u64,
    ) -> Result<(&[u8], u64), ReplayError> {
        let mut size = WINDOW;
        loop {
            if let Some((start, end, next)) = self.find(number, offset, size > LINE_LIMIT) {
                let line = self.bytes.get(start..end).unwrap_or_default();
                return Ok((line.strip_suffix(b"\r").unwrap_or(line), next));
            }
            self.fill(number, file, offset, size).map_err(|error| ReplayError::unreadable(path, error))?;
            size *= 4;
        }
    }

    fn find(&self, number: usize, offset: u64, give_up: bool) -> Option<(usize, usize, u64)> {
        let start = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        let rest = self.bytes.get(start..).filter(|_| self.file == number)?;
        match rest.iter().position(|byte| *byte == b'\n') {
            Some(end) => Some((start, start + end, offset + end as u64 + 1)),
            None if self.last || give_up => {
                Some((start, self.bytes.len(), self.start + self.bytes.len() as u64))
            }
            None => None,
        }
    }

    fn fill(&mut self, number: usize, file: &File, offset: u64, size: usize) -> std::io::Result<()> {
        self.file = number;
        self.start = offset;
        self.bytes.clear();
        self.bytes.resize(size, 0);
        let mut filled = 0;
        while let Some(space) = self.bytes.get_mut(filled..).filter(|space| !space.is_empty()) {
            match file.read_at(space, offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.last = filled < size;
        self.bytes.truncate(filled);
        Ok(())
    }
}

fn strip_return(line: &mut Vec<u8>) {
    if line.last() == Some(&b'\r') {
        line.pop();
    }
}
