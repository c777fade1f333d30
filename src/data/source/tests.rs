//! What is read of files, whatever their format, packing and the blocks they are read in.

use std::io::Write as _;
use std::path::Path;
use std::sync::LazyLock;

use ::parquet as parquet_crate;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use rayon::ThreadPoolBuilder;

use super::*;
use crate::digest::Digest;

static POOL: LazyLock<ThreadPool> =
    LazyLock::new(|| ThreadPoolBuilder::new().num_threads(2).build().expect("a pool"));

/// A file in a folder, as a request names it.
pub(in crate::data) fn file(folder: &Path, name: &str, bytes: &[u8]) -> InputFile {
    let path = folder.join(name);
    std::fs::write(&path, bytes).expect("a file");
    InputFile { path, digest: Digest::of(bytes), name: format!("data/{name}"), stored: false }
}

/// A file's texts and labels, its blank lines, and what is said of its broken lines.
#[derive(Debug, Default, PartialEq, Eq)]
struct Read {
    texts: Vec<String>,
    labels: Vec<Option<String>>,
    blank: Vec<u64>,
    broken: Vec<String>,
}

fn read_file(format: Format, file: &InputFile, params: &Tokenize) -> Result<Read, SourceError> {
    let source = Source { split: "train", format, files: vec![("source/train".to_owned(), file)] };
    let mut read = Read::default();
    source.each(Fields::of(params), &POOL, &mut |place, lines| {
        for line in lines {
            match line.content {
                Content::Blank => read.blank.push(line.number),
                Content::Broken(what) => {
                    read.broken.push(format!("{}: {what}", source.line(place, line.number)));
                }
                Content::Record(record) => {
                    read.texts.push(record.text.into_owned());
                    read.labels.push(record.label.map(Cow::into_owned));
                }
            }
        }
        Ok(())
    })?;
    Ok(read)
}

fn read_as(format: Format, bytes: &[u8], params: &Tokenize) -> Result<Read, SourceError> {
    let folder = tempfile::tempdir().expect("a folder");
    read_file(format, &file(folder.path(), &format!("train.{}", format.name()), bytes), params)
}

fn read(format: Format, bytes: &[u8]) -> Read {
    read_as(format, bytes, &Tokenize::default()).expect("a file")
}

#[track_caller]
fn breaks(format: Format, bytes: &[u8], messages: &[&str]) {
    assert_eq!(read(format, bytes).broken, messages);
}

#[track_caller]
fn fails(format: Format, bytes: &[u8], params: &Tokenize, message: &str, help: Option<&str>) {
    let error = read_as(format, bytes, params).expect_err("a fault");
    assert_eq!((error.to_string().as_str(), error.help().as_deref()), (message, help));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], Compression::fast());
    encoder.write_all(bytes).expect("gzip");
    encoder.finish().expect("gzip")
}

fn zstandard(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("zstd")
}

#[test]
fn lines_with_bom_crlf_blanks_and_no_last_newline() {
    let bytes = b"\xef\xbb\xbffirst\r\n\r\n  \t\n second \n\xe2\x80\x83\nlast";
    let lines = read(Format::Lines, bytes);
    assert_eq!(lines.texts, ["first", " second ", "last"]);
    assert_eq!((lines.labels, lines.blank), (vec![None; 3], vec![2, 3, 5]));
    assert_eq!(read(Format::Lines, b"a\n").blank, [0; 0]);
    assert_eq!(read(Format::Lines, b"a\n\n").blank, [2]);
    assert_eq!(read(Format::Lines, b"\xef\xbb\xbf"), Read::default());
}

#[test]
fn a_file_of_many_blocks_keeps_its_lines_and_their_numbers() {
    let line = "x".repeat(9_999);
    let mut text = format!("{line}\n").repeat(2 * BLOCK / 10_000);
    text += &"y".repeat(3 * BLOCK);
    text += "\n\nlast";
    let lines = read(Format::Lines, text.as_bytes());
    let whole = 2 * BLOCK / 10_000;
    assert_eq!(lines.texts.len(), whole + 2);
    assert!(lines.texts[..whole].iter().all(|text| *text == line));
    assert_eq!(lines.texts[whole].len(), 3 * BLOCK);
    assert_eq!(lines.blank, [whole as u64 + 2]);
    assert_eq!(read(Format::Lines, &gzip(text.as_bytes())), lines);
}

#[test]
fn objects_with_labels_of_each_type() {
    let bytes = br#"{"metadata": {"a": [1, {}]}, "text": "caf\u00e9 \"x\"", "label": "yes"}

            {"label": 3, "text": ""}
            {"text": "plain", "label": -7}
            {"text": "plain", "label": true}
            {"text": "plain", "label": null}"#;
    let objects = read(Format::Jsonl, bytes);
    assert_eq!(objects.texts, ["café \"x\"", "", "plain", "plain", "plain"]);
    let labels: Vec<Option<&str>> = objects.labels.iter().map(Option::as_deref).collect();
    assert_eq!(labels, [Some("yes"), Some("3"), Some("-7"), Some("true"), None]);
    assert_eq!(objects.blank, [2]);
    let Content::Record(record) =
        &lines::records(b"{\"text\": \"a\"}", 1, Format::Jsonl, Fields::of(&Tokenize::default()))[0].content
    else {
        panic!("no record")
    };
    assert!(matches!(record.text, Cow::Borrowed(_)), "a text without escapes is not copied");
}

#[test]
fn fields_by_name_inside_others_and_together() {
    let params = Tokenize {
        text: "paper.title".to_owned(),
        more_text: vec!["abstract".to_owned()],
        join: " – ".to_owned(),
        label: Some("a.b".to_owned()),
        ..Tokenize::default()
    };
    let bytes = br#"{"paper": {"title": "T", "x": 1}, "abstract": "A", "a.b": 1}
{"paper": {"title": "T"}, "abstract": null, "a": {"b": 2}}
{"abstract": "A", "a": {"b": 3}}
{"paper.title": "T", "abstract": "", "a": {"c": 1}}
{"paper": 5, "a": []}
{"paper": {"title": 5}}"#;
    let objects = read_as(Format::Jsonl, bytes, &params).expect("a file");
    assert_eq!(objects.texts, ["T – A", "T", "A", "T"]);
    assert_eq!(objects.labels, [Some("1".into()), Some("2".into()), Some("3".into()), None]);
    assert_eq!(objects.broken.len(), 2);
    assert!(objects.broken[1].contains("in \"paper.title\" or \"abstract\", found a number there"));
}

#[test]
fn of_a_field_that_comes_twice_the_last_counts() {
    let objects = read(Format::Jsonl, br#"{"text": "a", "label": 1, "text": "b", "label": 2}"#);
    assert_eq!((objects.texts, objects.labels), (vec!["b".into()], vec![Some("2".into())]));
}

#[test]
fn objects_say_what_was_expected_and_what_was_found() {
    breaks(
        Format::Jsonl,
        b"{\"text\": \"a\"}\n\n{\"txt\": \"b\"}\n[1]\n{\"text\": 5}\n{\"text\": \"c\", \"label\": [0]}\n",
        &[
            "data/train.jsonl:3: expected a JSON object with a string \"text\", found: {\"txt\": \"b\"}",
            "data/train.jsonl:4: expected a JSON object with a string \"text\", found: [1]",
            "data/train.jsonl:5: expected a JSON object with a string \"text\", found a number there: {\"text\": 5}",
            "data/train.jsonl:6: expected a string, integer or boolean \"label\", found an array: {\"text\": \"c\", \"label\": [0]}",
        ],
    );
    breaks(
        Format::Jsonl,
        b"{\"text\": \"a\n{\"text\": \"a\"} x\n",
        &[
            "data/train.jsonl:1: expected a JSON object with a string \"text\", found: {\"text\": \"a (EOF while parsing a string at column 11)",
            "data/train.jsonl:2: expected a JSON object with a string \"text\", found: {\"text\": \"a\"} x (trailing characters at column 15)",
        ],
    );
    breaks(
        Format::Jsonl,
        b"{\"text\": \"caf\xe9\"}",
        &[
            "data/train.jsonl:1: expected UTF-8, found the byte 0xe9 at column 14: {\"text\": \"caf\u{fffd}\"}",
        ],
    );
}

#[test]
fn tables_with_quotes_crlf_and_empty_lines() {
    let bytes = b"\xef\xbb\xbfid,text,label\r\n1,\"a, \"\"b\"\"\r\nc\",x\r\n\r\n2,,\r\n3,d,y";
    let table = read(Format::Csv, bytes);
    assert_eq!(table.texts, ["a, \"b\"\r\nc", "", "d"]);
    assert_eq!(table.labels, [Some("x".into()), None, Some("y".into())]);
    let table = read(Format::Tsv, b"label\ttext\nx\ta, b\ny\t\"c\td\"\n");
    assert_eq!(table.texts, ["a, b", "c\td"]);
    let plain = Tokenize { quotes: false, ..Tokenize::default() };
    let table = read_as(Format::Tsv, b"label\ttext\nx\t\"a\ny\tb\"\n", &plain).expect("a table");
    assert_eq!(table.texts, ["\"a", "b\""]);
    assert_eq!(read(Format::Csv, b"text\n"), Read::default());
    assert_eq!(read(Format::Csv, b""), Read::default());
}

#[test]
fn a_broken_row_is_named_by_the_line_it_begins_on() {
    breaks(
        Format::Csv,
        b"text,label\n\"a\nb\",x\n\n\nc\n\"d\ne\",y,z\r\nf,x\n\xff,x\n",
        &[
            "data/train.csv:6: expected 2 values, as the first row has, found 1: c",
            "data/train.csv:7: expected 2 values, as the first row has, found 3: d\u{fffd}e, y, z",
            "data/train.csv:10: expected UTF-8, found the byte 0xff at column 1: \u{fffd}",
        ],
    );
    breaks(
        Format::Csv,
        b"text,label\r\na,x\r\n\r\n\"b\r\nb\"\r\nc,x,\r\nd",
        &[
            "data/train.csv:4: expected 2 values, as the first row has, found 1: b\u{fffd}\u{fffd}b",
            "data/train.csv:6: expected 2 values, as the first row has, found 3: c, x, ",
            "data/train.csv:7: expected 2 values, as the first row has, found 1: d",
        ],
    );
}

#[test]
fn a_table_that_cannot_be_read_says_why() {
    let named = Tokenize { label: Some("class".to_owned()), ..Tokenize::default() };
    let csv = |bytes: &[u8], params: &Tokenize, message: &str, help: &str| {
        fails(Format::Csv, bytes, params, message, Some(help));
    };
    csv(
        b"Text,label\na,b\n",
        &Tokenize::default(),
        "`data/train.csv` has no column `text`; its columns are `Text`, `label`",
        "did you mean `Text`?",
    );
    csv(
        b"text,clas\na,b\n",
        &named,
        "`data/train.csv` has no column `class`; its columns are `text`, `clas`",
        "did you mean `clas`?",
    );
    csv(
        b"text, label\na,b\n",
        &Tokenize::default(),
        "`data/train.csv` has no column `label`; its columns are `text`, ` label`",
        "did you mean ` label`?",
    );
    csv(
        b"I like it,1\nnot,0\n",
        &Tokenize::default(),
        "`data/train.csv` has no column `text`; its columns are `I like it`, `1`",
        "`text` and `label` name the columns; the first row of a table holds their names",
    );
    csv(
        b"text,text\na,b\n",
        &Tokenize::default(),
        "`data/train.csv` has more than one column `text`",
        "give each column a name of its own",
    );
    csv(
        b"text,label\na,b\n\"c,d\ne,f\n",
        &Tokenize::default(),
        "`data/train.csv` has a quote that opens in the row of line 3 and is never closed",
        "if a quote means nothing in this file, say `quotes: false`",
    );
}

#[test]
fn packed_files_that_are_cut_or_changed() {
    let params = Tokenize::default();
    let text = "a line of text\n".repeat(5000);
    for (packed, name) in [(gzip(text.as_bytes()), "gzip"), (zstandard(text.as_bytes()), "zstd")] {
        assert_eq!(read(Format::Lines, &packed).texts.len(), 5000);
        assert_eq!(read(Format::Lines, &packed.repeat(2)).texts.len(), 10_000, "{name} of two members");
        let error =
            read_as(Format::Lines, &packed[..packed.len() - 5], &params).expect_err("cut").to_string();
        let start = format!("cannot unpack data/train.lines, which is cut or no good {name}: ");
        assert!(error.starts_with(&start), "{error}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut other = file(folder.path(), "train.txt", b"a\nb\n");
    std::fs::write(&other.path, b"a\n{").expect("write");
    let error = read_file(Format::Jsonl, &other, &params).expect_err("changed");
    assert_eq!(error, SourceError::Changed { file: "data/train.txt".to_owned() });
    other.stored = true;
    assert!(
        matches!(read_file(Format::Csv, &other, &params), Err(SourceError::Damaged { role, .. }) if role == "source/train")
    );
    assert!(matches!(read_file(Format::Parquet, &other, &params), Err(SourceError::Damaged { .. })));
    std::fs::remove_file(&other.path).expect("remove");
    for format in [Format::Lines, Format::Parquet] {
        assert!(matches!(
            read_file(format, &other, &params),
            Err(SourceError::Damaged { how: "it is gone", .. })
        ));
    }
}

/// Parquet of strings, written as other tools write it.
fn parquet_of(
    columns: &[(&str, Vec<Option<String>>)],
    compression: parquet_crate::basic::Compression,
    rows: usize,
) -> Vec<u8> {
    use parquet_crate::basic::{ConvertedType, Repetition, Type as Physical};
    use parquet_crate::data_type::{ByteArray, ByteArrayType};
    use parquet_crate::file::properties::WriterProperties;
    use parquet_crate::file::writer::SerializedFileWriter;
    use parquet_crate::schema::types::Type;

    let fields = columns.iter().map(|(name, _)| {
        let builder = Type::primitive_type_builder(name, Physical::BYTE_ARRAY);
        let builder = builder.with_repetition(Repetition::OPTIONAL).with_converted_type(ConvertedType::UTF8);
        std::sync::Arc::new(builder.build().expect("a column"))
    });
    let schema = Type::group_type_builder("schema").with_fields(fields.collect()).build().expect("a schema");
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut bytes = vec![];
    let mut writer =
        SerializedFileWriter::new(&mut bytes, std::sync::Arc::new(schema), std::sync::Arc::new(properties))
            .expect("a writer");
    let all = columns[0].1.len();
    for start in (0..all).step_by(rows) {
        let mut group = writer.next_row_group().expect("a group");
        for (_, values) in columns {
            let values = &values[start..all.min(start + rows)];
            let mut column = group.next_column().expect("a column").expect("a column");
            let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
            let texts: Vec<ByteArray> = values.iter().flatten().map(|text| text.as_str().into()).collect();
            column.typed::<ByteArrayType>().write_batch(&texts, Some(&levels), None).expect("values");
            column.close().expect("a column");
        }
        group.close().expect("a group");
    }
    writer.close().expect("a file");
    bytes
}

fn csv_of(columns: &[(&str, Vec<Option<String>>)], delimiter: &str, end: &str) -> Vec<u8> {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let mut rows =
        vec![columns.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>().join(delimiter)];
    for row in 0..columns[0].1.len() {
        let values = columns.iter().map(|(_, values)| quoted(values[row].as_deref().unwrap_or_default()));
        rows.push(values.collect::<Vec<_>>().join(delimiter));
    }
    rows.iter().map(|row| row.clone() + end).collect::<String>().into_bytes()
}

#[test]
fn parquet_of_every_kind_of_column() {
    use parquet_crate::basic::{Compression, GzipLevel, ZstdLevel};
    let texts: Vec<Option<String>> = (0..3000).map(|i| Some(format!("text {i}"))).collect();
    let labels: Vec<Option<String>> = (0..3000).map(|i| (i % 7 > 0).then(|| format!("{}", i % 3))).collect();
    let columns = [("other", labels.clone()), ("label", labels.clone()), ("text", texts.clone())];
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
        Compression::GZIP(GzipLevel::default()),
    ] {
        let table = read(Format::Parquet, &parquet_of(&columns, compression, 1000));
        assert_eq!(table.texts.len(), 3000);
        assert_eq!((table.texts[2999].as_str(), &table.labels), ("text 2999", &labels));
    }
    let mut bare = parquet_of(&[("text", vec![Some("a".to_owned()), None])], Compression::SNAPPY, 10);
    assert_eq!(
        read(Format::Parquet, &bare).broken,
        ["data/train.parquet, row 2: expected a string in \"text\", found null"]
    );
    fails(
        Format::Parquet,
        &bare,
        &Tokenize { text: "txt".to_owned(), ..Tokenize::default() },
        "`data/train.parquet` has no column `txt`; its columns are `text`",
        Some("did you mean `text`?"),
    );
    bare.truncate(bare.len() - 3);
    let error = read_as(Format::Parquet, &bare, &Tokenize::default()).expect_err("cut").to_string();
    assert!(error.starts_with("`data/train.parquet` cannot be read as Parquet: "), "{error}");
}

/// What may stand in a text: among other things, whatever a format has a use for.
fn a_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        prop::collection::vec(
            prop::sample::select(vec!["\"", ",", "\t", "\n", "\r\n", "\\", "é", "{", " ", "a", "\u{feff}"]),
            0..12,
        )
        .prop_map(|parts| parts.concat()),
    ]
}

proptest! {
    #[test]
    fn a_text_is_the_same_in_every_format(
        records in prop::collection::vec((a_text(), a_text()), 1..20),
        packing in 0_usize..3,
        rows in 1_usize..5,
    ) {
        use parquet_crate::basic::{Compression, ZstdLevel};
        let texts: Vec<String> = records.iter().map(|(text, _)| text.clone()).collect();
        // An empty value of a table is no label.
        let labels: Vec<String> = records.iter().map(|(_, label)| format!("l{label}")).collect();
        let lines = records.iter().zip(&labels).map(|((text, _), label)| {
            serde_json::json!({"text": text, "label": label}).to_string() + "\r\n"
        });
        let some = |values: &[String]| values.iter().cloned().map(Some).collect::<Vec<_>>();
        let columns = [("label", some(&labels)), ("text", some(&texts))];
        let packed = |bytes: Vec<u8>| match packing {
            0 => bytes,
            1 => gzip(&bytes),
            _ => zstandard(&bytes),
        };
        let compression = [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(ZstdLevel::default())][packing];
        for (format, bytes) in [
            (Format::Jsonl, packed(lines.collect::<String>().into_bytes())),
            (Format::Csv, packed(csv_of(&columns, ",", "\r\n"))),
            (Format::Tsv, packed(csv_of(&columns, "\t", "\n"))),
            (Format::Parquet, parquet_of(&columns, compression, rows)),
        ] {
            let read = read(format, &bytes);
            prop_assert_eq!(&read.texts, &texts, "{}", format.name());
            let found: Vec<String> = read.labels.into_iter().flatten().collect();
            prop_assert_eq!(&found, &labels, "{}", format.name());
        }
    }

    #[test]
    fn bad_bytes_never_panic(bytes: Vec<u8>, place in any::<prop::sample::Index>(), byte: u8, packing in 0_usize..4) {
        let columns = [("text", vec![Some("a".to_owned()), Some("b".to_owned())])];
        let mut sound = match packing {
            0 => gzip(b"text\na\nb\n"),
            1 => zstandard(b"text\na\nb\n"),
            _ => parquet_of(&columns, parquet_crate::basic::Compression::SNAPPY, 1),
        };
        let at = place.index(sound.len());
        sound[at] = byte;
        for (_, format) in Format::ALL {
            for bytes in [&bytes, &sound] {
                if let Err(error) = read_as(format, bytes, &Tokenize::default()) {
                    prop_assert!(!error.to_string().is_empty());
                }
            }
        }
    }

    #[test]
    fn what_is_nearly_json_never_panics(
        parts in prop::collection::vec(prop::sample::select(vec![
            "{", "}", "[", "]", ":", ",", "\"", "\"text\"", "\"label\"", "\"a\"", "\\ud800", "1", "-0", "1e999",
            "true", "null", " ", "\n", "\r", "\u{feff}", "\u{2028}",
        ]), 0..40),
    ) {
        read(Format::Jsonl, parts.concat().as_bytes());
    }
}
