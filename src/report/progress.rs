//! A run as it happens, on standard error: live lines on a terminal, plain ones elsewhere.
//!
//! On a terminal each running stage has a line, with one for the run below them; what is worth keeping
//! (a stage that finished, failed, or said something) is printed above. Elsewhere there are lines only,
//! without control codes.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::words::{bar, clean, counted, duration, figures, shortened};
use crate::event::{self, Event, Level, some_of};

/// How often a running stage gets a plain line.
const PLAIN_EVERY: Duration = Duration::from_secs(10);
/// How often the live lines move by themselves.
const TICK: Duration = Duration::from_millis(120);
/// The longest name on a live line, in characters.
const NAME: usize = 36;

/// Shows a run.
pub struct Progress {
    screen: Screen,
    quiet: bool,
    colour: bool,
    run: Run,
    running: BTreeMap<String, Running>,
    /// Skipped stages, by why.
    skipped: BTreeMap<String, Vec<String>>,
}

enum Screen {
    Live { lines: MultiProgress, overall: ProgressBar },
    Plain(Box<dyn Write + Send>),
}

/// The run so far.
#[derive(Default)]
struct Run {
    stages: usize,
    ran: usize,
    cached: usize,
    failed: usize,
}

/// What a line begins with.
#[derive(Clone, Copy)]
enum Mark {
    None,
    Info,
    Warning,
    Done,
    Failed,
    Skipped,
}

/// A stage that runs, or waits for another process.
struct Running {
    live: Option<ProgressBar>,
    said: Instant,
    meters: BTreeMap<String, Meter>,
}

/// How fast a phase goes, other phases in between included: that is how long the user waits.
struct Meter {
    first: Instant,
    from: u64,
    last: u64,
}

impl Progress {
    /// On standard error. `quiet` shows failures only.
    pub fn on_stderr(quiet: bool) -> Self {
        let lines = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        // A hidden target swallows every line, failures too.
        if !std::io::stderr().is_terminal() || dumb || lines.is_hidden() || quiet {
            return Self::plain(Box::new(std::io::stderr()), quiet);
        }
        let overall = lines.add(ProgressBar::new_spinner().with_style(line_style(false)));
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self::new(Screen::Live { lines, overall }, quiet, colour)
    }

    /// As plain lines.
    pub fn plain(to: Box<dyn Write + Send>, quiet: bool) -> Self {
        Self::new(Screen::Plain(to), quiet, false)
    }

    fn new(screen: Screen, quiet: bool, colour: bool) -> Self {
        Self {
            screen,
            quiet,
            colour,
            run: Run::default(),
            running: BTreeMap::new(),
            skipped: BTreeMap::new(),
        }
    }

    /// Takes in what happened.
    pub fn show(&mut self, event: &Event) {
        match event {
            Event::RunStarted { pipeline, stages, cached, jobs, threads } => {
                self.run.stages = *stages;
                if let Screen::Live { overall, .. } = &self.screen {
                    overall.reset_elapsed();
                    overall.enable_steady_tick(TICK);
                }
                let (stages, jobs) = (counted(*stages, "stage"), counted(*jobs, "job"));
                let threads = counted(*threads, "thread");
                self.say(
                    Mark::None,
                    &format!("{pipeline}: {stages}, {cached} up to date; {jobs} of {threads}"),
                );
            }
            Event::StageCached { stage, .. } => {
                self.run.cached += 1;
                self.take_down(stage);
            }
            Event::StageStarted { stage, kind, device, .. } => {
                if matches!(self.screen, Screen::Plain(_)) {
                    self.say(Mark::Info, &format!("{stage}: {kind} started on {device}"));
                }
                self.put_up(stage, kind);
            }
            Event::StageWaiting { stage, .. } => {
                self.say(Mark::Info, &format!("{stage}: another process is making it; waiting for that"));
                self.put_up(stage, "made by another process");
            }
            Event::StageProgress { stage, progress } => self.advance(stage, progress),
            Event::StageNote { stage, level, text } => self.say(level.into(), &format!("{stage}: {text}")),
            // What makes the stage fail is said when it has.
            Event::StageFinding { stage, finding } if !finding.is_error => {
                self.say(Mark::Warning, &format!("{stage}: {}", finding.message));
            }
            Event::StageFinding { .. } => {}
            Event::RunNote { level, text } => self.say(level.into(), text),
            Event::StageFinished { stage, seconds, unchanged, .. } => {
                self.run.ran += 1;
                self.take_down(stage);
                let same = if *unchanged { ", the same as before" } else { "" };
                self.say(Mark::Done, &format!("{stage}  {}{same}", duration(*seconds)));
            }
            Event::StageRetried { stage, because } => {
                self.take_down(stage);
                self.say(Mark::Warning, &format!("{stage} is put back: {because}"));
            }
            Event::StageFailed { stage, .. } => {
                self.run.failed += 1;
                self.take_down(stage);
                self.print(Mark::Failed, &format!("{stage} failed"));
            }
            Event::StageSkipped { stage, because } => {
                self.take_down(stage);
                self.skipped.entry(because.clone()).or_default().push(stage.clone());
            }
            Event::RunFinished { ran, cached, failed, skipped, seconds, interrupted } => {
                self.clear();
                for (because, stages) in std::mem::take(&mut self.skipped) {
                    self.say(Mark::Skipped, &format!("not run, because {because}: {}", some_of(&stages)));
                }
                let how = if *interrupted {
                    "stopped"
                } else if *failed > 0 {
                    "failed"
                } else {
                    "done"
                };
                let mut parts = vec![format!("{ran} ran"), format!("{cached} up to date")];
                if *failed > 0 {
                    parts.push(format!("{failed} failed"));
                }
                if *skipped > 0 {
                    parts.push(format!("{skipped} not run"));
                }
                self.say(Mark::None, &format!("{how} in {}: {}", duration(*seconds), parts.join(", ")));
            }
        }
        if let Screen::Live { overall, .. } = &self.screen
            && !matches!(event, Event::RunFinished { .. })
        {
            overall.set_message(self.overall());
        }
    }

    /// Prints lines that stay, also when told to be quiet, and sets them off from what follows.
    pub fn block(&mut self, lines: &str) {
        self.print(Mark::None, lines);
        self.print(Mark::None, "");
    }

    /// Takes the live lines down, as at the end of a run.
    pub fn clear(&mut self) {
        for stage in std::mem::take(&mut self.running).into_values() {
            if let Some(live) = stage.live {
                live.finish_and_clear();
            }
        }
        if let Screen::Live { overall, .. } = &self.screen {
            overall.finish_and_clear();
        }
    }

    fn put_up(&mut self, stage: &str, doing: &str) {
        self.take_down(stage);
        let live = match &self.screen {
            Screen::Live { lines, overall } => {
                let live =
                    lines.insert_before(overall, ProgressBar::new_spinner().with_style(line_style(true)));
                live.set_message(format!("{}  {doing}", shortened(stage, NAME)));
                live.enable_steady_tick(TICK);
                Some(live)
            }
            Screen::Plain(_) => None,
        };
        let running = Running { live, said: Instant::now(), meters: BTreeMap::new() };
        self.running.insert(stage.to_owned(), running);
    }

    fn take_down(&mut self, stage: &str) {
        if let (Some(Running { live: Some(live), .. }), Screen::Live { lines, .. }) =
            (self.running.remove(stage), &self.screen)
        {
            live.finish_and_clear();
            lines.remove(&live);
        }
    }

    fn advance(&mut self, stage: &str, progress: &event::Progress) {
        let names = self.running.keys().map(|name| name.chars().count().min(NAME));
        let width = names.max().unwrap_or(0);
        let Some(running) = self.running.get_mut(stage) else { return };
        let now = Instant::now();
        let meter = running
            .meters
            .entry(progress.phase.clone())
            .and_modify(|meter| {
                // The same phase once more.
                if progress.done < meter.last {
                    *meter = Meter { first: now, from: progress.done, last: progress.done };
                }
                meter.last = progress.done;
            })
            .or_insert(Meter { first: now, from: progress.done, last: progress.done });
        let rate = meter.rate(now);
        if let Some(live) = &running.live {
            let name = shortened(stage, NAME);
            live.set_message(clean(&format!("{name:<width$}  {}", figures(progress, rate, true))));
        } else if now - running.said >= PLAIN_EVERY {
            running.said = now;
            let line = format!("{stage}: {}", figures(progress, rate, false));
            self.say(Mark::Info, &line);
        }
    }

    fn overall(&self) -> String {
        let Run { stages, ran, cached, failed } = &self.run;
        let done = ran + cached + failed;
        let mut parts =
            vec![format!("{} {done}/{stages} stages", bar(done as f64 / (*stages).max(1) as f64))];
        if *cached > 0 {
            parts.push(format!("{cached} up to date"));
        }
        if *failed > 0 {
            parts.push(format!("{failed} failed"));
        }
        parts.join(" · ")
    }

    /// Prints what stays, unless told to be quiet.
    fn say(&mut self, mark: Mark, text: &str) {
        if !self.quiet {
            self.print(mark, text);
        }
    }

    fn print(&mut self, mark: Mark, text: &str) {
        let text = format!("{}{}", mark.sign(self.colour), clean(text));
        // Where standard error is closed there is nobody to tell.
        match &mut self.screen {
            Screen::Live { lines, .. } => drop(lines.println(text)),
            Screen::Plain(to) => drop(writeln!(to, "{text}").and_then(|()| to.flush())),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Meter {
    /// Units a second, once there is something to go by.
    fn rate(&self, now: Instant) -> Option<f64> {
        let seconds = (now - self.first).as_secs_f64();
        (self.last > self.from && seconds > 0.2).then(|| (self.last - self.from) as f64 / seconds)
    }
}

impl Mark {
    fn sign(self, colour: bool) -> String {
        let (sign, code) = match self {
            Self::None => return String::new(),
            Self::Info => return "  ".to_owned(),
            Self::Skipped => return "- ".to_owned(),
            Self::Warning => ("!", 33),
            Self::Done => ("✓", 32),
            Self::Failed => ("✗", 31),
        };
        if colour { format!("\x1b[{code}m{sign}\x1b[0m ") } else { format!("{sign} ") }
    }
}

impl From<&Level> for Mark {
    fn from(level: &Level) -> Self {
        match level {
            Level::Info => Self::Info,
            Level::Warning => Self::Warning,
        }
    }
}

fn line_style(spinner: bool) -> ProgressStyle {
    // `wide_msg` cuts what is wider than the terminal.
    let template = if spinner { "{spinner} {wide_msg}" } else { "{elapsed_precise} {wide_msg}" };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Code;
    use crate::digest::Digest;
    use crate::event::Failure;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("page").extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn shown(events: &[Event], quiet: bool) -> String {
        let page = Page::default();
        let mut progress = Progress::plain(Box::new(page.clone()), quiet);
        for event in events {
            progress.show(event);
            if let Event::StageFailed { failure, .. } = event {
                progress.block(&format!("error[{}]: {}\n  \x1b[2Jstep 7", failure.code, failure.message));
            }
        }
        drop(progress);
        let bytes = page.0.lock().expect("page").clone();
        String::from_utf8(bytes).expect("text")
    }

    fn a_run() -> Vec<Event> {
        let key = Digest::of(b"key");
        let stage = |name: &str| name.to_owned();
        let failure = Failure::new(Code::NotFinite, "the loss is not finite");
        let progress = event::Progress {
            phase: "train".to_owned(),
            done: 1,
            total: Some(2),
            unit: "steps".to_owned(),
            figures: vec![],
        };
        vec![
            Event::RunStarted { pipeline: "toy".to_owned(), stages: 5, cached: 1, jobs: 2, threads: 1 },
            Event::StageCached { stage: stage("encoder"), key },
            Event::StageStarted {
                stage: stage("task"),
                key,
                kind: "tokenize".to_owned(),
                device: "cpu".to_owned(),
            },
            Event::StageNote {
                stage: stage("task"),
                level: Level::Warning,
                text: "3 texts were cut".to_owned(),
            },
            Event::StageFinished { stage: stage("task"), key, seconds: 1.25, unchanged: true },
            Event::StageStarted {
                stage: stage("tune[seed=1]"),
                key,
                kind: "train".to_owned(),
                device: "cuda:0".to_owned(),
            },
            Event::StageProgress { stage: stage("tune[seed=1]"), progress },
            Event::StageFailed { stage: stage("tune[seed=1]"), failure, log: Some("cache/x.log".to_owned()) },
            Event::StageSkipped { stage: stage("test"), because: "`tune[seed=1]` failed".to_owned() },
            Event::StageSkipped { stage: stage("export"), because: "`tune[seed=1]` failed".to_owned() },
            Event::RunFinished {
                ran: 1,
                cached: 1,
                failed: 1,
                skipped: 2,
                seconds: 75.0,
                interrupted: false,
            },
        ]
    }

    #[test]
    fn plain_lines_tell_the_whole_run() {
        let expected = "\
toy: 5 stages, 1 up to date; 2 jobs of 1 thread
  task: tokenize started on cpu
! task: 3 texts were cut
✓ task  1.2 s, the same as before
  tune[seed=1]: train started on cuda:0
✗ tune[seed=1] failed
error[T1104]: the loss is not finite
  [2Jstep 7

- not run, because `tune[seed=1]` failed: test, export
failed in 1:15 min: 1 ran, 1 up to date, 1 failed, 2 not run
";
        assert_eq!(shown(&a_run(), false), expected);
    }

    #[test]
    fn quiet_shows_failures_only() {
        let text = shown(&a_run(), true);
        assert!(text.starts_with("✗ tune[seed=1] failed\n"), "{text}");
        assert_eq!(text.lines().count(), 4, "{text}");
    }
}
