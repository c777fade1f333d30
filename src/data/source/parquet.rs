//! Parquet: columns of texts and labels, whatever their encoding and compression. No other column is read.

use std::borrow::Cow;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::{Field, Row};
use parquet::schema::types::{Type, TypePtr};

use super::broken::not_utf8;
use super::bytes::{Stop, open};
use super::{BLOCK, Block, Fault, Fields, Row as Line, SourceError};
use crate::action::InputFile;

/// Sends a file's rows in blocks.
pub(super) fn read(
    role: &str,
    file: &InputFile,
    fields: Fields,
    blocks: &SyncSender<Block>,
) -> Result<(), SourceError> {
    let bytes = open(role, file)?;
    // The reader trusts what a file says of itself, and panics where that contradicts itself.
    let read = catch_unwind(AssertUnwindSafe(|| rows(bytes, fields, blocks)));
    let fault = match read {
        Ok(Ok(()) | Err(Stop::Unheard)) => return Ok(()),
        Ok(Err(Stop::Fault(fault))) => fault,
        Ok(Err(Stop::Io(error))) => Fault::Parquet(error.to_string()),
        Err(_) => Fault::Parquet("what it says of itself does not hold together".to_owned()),
    };
    Err(SourceError::Fault { file: file.name.clone(), fault })
}

impl From<ParquetError> for Stop {
    fn from(error: ParquetError) -> Self {
        Self::Fault(Fault::Parquet(match error {
            ParquetError::General(why) | ParquetError::EOF(why) | ParquetError::NYI(why) => why,
            other => other.to_string(),
        }))
    }
}

fn rows(file: File, fields: Fields, blocks: &SyncSender<Block>) -> Result<(), Stop> {
    let reader = SerializedFileReader::new(file)?;
    let schema = reader.metadata().file_metadata().schema();
    let columns = columns(schema, fields)?;
    let wanted = Type::group_type_builder(schema.name()).with_fields(columns).build()?;
    let (mut block, mut size) = (vec![], 0);
    for (row, number) in reader.get_row_iter(Some(wanted))?.zip(1..) {
        let content = content(&row?, fields);
        size += content.as_ref().map_or(64, |(text, _)| text.len() + 64);
        block.push(Line { number, content });
        if size >= BLOCK {
            blocks.send(Block::Rows(std::mem::take(&mut block))).map_err(|_| Stop::Unheard)?;
            size = 0;
        }
    }
    if block.is_empty() { Ok(()) } else { blocks.send(Block::Rows(block)).map_err(|_| Stop::Unheard) }
}

/// The columns that have the fields, each once.
fn columns(schema: &Type, fields: Fields) -> Result<Vec<TypePtr>, Stop> {
    let all = schema.get_fields();
    let find = |wanted: &str| all.iter().find(|column| has(column, wanted));
    let mut columns: Vec<TypePtr> = vec![];
    let label = (fields.label, !fields.label_is_named, fields.label_said());
    let texts = fields.texts().map(|name| (name, false, fields.text_said()));
    for (wanted, is_optional, said) in texts.chain([label]) {
        match find(wanted) {
            Some(column) if columns.iter().any(|known| Arc::ptr_eq(known, column)) => {}
            Some(column) => columns.push(Arc::clone(column)),
            None if is_optional => {}
            None => {
                let columns = all.iter().map(|column| column.name().to_owned()).collect();
                return Err(Stop::Fault(Fault::NoColumn { column: wanted.to_owned(), columns, said }));
            }
        }
    }
    Ok(columns)
}

/// Whether a field is in a column: the column itself, or a member of the group that it is.
fn has(column: &Type, wanted: &str) -> bool {
    let Some(rest) = wanted.strip_prefix(column.name()) else { return false };
    match rest.strip_prefix('.') {
        Some(rest) => column.is_group() && column.get_fields().iter().any(|member| has(member, rest)),
        None => rest.is_empty(),
    }
}

/// The value of a field in a row.
fn value<'r>(row: &'r Row, wanted: &str) -> Option<&'r Field> {
    row.get_column_iter().find_map(|(name, field)| {
        let rest = wanted.strip_prefix(name.as_str())?;
        match (rest.strip_prefix('.'), field) {
            (Some(rest), Field::Group(row)) => value(row, rest),
            (None, field) if rest.is_empty() => Some(field),
            _ => None,
        }
    })
}

/// The text and label of a row.
fn content(row: &Row, fields: Fields) -> Result<(String, Option<String>), String> {
    let several = fields.texts().nth(1).is_some();
    let mut parts = vec![];
    for wanted in fields.texts() {
        parts.push(match value(row, wanted) {
            Some(Field::Str(text)) => Some(Cow::Borrowed(text.as_str())),
            Some(Field::Bytes(bytes)) => Some(Cow::Borrowed(utf8(bytes.data())?)),
            Some(Field::Null) | None if several => None,
            Some(other) => return Err(format!("expected a string in \"{wanted}\", found {}", kind(other))),
            None => None,
        });
    }
    let text = fields.join(parts.into_iter());
    let text =
        text.ok_or_else(|| format!("expected a string in {}, found null", fields.named()))?.into_owned();
    let label = match value(row, fields.label) {
        None | Some(Field::Null) => None,
        Some(Field::Str(label)) => Some(label.clone()),
        Some(Field::Bytes(bytes)) => Some(utf8(bytes.data())?.to_owned()),
        Some(Field::Bool(truth)) => Some(truth.to_string()),
        Some(Field::Byte(number)) => Some(number.to_string()),
        Some(Field::Short(number)) => Some(number.to_string()),
        Some(Field::Int(number)) => Some(number.to_string()),
        Some(Field::Long(number)) => Some(number.to_string()),
        Some(Field::UByte(number)) => Some(number.to_string()),
        Some(Field::UShort(number)) => Some(number.to_string()),
        Some(Field::UInt(number)) => Some(number.to_string()),
        Some(Field::ULong(number)) => Some(number.to_string()),
        Some(other) => {
            let label = fields.label;
            return Err(format!(
                "expected a string, integer or boolean in \"{label}\", found {}",
                kind(other)
            ));
        }
    };
    Ok((text, label))
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|error| not_utf8(bytes, error.valid_up_to()))
}

fn kind(field: &Field) -> &'static str {
    match field {
        Field::Null => "null",
        Field::Bool(_) => "a boolean",
        Field::Group(_) | Field::MapInternal(_) => "an object",
        Field::ListInternal(_) => "a list",
        Field::Str(_) => "a string",
        Field::Bytes(_) => "bytes",
        _ => "a number",
    }
}
