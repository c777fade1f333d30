//! `tartan results`: tables of what is in the store.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::path::PathBuf;

use super::figures::{self, IfMissing};
use super::pipeline::{Choice, Loaded, load};
use super::{Exit, Fault, out};
use crate::action::Metric;
use crate::diag::{Code, Diagnostic, list};
use crate::exec::{NodeStatus, known};
use crate::plan::NodeId;
use crate::report::table::{self, Table};
use crate::report::{Records, ReportError, axes, print, raw, shell_word};
use crate::spec::{Axes, Block, Report, Stages};

const EXAMPLES: &str = "\
A cell is the mean ± the sample standard deviation over what is averaged over; the best of a column is bold.
With a baseline, its differences are tested: paired permutation test, bootstrap interval.

Without `report` in the pipeline, each metric of each evaluate stage has a table: seeds are averaged over, a
variable that decides which texts are scored makes columns, and the rest make rows.

The figures of `report` are drawn again when every result of the pipeline's own sweep is there, and stay as
they are when `--set`, STAGES or other axes leave some out, or the format is csv or json.

Examples:
  tartan results main.yaml                                    the pipeline's own tables
  tartan results main.yaml --baseline fine-tune               what differs from fine-tuning, and how surely
  tartan results main.yaml test --metric accuracy --columns task
  tartan results main.yaml --format latex > table.tex
  tartan results main.yaml --format csv > scores.csv          every single score, with its key";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The pipeline's file
    pipeline: PathBuf,
    /// Stages to show [default: those of the pipeline's `report`, or else every evaluate stage]
    stages: Vec<String>,
    #[command(flatten)]
    choice: Choice,
    /// Variables whose values are rows, with commas between
    #[arg(long, value_name = "VAR", value_delimiter = ',')]
    rows: Vec<String>,
    /// Variables whose values are columns, with commas between
    #[arg(long, value_name = "VAR", value_delimiter = ',')]
    columns: Vec<String>,
    /// The variable to average over
    #[arg(long, value_name = "VAR")]
    over: Option<String>,
    /// Metrics to show, or numbers of command stages, a table each, in place of the pipeline's `report`
    #[arg(long, value_name = "METRIC", value_delimiter = ',')]
    metric: Vec<String>,
    /// The value of a variable to compare the others with
    #[arg(long, value_name = "VALUE")]
    baseline: Option<String>,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For the terminal
    Text,
    /// For notes and issues
    Markdown,
    /// For papers, with booktabs
    Latex,
    /// Every single score, a line a sweep point
    Csv,
    /// Cells with their statistics, and every single score
    Json,
}

pub(super) fn run(args: &Args) -> Result<Exit, Fault> {
    let loaded = load(&args.pipeline, &args.stages, &args.choice)?;
    let status = known(&loaded.plan, &loaded.store, &BTreeSet::new())?;
    let records: Records = status
        .iter()
        .filter_map(|(id, status)| match status {
            NodeStatus::Cached(artifacts) => Some((id, artifacts.clone())),
            _ => None,
        })
        .collect();
    let reports = reports(args, &loaded)?;
    let (tables, not_given) = tables(&reports, &loaded, &records)?;
    // Data for another program are no reason to draw.
    let drawn = if matches!(args.format, Format::Csv | Format::Json) {
        Ok(vec![])
    } else {
        figures::draw(&reports, &tables, &loaded, &records, IfMissing::Leave)
    };
    let (tables, absent): (Vec<Table>, Vec<Table>) = tables.into_iter().partition(|table| !table.is_empty());
    for stage in absent.iter().flat_map(|table| &table.stages) {
        out::note(format_args!("no table of `{stage}`: it is not among the targets"));
    }
    match args.format {
        Format::Csv => out::bytes(raw::csv(&tables).as_bytes()),
        Format::Json => {
            let text = raw::json(&loaded.spec.name, &tables).map_err(|error| {
                Fault::failed(Code::System, format!("failed to write the results as JSON: {error}"), None)
            })?;
            out::bytes(text.as_bytes());
        }
        page => {
            let pages: Vec<String> =
                tables.iter().filter(|table| has_scores(table)).map(|table| printed(table, page)).collect();
            out::bytes(pages.join("\n").as_bytes());
        }
    }
    say_what_is_missing(args, &tables);
    // A figure that cannot be written keeps nobody from the table.
    drawn?.iter().for_each(out::note);
    Ok(if out::diagnostics(not_given) > 0 { Exit::Failed } else { Exit::Done })
}

/// Builds the tables of some reports, and tells of each number that a command did not give; the table that wants it is
/// empty.
pub(super) fn tables(
    reports: &[Report],
    loaded: &Loaded,
    records: &Records,
) -> Result<(Vec<Table>, Vec<Diagnostic>), ReportError> {
    let Loaded { spec, plan, store, .. } = loaded;
    let (mut tables, mut not_given) = (vec![], vec![]);
    for report in reports {
        tables.push(match table::build(report, spec, plan, records, store) {
            Err(ReportError::NotGiven { stage, metric, given, at }) => {
                let fault = format!("`{stage}` gave no number `{metric}`");
                let all = || match given.as_slice() {
                    [] => "its file has no number at all".to_owned(),
                    given => format!("it gave {}", list(given)),
                };
                let names: Vec<&str> = given.iter().map(String::as_str).collect();
                let fault = Diagnostic::error(Code::NotMeasured, fault).meant(&metric, names, all);
                not_given.push(spec.diagnose(&at, fault));
                table::empty(report)
            }
            other => other?,
        });
    }
    Ok((tables, not_given))
}

/// The table for the standard output, in colour where it is a terminal that wants it.
pub(super) fn for_terminal(table: &Table) -> String {
    let styled = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    print::text(table, styled)
}

fn printed(table: &Table, format: Format) -> String {
    match format {
        Format::Markdown => print::markdown(table),
        Format::Latex => print::latex(table),
        _ => for_terminal(table),
    }
}

fn has_scores(table: &Table) -> bool {
    table.scores.seen.iter().any(|seen| seen.score.is_some())
}

/// The reports to show: the pipeline's, or one for each metric of each evaluate stage; with the axes that
/// the command line gives.
fn reports(args: &Args, loaded: &Loaded) -> Result<Vec<Report>, Fault> {
    let spec = &loaded.spec;
    let is_asked = |report: &&Report| {
        args.stages.is_empty() || report.shows.stages().iter().any(|of| loaded.targets.contains(&of.stage))
    };
    let mut reports: Vec<Report> = spec.reports.iter().filter(is_asked).cloned().collect();
    if reports.is_empty() || !args.metric.is_empty() {
        reports = of_stages(args, loaded)?;
    }
    let axes = Axes {
        rows: args.rows.clone(),
        columns: args.columns.clone(),
        over: args.over.clone(),
        baseline: args.baseline.clone(),
    };
    let with_axes =
        |report: Report| report.with_axes(spec, &axes).map_err(|fault| Fault::wrong(vec![*fault]));
    reports.into_iter().map(with_axes).collect()
}

/// A report for each metric of each evaluate stage that is planned.
fn of_stages(args: &Args, loaded: &Loaded) -> Result<Vec<Report>, Fault> {
    let (spec, plan) = (&loaded.spec, &loaded.plan);
    let wrong = |fault: Diagnostic| Err(Fault::wrong(vec![fault]));
    let planned = |stage: &str| plan.points.iter().any(|nodes| nodes.contains_key(stage));
    let first = spec.points.first().map(|point| &point.stages);
    let mut reports = vec![];
    let mut measure = vec![];
    for (stage, block) in first.into_iter().flat_map(Stages::iter) {
        let asked = loaded.targets.contains(stage);
        let of_metric = |metric: &str, axes: &Axes| {
            let report = Report::of_metric(spec, stage, metric).with_axes(spec, axes);
            report.map_err(|fault| Fault::wrong(vec![*fault]))
        };
        match block {
            Block::Evaluate { .. } => {}
            Block::Command(command) if command.metrics.is_some() && !args.metric.is_empty() => {
                // What a command calls its numbers is not known here; what evaluate stages have is theirs.
                let is_own =
                    |name: &&String| asked || !Metric::ALL.iter().any(|metric| metric.name() == **name);
                if planned(stage) && (asked || args.stages.is_empty()) {
                    let own = args.metric.iter().filter(is_own);
                    let axes = axes::chosen(spec, plan, stage);
                    reports.extend(own.map(|name| of_metric(name, &axes)).collect::<Result<Vec<_>, _>>()?);
                }
                continue;
            }
            other if asked => {
                let fault =
                    format!("results are those of `evaluate` stages, and `{stage}` is `{}`", other.kind());
                let help = match other {
                    Block::Command(command) if command.metrics.is_some() => {
                        "name the number that it gives: `--metric NAME`".to_owned()
                    }
                    _ => format!("`tartan show {stage}` shows what it made"),
                };
                return wrong(Diagnostic::error(Code::WrongStageKind, fault).help(help));
            }
            _ => continue,
        }
        if !(planned(stage) && (asked || args.stages.is_empty())) {
            continue;
        }
        // A metric counts if it is measured at every sweep point.
        let measured: Vec<Metric> = Metric::ALL
            .into_iter()
            .filter(|metric| {
                spec.points.iter().all(|point| {
                    matches!(point.stages.get(stage), Some(Block::Evaluate { action, .. }) if action.metrics.contains(metric))
                })
            })
            .collect();
        let names: Vec<&str> = measured.iter().map(|metric| metric.name()).collect();
        if let Some(missing) = args.metric.iter().find(|metric| asked && !names.contains(&metric.as_str())) {
            let fault =
                Diagnostic::error(Code::NotMeasured, format!("`{stage}` does not measure `{missing}`"));
            return wrong(
                fault.help("add it to the stage's `metrics`, or leave `metrics` out to have them all"),
            );
        }
        let named = if names.is_empty() {
            "other metrics at other sweep points".to_owned()
        } else {
            names.join(", ")
        };
        measure.push(format!("`{stage}` measures {named}"));
        let is_wanted =
            |name: &&str| args.metric.is_empty() || args.metric.iter().any(|metric| metric == name);
        let axes = axes::chosen(spec, plan, stage);
        for name in names.into_iter().filter(is_wanted) {
            reports.push(of_metric(name, &axes)?);
        }
    }
    if reports.is_empty() && !measure.is_empty() {
        let asked: Vec<&str> = args.metric.iter().map(String::as_str).collect();
        let what = if asked.is_empty() { "the same at every sweep point".to_owned() } else { code(&asked) };
        return wrong(
            Diagnostic::error(Code::NotMeasured, format!("no `evaluate` stage measures {what}"))
                .help(measure.join("; ")),
        );
    }
    if reports.is_empty() {
        return wrong(
            Diagnostic::error(
                Code::NothingToShow,
                "there is nothing to show: no `evaluate` stage is among the targets",
            )
            .help("name one: `tartan results PIPELINE STAGE`"),
        );
    }
    Ok(reports)
}

/// Names in backquotes, `or` between.
fn code(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(" or ")
}

/// What is missing, and the command that makes it.
fn say_what_is_missing(args: &Args, tables: &[Table]) {
    let seen = || tables.iter().flat_map(|table| &table.scores.seen);
    let all: BTreeSet<NodeId> = seen().map(|seen| seen.node).collect();
    let missing: BTreeSet<NodeId> =
        seen().filter(|seen| seen.score.is_none()).map(|seen| seen.node).collect();
    if missing.is_empty() {
        return;
    }
    let mut words = vec!["tartan".to_owned(), "run".to_owned(), args.pipeline.display().to_string()];
    words.extend(args.stages.iter().cloned());
    for profile in &args.choice.profiles {
        words.extend(["--profile".to_owned(), profile.clone()]);
    }
    for set in &args.choice.sets {
        words.extend(["--set".to_owned(), set.clone()]);
    }
    if let Some(cache) = args.choice.cache.as_ref().filter(|_| std::env::var_os("TARTAN_CACHE").is_none()) {
        words.extend(["--cache".to_owned(), cache.display().to_string()]);
    }
    let command: Vec<String> = words.iter().map(|word| shell_word(word)).collect();
    let what = if missing.len() == all.len() {
        "no result is there yet".to_owned()
    } else {
        format!("{} of {} are not there yet", missing.len(), out::count(all.len(), "result"))
    };
    out::note(format_args!("{what}: `{}` makes them", command.join(" ")));
}
