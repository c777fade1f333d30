//! Interpolation and sweeps against naive references, which share nothing with the code but the text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

/// What the one stage of a pipeline reads at each sweep point, and whether something is wrong.
fn folders(text: &str) -> (Vec<String>, Vec<Diagnostic>) {
    let (spec, mut faults) = read(text, &[]);
    faults.retain(|fault| fault.severity == crate::diag::Severity::Error);
    let folder = |point: &Point| match &point.stages["e"] {
        Block::Encoder { from: ModelSource::Folder(folder), .. } => folder.name.clone(),
        other => other.kind().to_owned(),
    };
    (spec.points.iter().map(folder).collect(), faults)
}

/// An axis of a sweep, whose variables are numbered on from those of the axes before it.
#[derive(Clone, Debug)]
enum Axis {
    Values(Vec<i64>),
    Range(i64, i64, i64),
    Zip(Vec<(i64, i64)>),
    Points(Vec<(Option<i64>, Option<i64>)>),
}

fn axis() -> impl Strategy<Value = Axis> {
    let distinct = || prop::collection::btree_set(0_i64..5, 1..4);
    prop_oneof![
        distinct().prop_map(|values| Axis::Values(values.into_iter().rev().collect())),
        (0_i64..3, 1_i64..6, 1_i64..3).prop_map(|(start, more, step)| Axis::Range(start, start + more, step)),
        (distinct(), prop::collection::vec(0_i64..3, 4))
            .prop_map(|(first, second)| Axis::Zip(first.into_iter().zip(second).collect())),
        prop::collection::vec((prop::option::of(0_i64..4), prop::option::of(0_i64..4)), 1..4)
            .prop_map(Axis::Points),
    ]
}

/// The rows of an axis: what each sets.
type Rows = Vec<Vec<(String, i64)>>;

/// The sweep as text, and the rows of its axes.
fn written(axes: &[Axis]) -> (String, Vec<Rows>) {
    let (mut text, mut rows) = (String::new(), vec![]);
    let mut zips = String::new();
    let mut next = 0;
    let mut var = || {
        next += 1;
        format!("v{}", next - 1)
    };
    for (i, axis) in axes.iter().enumerate() {
        let (a, b) = (var(), var());
        rows.push(match axis {
            Axis::Values(values) => {
                writeln!(text, "  {a}: {values:?}").expect("text");
                values.iter().map(|value| vec![(a.clone(), *value)]).collect()
            }
            Axis::Range(start, end, step) => {
                writeln!(text, "  {a}: {{range: [{start}, {end}, {step}]}}").expect("text");
                let mut found = vec![];
                let mut value = *start;
                while value < *end {
                    found.push(vec![(a.clone(), value)]);
                    value += step;
                }
                found
            }
            Axis::Zip(pairs) => {
                let (first, second): (Vec<i64>, Vec<i64>) = pairs.iter().copied().unzip();
                write!(zips, "{{{a}: {first:?}, {b}: {second:?}}}, ").expect("text");
                pairs.iter().map(|(x, y)| vec![(a.clone(), *x), (b.clone(), *y)]).collect()
            }
            Axis::Points(points) => {
                writeln!(text, "  axis{i}:\n    points:").expect("text");
                let mut found = vec![];
                for (j, (x, y)) in points.iter().enumerate() {
                    let x = x.map(|x| (a.clone(), x));
                    let sets: Vec<(String, i64)> = x.into_iter().chain(y.map(|y| (b.clone(), y))).collect();
                    let said: Vec<String> =
                        sets.iter().map(|(name, value)| format!("{name}: {value}")).collect();
                    writeln!(text, "      p{j}: {{{}}}", said.join(", ")).expect("text");
                    found.push(sets);
                }
                found
            }
        });
    }
    if !zips.is_empty() {
        writeln!(text, "  zip: [{zips}]").expect("text");
    }
    (text, rows)
}

const VARS: usize = 8;

/// Nested loops, one for each axis.
fn nested(axes: &[Rows], now: &BTreeMap<String, i64>, all: &mut Vec<BTreeMap<String, i64>>) {
    let Some((axis, rest)) = axes.split_first() else { return all.push(now.clone()) };
    for row in axis {
        let mut now = now.clone();
        now.extend(row.iter().cloned());
        nested(rest, &now, all);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_sweep_is_what_nested_loops_give(
        mut axes in prop::collection::vec(axis(), 0..=VARS / 2),
        excluded in prop::collection::vec(prop::collection::vec((0_usize..VARS, 0_i64..4), 1..3), 0..3),
    ) {
        // All zips stand in one field, which is last here; so they are the last axes.
        axes.sort_by_key(|axis| matches!(axis, Axis::Zip(_)));
        let (mut text, rows) = written(&axes);
        let swept: Vec<String> = rows.iter().flatten().flatten().map(|(name, _)| name.clone()).collect();
        let exclusions: Vec<BTreeMap<String, i64>> = excluded
            .iter()
            .map(|fields| fields.iter().map(|(var, value)| (format!("v{var}"), *value)).collect())
            .filter(|fields: &BTreeMap<String, i64>| fields.keys().all(|name| swept.contains(name)))
            .collect();
        if !exclusions.is_empty() {
            let said = exclusions.iter().map(|fields| {
                let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
                format!("{{{}}}", fields.join(", "))
            });
            writeln!(text, "  exclude: [{}]", said.collect::<Vec<_>>().join(", ")).expect("text");
        }

        let start = (0..VARS).map(|var| (format!("v{var}"), 9)).collect();
        let mut all = vec![];
        nested(&rows, &start, &mut all);
        all.retain(|point| !exclusions.iter().any(|fields| fields.iter().all(|(name, value)| point[name] == *value)));
        let expected: Vec<String> = all
            .iter()
            .map(|point| point.values().map(ToString::to_string).collect::<Vec<_>>().join("-"))
            .collect();

        let vars: Vec<String> = (0..VARS).map(|var| format!("v{var}: 9")).collect();
        let names: Vec<String> = (0..VARS).map(|var| format!("${{v{var}}}")).collect();
        let text = format!(
            "tartan: 1\nvars: {{{}}}\nstages:\n  e: {{encoder: {{from: \"{}\"}}}}\nsweep:\n{text}",
            vars.join(", "),
            names.join("-")
        );
        let (found, faults) = folders(&text);
        if expected.is_empty() {
            prop_assert!(faults.iter().any(|fault| fault.message.contains("leave no point")), "{text}");
        } else {
            prop_assert!(faults.is_empty(), "{text}\n{}", print(&faults));
            prop_assert_eq!(found, expected, "{}", text);
        }
    }
}

/// A piece of a text: itself, or what a variable holds.
#[derive(Clone, Debug)]
enum Piece {
    Plain(String),
    /// A `${` that is meant as it stands.
    Escaped,
    /// `${vN}`
    Whole(usize),
    /// `${block.kN}`
    Field(usize),
    /// `${list.N}`
    Item(usize),
    /// `${block.${pick.kN}}`: a name that is built from another variable.
    Built(usize),
}

/// The fields of `block`, the items of `list`, and the fields of `block` that `pick` names.
const BLOCK: [&str; 3] = ["x", "7", "0.5"];
const LIST: [&str; 3] = ["i", "true", "long text"];
const PICK: [usize; 3] = [2, 0, 1];

fn piece(vars: usize) -> impl Strategy<Value = Piece> {
    prop_oneof![
        "[a-z/ ]{0,3}".prop_map(Piece::Plain),
        Just(Piece::Plain("$".to_owned())),
        Just(Piece::Plain("}".to_owned())),
        Just(Piece::Escaped),
        (0..vars.max(1)).prop_map(move |var| if vars == 0 { Piece::Escaped } else { Piece::Whole(var) }),
        (0_usize..3).prop_map(Piece::Field),
        (0_usize..3).prop_map(Piece::Item),
        (0_usize..3).prop_map(Piece::Built),
    ]
}

fn said(pieces: &[Piece]) -> String {
    let one = |piece: &Piece| match piece {
        Piece::Plain(text) => text.clone(),
        Piece::Escaped => "$${".to_owned(),
        Piece::Whole(var) => format!("${{v{var}}}"),
        Piece::Field(field) => format!("${{ block.k{field} }}"),
        Piece::Item(item) => format!("${{list.{item}}}"),
        Piece::Built(pick) => format!("${{block.${{pick.k{pick}}}}}"),
    };
    pieces.iter().map(one).collect()
}

fn meant(pieces: &[Piece], before: &[String]) -> String {
    let one = |piece: &Piece| match piece {
        Piece::Plain(text) => text.clone(),
        Piece::Escaped => "${".to_owned(),
        Piece::Whole(var) => before[*var].clone(),
        Piece::Field(field) => BLOCK[*field].to_owned(),
        Piece::Item(item) => LIST[*item].to_owned(),
        Piece::Built(pick) => BLOCK[PICK[*pick]].to_owned(),
    };
    pieces.iter().map(one).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_text_becomes_what_its_pieces_mean(
        texts in (1_usize..5).prop_flat_map(|count| {
            (0..count).map(|before| prop::collection::vec(piece(before), 1..5)).collect::<Vec<_>>()
        }),
    ) {
        // A `$` before a `${` would be its escape, and one at a text's end might come to stand there.
        let sound = |pieces: &Vec<Piece>| !pieces.windows(2).any(|pair| {
            matches!(&pair[0], Piece::Plain(text) if text.ends_with('$')) && !matches!(&pair[1], Piece::Plain(text) if !text.is_empty())
        });
        prop_assume!(texts.iter().all(sound));
        let mut values: Vec<String> = vec![];
        let mut vars = String::new();
        for (i, pieces) in texts.iter().enumerate() {
            writeln!(vars, "  v{i}: {:?}", format!(">{}<", said(pieces))).expect("text");
            let value = format!(">{}<", meant(pieces, &values));
            values.push(value);
        }
        let text = format!(
            "tartan: 1\nvars:\n  block: {{k0: x, k1: 7, k2: 0.5}}\n  list: [i, true, long text]\n  \
             pick: {{k0: k2, k1: k0, k2: k1}}\n{vars}stages:\n  e: {{encoder: {{from: \"${{v{}}}\"}}}}\n",
            texts.len() - 1
        );
        let (found, faults) = folders(&text);
        prop_assert!(faults.is_empty(), "{text}\n{}", print(&faults));
        prop_assert_eq!(&found[0], values.last().expect("a value"), "{}", text);
    }
}
