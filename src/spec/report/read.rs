//! Reading the `report` block, each fault at its place.

use std::path::Path;

use super::super::fields::{Faults, Fields, block};
use super::super::sweep::Dimension;
use super::super::values::Constants;
use super::super::vars::{self, Vars};
use super::super::yaml::{At, Node};
use super::super::{Ref, Source};
use super::{Baseline, FigureFile, FigureKind, Report, Score, Shows, baseline, number, twice};
use crate::action::Metric;
use crate::diag::{Code, Diagnostic, list};

/// What the `report` block is read against.
pub(in crate::spec) struct Context<'a> {
    /// The sweep's columns.
    pub(in crate::spec) dims: &'a [Dimension],
    /// Whether the command line, or a profile, chose some of its points.
    pub(in crate::spec) narrowed: bool,
    /// Every variable as it stands.
    pub(in crate::spec) vars: &'a [(String, Node)],
    /// The variables that are the same at every point.
    pub(in crate::spec) constants: &'a Constants,
    /// The pipeline's folder.
    pub(in crate::spec) folder: &'a Path,
    /// The profiles that are laid over the pipeline: their figures have names of their own.
    pub(in crate::spec) profiles: &'a [String],
}

/// A report whose metric is still to be found at each sweep point.
pub(in crate::spec) struct Draft {
    report: Report,
    metric: Option<(String, At)>,
}

/// Reads the `report` block: one table, or a list of them.
pub(in crate::spec) fn drafts(fields: &mut Fields, context: &Context) -> Vec<Draft> {
    let Some((node, at)) = fields.raw("report") else { return vec![] };
    let vars = &context.constants.vars;
    let Some(node) = block(node, vars, &at, fields.faults) else { return vec![] };
    let items: Vec<(&Node, At)> = match &*node {
        Node::List(items) => items.iter().enumerate().map(|(i, item)| (item, at.index(i))).collect(),
        other => vec![(other, at)],
    };
    let mut drafts: Vec<Draft> = vec![];
    for (item, at) in items {
        let Some(item) = block(item, vars, &at, fields.faults) else { continue };
        let Some(fields) = Fields::of(&item, "`report`", at, vars, fields.faults) else { continue };
        drafts.extend(draft(fields, context));
    }
    for (i, draft) in drafts.iter().enumerate() {
        let Some(figure) = &draft.report.figure else { continue };
        let others = drafts[..i].iter().filter_map(|other| other.report.figure.as_ref());
        if others.into_iter().any(|other| other.file.path == figure.file.path) {
            let fault = Diagnostic::error(
                Code::SameFigure,
                format!("two figures would be written to `{}`", figure.file.name),
            )
            .help("give each a name of its own");
            fields.fault(figure.file.at.clone(), fault);
        }
    }
    drafts
}

fn draft(mut fields: Fields, context: &Context) -> Option<Draft> {
    let before = fields.faults.len();
    let title = constant(&mut fields, "title", context).map(|(title, _)| title);
    let metric = match fields.raw("metric") {
        Some((Node::Text(text), at)) => Some((text.clone(), at)),
        Some((Node::Null, _)) | None => None,
        Some((other, at)) => {
            let fault =
                Diagnostic::error(Code::WrongType, format!("`metric` is a text, not {}", other.what()))
                    .help("write `STAGE.METRIC`, such as `test.macro_f1`");
            fields.fault(at, fault);
            None
        }
    };
    let weights = fields.text("weights").map(|(stage, at)| Ref { stage, at });
    let (rows, columns) = (axis(&mut fields, "rows", context), axis(&mut fields, "columns", context));
    let over = axis(&mut fields, "over", context);
    if let Some((_, at)) = over.get(1) {
        let fault = Diagnostic::error(Code::RepeatedAxis, "`over` is one variable")
            .help("list the others under `rows` or `columns`");
        fields.fault(at.clone(), fault);
    }
    let names = |axis: &[(String, At)]| axis.iter().map(|(var, _)| var.clone()).collect::<Vec<String>>();
    let (row_names, column_names, over_names) = (names(&rows), names(&columns), names(&over));
    let axes = [("rows", &*row_names), ("columns", &column_names), ("over", &over_names)];
    if let Some((field, i, fault)) = twice(&axes) {
        let axis = match field {
            "rows" => &rows,
            "columns" => &columns,
            _ => &over,
        };
        fields.fault(axis[i].1.clone(), fault);
    }
    let figure = figure(&mut fields, context, &columns);

    let shows = match (&metric, weights) {
        (Some(_), Some(weights)) => {
            let fault = Diagnostic::error(Code::Exclusive, "`metric` and `weights` exclude each other")
                .help("a table shows a metric or the weights of the objectives: write two tables");
            fields.fault(weights.at.on_key(), fault);
            return None;
        }
        (None, Some(weights)) => Shows::Weights(weights),
        (Some(_), None) => Shows::Scores(vec![]),
        (None, None) => {
            if fields.faults.len() == before {
                fields.missing("metric", "what the table shows, such as `test.macro_f1`");
            }
            Shows::Scores(vec![])
        }
    };
    let of_weights = matches!(shows, Shows::Weights(_));
    if let Some(figure) = figure.as_ref().filter(|figure| (figure.kind == FigureKind::Steps) != of_weights) {
        let fault = if of_weights {
            Diagnostic::error(
                Code::BadFigure,
                format!("`{}` draws a metric, and this table shows weights", figure.kind.name()),
            )
            .help("draw them against the steps: `figure: {steps: PATH}`")
        } else {
            Diagnostic::error(
                Code::BadFigure,
                "`steps` draws the weights of objectives, and this table shows a metric",
            )
            .help("name the stage that learns them: `weights: STAGE` in place of `metric`")
        };
        fields.fault(figure.file.at.on_key(), fault);
    }
    if of_weights && let Some((_, at)) = columns.first() {
        let fault = Diagnostic::error(Code::WeightsTable, "a table of weights has the objectives as columns")
            .help("use `rows` for the variable, or leave it out");
        fields.fault(at.clone(), fault);
    }
    let mut report = Report {
        title,
        shows,
        rows: row_names,
        columns: column_names,
        over: over_names.into_iter().next(),
        baseline: None,
        figure,
    };
    report.baseline = read_baseline(&mut fields, context, &report);
    fields.finish("`report`");
    Some(Draft { report, metric })
}

/// The variables of an axis, each known, and where each is named.
fn axis(fields: &mut Fields, name: &'static str, context: &Context) -> Vec<(String, At)> {
    let mut known_vars = vec![];
    for (var, at) in fields.texts(name).unwrap_or_default() {
        let columns = context.dims.iter().map(|dim| dim.name.as_str());
        if context.constants.varies(&var) && !columns.clone().any(|name| name == var) {
            let names: Vec<&str> = columns.collect();
            let fault = format!("`{var}` varies over the sweep and is none of its axes");
            let fault = Diagnostic::error(Code::NotSwept, fault);
            fields.fault(at, fault.help(format!("a table is laid out along {}", list(&names))));
            continue;
        }
        let known = columns.chain(context.vars.iter().map(|(name, _)| name.as_str()));
        if known.clone().any(|name| name == var) {
            known_vars.push((var, at));
            continue;
        }
        let fault = Diagnostic::error(Code::UnknownVariable, format!("unknown variable `{var}`"));
        let all = || "a table's rows, columns and averages are variables".to_owned();
        fields.fault(at, fault.meant(&var, known, all));
    }
    known_vars
}

/// A text that is the same at every sweep point.
fn constant(fields: &mut Fields, name: &'static str, context: &Context) -> Option<(String, At)> {
    if let Some((node, at)) = fields.raw(name)
        && let Some(var) = vars::mentions(node).into_iter().find(|var| context.constants.varies(var))
    {
        let fault = Diagnostic::error(
            Code::VariesOverSweep,
            format!("`{var}` varies over the sweep, and `{name}` is said once"),
        )
        .help("leave it out; a variable of the table is `rows`, `columns` or `over`");
        fields.fault(at, fault);
        return None;
    }
    fields.text(name)
}

/// `figure: {bars: PATH}`
fn figure(fields: &mut Fields, context: &Context, columns: &[(String, At)]) -> Option<FigureFile> {
    let (node, at) = fields.raw("figure")?;
    let vars = &context.constants.vars;
    let node = block(node, vars, &at, fields.faults)?;
    let mut inner = Fields::of(&node, "`figure`", at, vars, fields.faults)?;
    let before = inner.faults.len();
    let mut found = vec![];
    for (name, kind) in FigureKind::ALL {
        found.extend(constant(&mut inner, name, context).map(|(path, at)| (kind, path, at)));
    }
    let log = inner.truth("log");
    if let Some((_, _, second)) = found.get(1) {
        let fault = Diagnostic::error(Code::BadFigure, "a figure is of one kind")
            .help("write a table for each figure");
        inner.fault(second.on_key(), fault);
    }
    let sound = inner.faults.len() == before;
    let log_at = inner.at.key("log").on_key();
    let is_empty = matches!(*node, Node::Map(ref block) if block.iter().all(|(name, _)| name == "log"));
    if sound && is_empty {
        inner.missing("bars", "the figure's file without an extension, under `bars`, `lines` or `steps`");
    }
    inner.finish("`figure`");
    let (kind, name, at) = found.into_iter().next()?;
    if log.is_some() && kind != FigureKind::Lines {
        fields.fault(log_at, Diagnostic::error(Code::BadFigure, "`log` is of `lines`").help("leave it out"));
    }
    if let Some(extension @ ("svg" | "png")) = Path::new(&name).extension().and_then(|text| text.to_str()) {
        let fault = Diagnostic::error(
            Code::BadFigure,
            format!("`{name}` has an extension, and two files are written"),
        )
        .help(format!("leave out `.{extension}`"));
        fields.fault(at.clone(), fault);
    }
    // A figure of a tiny budget does not take the place of the real one.
    let name = std::iter::once(name).chain(context.profiles.iter().cloned()).collect::<Vec<_>>().join("-");
    let file = Source { path: context.folder.join(&name), name, at };
    let figure = FigureFile { kind, file, log: log.unwrap_or(false) };
    if kind == FigureKind::Lines {
        check_lines(fields, &figure, columns, context);
    }
    Some(figure)
}

/// `lines` are drawn against numbers: the values of one variable, above 0 on a logarithmic axis.
fn check_lines(fields: &mut Fields, figure: &FigureFile, columns: &[(String, At)], context: &Context) {
    let [(var, at)] = columns else {
        // An axis with a fault of its own has been reported already.
        if !fields.faults.iter().any(|(at, _)| at.within(&fields.at.key("columns"))) {
            let fault =
                Diagnostic::error(Code::BadFigure, "`lines` are drawn against the values of one variable")
                    .help("name it: `columns: VAR`");
            fields.fault(figure.file.at.on_key(), fault);
        }
        return;
    };
    let Some(dim) = context.dims.iter().find(|dim| dim.name == *var) else { return };
    for value in dim.values.iter().map(Node::brief) {
        let fault = match number(&value) {
            None => format!("`lines` are drawn against numbers, and `{var}` takes the value `{value}`"),
            Some(x) if figure.log && x <= 0.0 => {
                format!("a logarithmic axis has no place for `{value}`, a value of `{var}`")
            }
            Some(_) => continue,
        };
        fields.fault(
            at.clone(),
            Diagnostic::error(Code::BadFigure, fault).help("draw `bars`, or sweep over other values"),
        );
        return;
    }
}

fn read_baseline(fields: &mut Fields, context: &Context, report: &Report) -> Option<Baseline> {
    let (node, at) = fields.take("baseline")?;
    let value = match &node {
        Node::List(_) | Node::Map(_) => {
            let fault = Diagnostic::error(
                Code::WrongType,
                format!("`baseline` is a value of a variable, not {}", node.what()),
            );
            fields.fault(at, fault);
            return None;
        }
        scalar => scalar.brief(),
    };
    if matches!(report.shows, Shows::Weights(_)) {
        let fault =
            Diagnostic::error(Code::WeightsTable, "a table of weights has no baseline").help("leave it out");
        fields.fault(at.on_key(), fault);
        return None;
    }
    let swept: Vec<String> = context.dims.iter().map(|dim| dim.name.clone()).collect();
    let values: Vec<(&str, Vec<String>)> = context
        .dims
        .iter()
        .map(|dim| (dim.name.as_str(), dim.values.iter().map(Node::brief).collect()))
        .collect();
    match baseline(&value, &report.compared(&swept), &values) {
        Ok(baseline) => Some(baseline),
        // `--set` has chosen other points of the sweep; the file may be sound without it.
        Err(_) if context.narrowed => None,
        Err(fault) => {
            fields.fault(at, *fault);
            None
        }
    }
}

impl Draft {
    /// Finds the metric at a sweep point.
    pub(in crate::spec) fn at_point(&mut self, vars: &Vars, faults: &mut Faults) {
        let (Shows::Scores(scores), Some((text, at))) = (&mut self.report.shows, &self.metric) else {
            return;
        };
        let text = match vars::scalar(text, vars) {
            Ok(node) => node.brief(),
            Err(fault) => {
                faults.push((at.clone(), *fault));
                return;
            }
        };
        let Some((stage, metric)) = text.rsplit_once('.') else {
            let names = Metric::ALL.map(Metric::name);
            let fault = Diagnostic::error(Code::NotAMetric, format!("`{text}` does not say whose metric"))
                .help(format!(
                    "write `STAGE.METRIC`, the metric of an `evaluate` stage one of {}",
                    list(&names)
                ));
            faults.push((at.clone(), fault));
            return;
        };
        let stage = Ref { stage: stage.to_owned(), at: at.clone() };
        scores.push(Score { stage, metric: metric.to_owned() });
    }

    /// The report, if its metric was found at each of so many sweep points.
    pub(in crate::spec) fn finish(self, points: usize) -> Option<Report> {
        let whole = match &self.report.shows {
            Shows::Scores(scores) => scores.len() == points,
            Shows::Weights(_) => true,
        };
        whole.then_some(self.report)
    }
}
