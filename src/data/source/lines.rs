//! Lines: a text or a JSON object on each. Lines that hold nothing but white space are skipped.

use std::borrow::Cow;
use std::io::{BufRead, ErrorKind};
use std::sync::mpsc::SyncSender;

use rayon::prelude::*;

use super::broken::not_utf8;
use super::bytes::Stop;
use super::{BLOCK, Block, Content, Fault, Fields, LONGEST, Line, Record, json};
use crate::action::Format;

/// Lines that one task of the pool makes records of.
const LINES_PER_TASK: usize = 64;

/// Sends a file's lines in blocks. A byte order mark at its start is no part of it.
pub(super) fn read(input: &mut dyn BufRead, blocks: &SyncSender<Block>) -> Result<(), Stop> {
    let mut first = 1;
    let mut bytes: Vec<u8> = vec![];
    let mut at_start = true;
    loop {
        // Up to here no line ends.
        let searched = bytes.len();
        let ended = fill(input, &mut bytes, searched + BLOCK)?;
        if at_start && (ended || bytes.len() >= 3) {
            at_start = false;
            if bytes.starts_with(b"\xef\xbb\xbf") {
                bytes.drain(..3);
            }
        }
        let searched = searched.min(bytes.len());
        let end = match bytes[searched..].iter().rposition(|&byte| byte == b'\n') {
            _ if ended => bytes.len(),
            Some(at) => searched + at + 1,
            None if bytes.len() > LONGEST => return Err(Stop::Fault(Fault::Long { line: first })),
            None => continue,
        };
        let rest = bytes.split_off(end);
        let block = std::mem::replace(&mut bytes, rest);
        let count = block.split(|&byte| byte == b'\n').count() as u64 - 1;
        if !block.is_empty() {
            blocks.send(Block::Lines { bytes: block, first }).map_err(|_| Stop::Unheard)?;
        }
        if ended {
            return Ok(());
        }
        first += count;
    }
}

/// Reads until there are `wanted` bytes, or no more. Gives back whether there are no more.
fn fill(input: &mut dyn BufRead, bytes: &mut Vec<u8>, wanted: usize) -> Result<bool, Stop> {
    bytes.reserve(wanted.saturating_sub(bytes.len()));
    while bytes.len() < wanted {
        let more = match input.fill_buf() {
            Ok([]) => return Ok(true),
            Ok(more) => &more[..more.len().min(wanted - bytes.len())],
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        bytes.extend_from_slice(more);
        let count = more.len();
        input.consume(count);
    }
    Ok(false)
}

/// The records of a block of lines, the first of which has the number `first`.
pub(super) fn records<'b>(bytes: &'b [u8], first: u64, format: Format, fields: Fields) -> Vec<Line<'b>> {
    let mut lines: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
    // What follows the last line's end is no line.
    if lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    lines
        .into_par_iter()
        .with_min_len(LINES_PER_TASK)
        .enumerate()
        .map(|(index, line)| {
            let content = content(line.strip_suffix(b"\r").unwrap_or(line), format, fields);
            Line { number: first + index as u64, content }
        })
        .collect()
}

fn content<'b>(line: &'b [u8], format: Format, fields: Fields) -> Content<'b> {
    let line = match std::str::from_utf8(line) {
        Ok(line) => line,
        Err(error) => return Content::Broken(not_utf8(line, error.valid_up_to()).into()),
    };
    if line.trim().is_empty() {
        return Content::Blank;
    }
    if format == Format::Lines {
        return Content::Record(Record {
            text: Cow::Borrowed(line),
            label: None,
            shown: line,
            has: u64::MAX,
        });
    }
    match json::record(line, fields) {
        Ok(record) => Content::Record(record),
        Err(wrong) => Content::Broken(wrong),
    }
}
