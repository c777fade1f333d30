//! Events as JSON lines in a file, for programs.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::event::Event;

/// A file that gets a line an event: the event as JSON, with the `time` it was written (unix seconds).
#[derive(Debug)]
pub struct EventLog {
    file: File,
}

impl EventLog {
    /// Opens the file; what it held is gone.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::create(path)? })
    }

    /// Writes one line, at once and whole.
    pub fn write(&mut self, event: &Event) -> io::Result<()> {
        let mut value = serde_json::to_value(event)?;
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        if let Some(fields) = value.as_object_mut() {
            fields.insert("time".to_owned(), time.into());
        }
        self.file.write_all(format!("{value}\n").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Code;
    use crate::event::{Failure, Level};

    #[test]
    fn every_line_is_an_event_with_its_time() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("events.jsonl");
        std::fs::write(&path, "an older run\n").expect("write");
        let mut log = EventLog::create(&path).expect("create");
        let events = [
            Event::RunNote { level: Level::Warning, text: "two\nlines".to_owned() },
            Event::StageFailed {
                stage: "b".to_owned(),
                failure: Failure::new(Code::CommandFailed, "`sh` exited with status 3").at("run"),
                log: None,
            },
            Event::StageSkipped { stage: "a".to_owned(), because: "`b` failed".to_owned() },
        ];
        for event in &events {
            log.write(event).expect("write");
        }
        let text = std::fs::read_to_string(&path).expect("read");
        let read: Vec<Event> = text.lines().map(|line| serde_json::from_str(line).expect("event")).collect();
        assert_eq!(read, events);
        let first: serde_json::Value =
            serde_json::from_str(text.lines().next().expect("line")).expect("json");
        assert!(text.contains(r#""code":"T1102""#), "{text}");
        assert!(first["time"].as_f64().is_some_and(|time| time > 1.6e9));
    }
}
