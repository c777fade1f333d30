//! Words for figures and names: text in, text out.

use crate::event;

/// Characters of a bar.
const BAR: usize = 12;

/// How far a stage is, on one line.
pub(super) fn figures(progress: &event::Progress, rate: Option<f64>, with_bar: bool) -> String {
    let event::Progress { phase, done, total, unit, figures } = progress;
    let mut parts = vec![];
    match total {
        Some(total) => {
            let bar = if with_bar { bar(*done as f64 / (*total).max(1) as f64) + " " } else { String::new() };
            let total = amount(*total, unit);
            let done = if unit == "bytes" { size(*done) } else { done.to_string() };
            parts.push(format!("{phase} {bar}{done}/{total}"));
        }
        None => parts.push(format!("{phase} {}", amount(*done, unit))),
    }
    // What matters most comes first: a narrow terminal cuts the rest.
    if let (Some(rate), Some(total)) = (rate, total) {
        parts.push(format!("{} left", duration(total.saturating_sub(*done) as f64 / rate)));
    }
    parts.extend(figures.iter().map(|(name, value)| format!("{name} {}", number(*value))));
    parts.extend(rate.map(|rate| match unit.as_str() {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "for people")]
        "bytes" => format!("{}/s", size(rate as u64)),
        unit => format!("{} {unit}/s", number(rate)),
    }));
    parts.join(" · ")
}

fn amount(count: u64, unit: &str) -> String {
    if unit == "bytes" { size(count) } else { format!("{count} {unit}") }
}

/// `90.9 MB`
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

pub(super) fn bar(part: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and BAR")]
    let full = (part.clamp(0.0, 1.0) * BAR as f64) as usize;
    "█".repeat(full) + &"░".repeat(BAR - full)
}

/// Four digits or so.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1e6 || (size < 1e-3 && size > 0.0) => format!("{value:.2e}"),
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.3}"),
        _ => format!("{value:.4}"),
    }
}

pub(super) fn duration(seconds: f64) -> String {
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
    let seconds = seconds.round() as u64;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{minutes}:{:02} min", seconds % 60),
        _ => format!("{hours}:{minutes:02}:{:02} h", seconds % 60),
    }
}

pub(super) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A name of at most `most` characters: its beginning and its end, which tell sweep points apart.
pub(super) fn shortened(name: &str, most: usize) -> String {
    let chars: Vec<char> = name.chars().collect();
    if chars.len() <= most {
        return name.to_owned();
    }
    let end = most / 2;
    let start = most - end - 1;
    let parts = [&chars[..start], &['…'], &chars[chars.len() - end..]];
    parts.concat().into_iter().collect()
}

/// A word as a shell takes it.
pub fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// Without control characters but line ends: what others wrote must not steer the terminal.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c == '\t' { ' ' } else { c }).filter(|&c| c == '\n' || !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_fit_on_a_line() {
        let progress = event::Progress {
            phase: "train".to_owned(),
            done: 30,
            total: Some(120),
            unit: "steps".to_owned(),
            figures: vec![("loss".to_owned(), 1.23456), ("lr".to_owned(), 5e-6)],
        };
        assert_eq!(
            figures(&progress, Some(2.0), true),
            "train ███░░░░░░░░░ 30/120 steps · 45 s left · loss 1.235 · lr 5.00e-6 · 2.000 steps/s"
        );
        let open = event::Progress { total: None, figures: vec![], ..progress };
        assert_eq!(figures(&open, None, true), "train 30 steps");
        assert_eq!(shortened("a-rather-long-name[task=x,seed=12]", 20), "a-rather-…x,seed=12]");
    }

    #[test]
    fn sizes_read_well() {
        for (bytes, text) in
            [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (90_868_376, "90.9 MB"), (999_999, "1.0 MB")]
        {
            assert_eq!(size(bytes), text);
        }
        let progress = event::Progress {
            phase: "fetch".to_owned(),
            done: 30_000_000,
            total: Some(90_000_000),
            unit: "bytes".to_owned(),
            figures: vec![],
        };
        assert_eq!(
            figures(&progress, Some(2e6), true),
            "fetch ████░░░░░░░░ 30.0 MB/90.0 MB · 30 s left · 2.0 MB/s"
        );
    }

    #[test]
    fn durations_read_well() {
        for (seconds, text) in [
            (0.04, "0.0 s"),
            (9.94, "9.9 s"),
            (9.96, "10 s"),
            (59.4, "59 s"),
            (59.6, "1:00 min"),
            (3599.6, "1:00:00 h"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }
}
