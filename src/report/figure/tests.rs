//! Pictures are tested as scenes: what is drawn, and where.

use proptest::prelude::*;

use super::glyphs::{self, CAP_HEIGHT};
use super::scene::{Anchor, Form, Item, Point, Scene, Text};
use super::*;

const TASKS: [&str; 4] = ["ACL-ARC", "SCIERC", "CHEMPROT", "HYPERPARTISAN"];
const RECIPES: [&str; 6] = ["fine-tune", "TAPT", "DAPT", "DAPT+TAPT", "MT-TARTAN", "META-TARTAN"];

fn sample(mean: f64, sd: f64) -> Sample {
    Sample { mean, sd: Some(sd), n: 3, scores: vec![] }
}

fn bars(groups: &[&str], series: &[&str], values: bool) -> Bars {
    let cell =
        |s: usize, g: usize| Some(sample(66.0 + 4.0 * g as f64 + 1.3 * s as f64, 0.7 + 0.1 * s as f64));
    Bars {
        title: "macro-F1 of six recipes".to_owned(),
        y: "macro-F1 on test, %".to_owned(),
        groups: groups.iter().map(ToString::to_string).collect(),
        series: series
            .iter()
            .enumerate()
            .map(|(s, name)| Series {
                name: (*name).to_owned(),
                cells: (0..groups.len()).map(|g| cell(s, g)).collect(),
            })
            .collect(),
        values,
    }
}

fn lines(log: bool, xs: &[f64]) -> Lines {
    let points = |base: f64| xs.iter().map(|x| (*x, sample(base + x / 50.0, 0.5))).collect();
    let curve = |name: &str, base| Curve { name: name.to_owned(), points: points(base) };
    Lines {
        title: "Data efficiency".to_owned(),
        x: "auxiliary text".to_owned(),
        x_unit: "x".to_owned(),
        log,
        y: "accuracy on test, %".to_owned(),
        curves: vec![curve("TAPT", 70.0), curve("META-TARTAN", 72.0)],
        baselines: vec![("fine-tune".to_owned(), 69.0)],
    }
}

fn steps(panels: &[&str], objectives: &[&str], length: u64) -> Steps {
    let run = |shift: f64| (0..length).map(|t| (t, shift + t as f64 / (length as f64 * 4.0))).collect();
    let trail = |(i, name): (usize, &&str)| Trail {
        name: (*name).to_owned(),
        runs: (0..3).map(|seed| run(0.1 * i as f64 + 0.01 * f64::from(seed))).collect(),
    };
    let panel = |name: &&str| Panel {
        name: (*name).to_owned(),
        trails: objectives.iter().enumerate().map(trail).collect(),
    };
    Steps {
        title: "Weights".to_owned(),
        x: "optimiser steps".to_owned(),
        y: "weight".to_owned(),
        panels: panels.iter().map(panel).collect(),
        within: None,
    }
}

fn texts<'a>(scene: &'a Scene) -> Vec<&'a Text> {
    let text = |item: &'a Item| match item {
        Item::Text(text) => Some(text),
        Item::Shape { .. } => None,
    };
    scene.items.iter().filter_map(text).collect()
}

fn forms<'a>(scene: &'a Scene, class: &str) -> Vec<&'a Form> {
    let form = |item: &'a Item| match item {
        Item::Shape { class: known, form, .. } if *known == class => Some(form),
        _ => None,
    };
    scene.items.iter().filter_map(form).collect()
}

fn corners(form: &Form) -> Vec<Point> {
    match form {
        Form::Rect { corner: [x, y], size: [width, height] } => vec![[*x, *y], [x + width, y + height]],
        Form::Circle { centre: [x, y], radius } => vec![[x - radius, y - radius], [x + radius, y + radius]],
        Form::Line(points) | Form::Polygon(points) => points.clone(),
    }
}

/// From a place to the value there, by the labels of the upright axis's first and last tick.
fn upright_scale(scene: &Scene) -> impl Fn(f64) -> f64 {
    let size = super::frame::TICK;
    let tick =
        |text: &&&Text| close(text.size, size) && text.anchor == Anchor::End && close(text.turned, 0.0);
    let all = texts(scene);
    let at = |text: &Text| {
        let value: f64 = text.words.replace('−', "-").parse().expect("a number");
        (text.at[1] - 0.5 * CAP_HEIGHT * size, value)
    };
    let (first, last) = (all.iter().find(tick).expect("a tick"), all.iter().rfind(tick).expect("a tick"));
    let ((y0, low), (y1, high)) = (at(first), at(last));
    move |y| low + (y - y0) / (y1 - y0) * (high - low)
}

/// The corners of what a text covers, in turn.
fn covered(text: &Text) -> [Point; 4] {
    let width = glyphs::width(&text.words, text.size);
    let left = match text.anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => -0.5 * width,
        Anchor::End => -width,
    };
    let (low, high) = (0.2 * text.size, -0.72 * text.size);
    let (sine, cosine) = text.turned.to_radians().sin_cos();
    [[left, low], [left + width, low], [left + width, high], [left, high]]
        .map(|[x, y]| [text.at[0] + x * cosine - y * sine, text.at[1] + x * sine + y * cosine])
}

/// Whether two turned boxes share more than an edge: no side of either parts them.
fn overlap(a: [Point; 4], b: [Point; 4]) -> bool {
    let parts = |from: [Point; 4], i: usize| {
        let [x, y] = [from[i + 1][1] - from[i][1], from[i][0] - from[i + 1][0]];
        let range = |corners: [Point; 4]| {
            let along = corners.map(|corner| corner[0] * x + corner[1] * y);
            (
                along.into_iter().fold(f64::INFINITY, f64::min),
                along.into_iter().fold(f64::NEG_INFINITY, f64::max),
            )
        };
        let ((low_a, high_a), (low_b, high_b)) = (range(a), range(b));
        high_a <= low_b + 1e-9 || high_b <= low_a + 1e-9
    };
    ![a, b].into_iter().any(|corners| (0..2).any(|i| parts(corners, i)))
}

/// Texts that cover each other, are cut off at the picture's edge, or lie on a bar.
fn collisions(scene: &Scene) -> Vec<String> {
    let all = texts(scene);
    let mut found = vec![];
    for (i, text) in all.iter().enumerate() {
        let area = covered(text);
        let inside = |[x, y]: Point| x >= 0.0 && y >= 0.0 && x <= scene.size[0] && y <= scene.size[1];
        if !area.into_iter().all(inside) {
            found.push(format!("`{}` is cut off", text.words));
        }
        let over = all[..i].iter().filter(|other| overlap(area, covered(other)));
        found.extend(over.map(|other| format!("`{}` over `{}`", text.words, other.words)));
        for bar in forms(scene, "bar") {
            let [[x0, y0], [x1, y1]] = corners(bar)[..] else { continue };
            if overlap(area, [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]) {
                found.push(format!("`{}` on a bar", text.words));
            }
        }
    }
    found
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-6 * (1.0 + a.abs())
}

#[test]
fn error_bars_stand_where_the_numbers_say() {
    let bars = bars(&TASKS, &RECIPES, false);
    let scene = Figure::Bars(bars.clone()).scene();
    let value = upright_scale(&scene);
    let cells: Vec<&Sample> = bars.series.iter().flat_map(|series| series.cells.iter().flatten()).collect();
    let (drawn, errors) = (forms(&scene, "bar"), forms(&scene, "error"));
    assert_eq!((drawn.len(), errors.len()), (24, 24));
    for ((cell, bar), error) in cells.iter().zip(drawn).zip(errors) {
        let sd = cell.sd.expect("an sd");
        let [[_, from], [_, to]] = corners(error)[..] else { panic!("{error:?}") };
        assert!(close(value(from), cell.mean - sd), "{} {cell:?}", value(from));
        assert!(close(value(to), cell.mean + sd), "{} {cell:?}", value(to));
        assert!(close(value(corners(bar)[0][1]), cell.mean), "{bar:?} {cell:?}");
        assert!(close(value(corners(bar)[1][1]), 60.0), "{bar:?}");
    }
    assert!(scene.svg().contains("macro-F1 on test, % (axis from 60)"));
}

#[test]
fn an_axis_that_holds_zero_says_nothing_of_it() {
    let mut bars = bars(&["a"], &["b", "c"], false);
    bars.series[0].cells[0] = Some(sample(20.0, 1.0));
    let scene = Figure::Bars(bars.clone()).scene();
    assert!(forms(&scene, "break").is_empty() && !scene.svg().contains("axis from"));
    let value = upright_scale(&scene);
    assert!(close(value(corners(forms(&scene, "bar")[0])[1][1]), 0.0));
    // Differences hang from zero.
    bars.series[1].cells[0] = Some(sample(-10.0, 1.0));
    let scene = Figure::Bars(bars).scene();
    let value = upright_scale(&scene);
    let [[_, above], [_, below]] = corners(forms(&scene, "bar")[1])[..] else { panic!("a bar") };
    assert!(close(value(above), 0.0) && close(value(below), -10.0));
}

#[test]
fn missing_cells_leave_a_gap_and_single_scores_no_error_bar() {
    let mut bars = bars(&TASKS, &RECIPES[..2], true);
    let whole = Figure::Bars(bars.clone()).scene();
    bars.series[0].cells[1] = None;
    bars.series[0].cells.pop();
    bars.series[1].cells[0] = Sample::of(&[70.0]);
    let scene = Figure::Bars(bars).scene();
    assert_eq!((forms(&scene, "bar").len(), forms(&scene, "error").len()), (6, 5));
    let places =
        |scene: &Scene| -> Vec<f64> { forms(scene, "bar").iter().map(|bar| corners(bar)[0][0]).collect() };
    let (all, left) = (places(&whole), places(&scene));
    assert_eq!(left, [all[0], all[2], all[4], all[5], all[6], all[7]], "the others keep their places");
}

#[test]
fn no_texts_collide() {
    let long = [
        "citation_intent with a long name that goes on",
        "supercalifragilisticexpialidocious_and_more",
        "<&\"> é 日本",
        "hyperpartisan-news-detection/by-article",
    ];
    let xs = [1.0, 2.0, 3.0, 4.0, 10.0, 50.0, 95.0, 100.0];
    for figure in [
        Figure::Bars(bars(&TASKS, &RECIPES, false)),
        Figure::Bars(bars(&TASKS, &RECIPES, true)),
        Figure::Bars(bars(&long, &[&RECIPES[..], &long[..]].concat(), true)),
        Figure::Bars(bars(&["task"; 12], &["method"; 9], true)),
        Figure::Lines(lines(true, &xs)),
        Figure::Lines(lines(false, &xs)),
        Figure::Steps(steps(&TASKS, &RECIPES, 2345)),
        Figure::Steps(steps(&long, &long, 5)),
        Figure::Steps(steps(&["one"], &["a"], 3)),
    ] {
        assert_eq!(collisions(&figure.scene()), Vec::<String>::new(), "{}", figure.svg());
    }
}

#[test]
fn every_name_is_there_and_none_breaks_the_markup() {
    let odd = "<&\"> é 日本\u{0}";
    let mut bars = bars(&["one", odd], &["two", odd], false);
    bars.title = odd.to_owned();
    bars.y = odd.to_owned();
    let mut lines = lines(true, &[1.0, 10.0]);
    lines.curves[0].name = odd.to_owned();
    lines.baselines[0].0 = odd.to_owned();
    let steps = steps(&["one", odd], &[odd, "two"], 5);
    let figures = [Figure::Bars(bars), Figure::Lines(lines), Figure::Steps(steps)];
    // One in a title element of its own beside the picture's title, the axis, a group and the legend.
    for (figure, times) in figures.iter().zip([5, 2, 2]) {
        let svg = figure.svg();
        assert_eq!(svg.matches("&lt;&amp;&quot;&gt; é 日本\u{fffd}").count(), times, "{svg}");
        assert!(!svg.contains('\u{0}') && !svg.contains("<&"), "{svg}");
        figure.png().expect("a box where a glyph is lacking");
    }
    for name in ["META-TARTAN", "auxiliary text", "accuracy on test, %", "Data efficiency", ">1x<", ">10x<"] {
        assert!(figures[1].svg().contains(name), "{name}");
    }
    assert!(["one", "two", "optimiser steps", "weight"].iter().all(|name| figures[2].svg().contains(name)));
}

#[test]
fn a_name_too_long_to_show_is_told_whole() {
    let name = "supercalifragilisticexpialidocious".repeat(2);
    let svg = Figure::Bars(bars(&[&name, "b", "c", "d"], &["e"], false)).svg();
    assert!(svg.contains(&format!("<title>{name}</title>superc")), "{svg}");
}

#[test]
fn lines_are_placed_by_their_numbers() {
    let scene = Figure::Lines(lines(true, &[100.0, 1.0, -5.0, 0.0, 10.0])).scene();
    let value = upright_scale(&scene);
    let line = corners(forms(&scene, "line")[0]);
    let [a, b, c] = line[..] else { panic!("{line:?}") };
    assert!(close(b[0] - a[0], c[0] - b[0]), "1, 10 and 100 are equally far apart: {line:?}");
    assert!(close(value(a[1]), 70.02) && close(value(c[1]), 72.0), "{line:?}");
    let band = corners(forms(&scene, "band")[0]);
    let expected = [69.52, 69.7, 71.5, 72.5, 70.7, 70.52];
    assert!(band.iter().zip(expected).all(|(point, y)| close(value(point[1]), y)), "{band:?}");
    let baseline = corners(forms(&scene, "baseline")[0]);
    assert!(close(value(baseline[0][1]), 69.0));

    let scene = Figure::Lines(lines(false, &[0.0, 1.0, 4.0])).scene();
    let line = corners(forms(&scene, "line")[0]);
    assert!(close(4.0 * (line[1][0] - line[0][0]), line[2][0] - line[0][0]), "{line:?}");
    // A single place has an error bar rather than a band.
    let scene = Figure::Lines(lines(false, &[3.0])).scene();
    assert_eq!((forms(&scene, "error").len(), forms(&scene, "band").len()), (2, 0));
}

#[test]
fn weights_are_the_mean_over_the_runs_that_are_there() {
    let straight = |n: u64, slope: f64| (0..=n).map(|t| (t, slope * t as f64)).collect::<Vec<_>>();
    let trail = Trail { name: "w".to_owned(), runs: vec![straight(2000, 1.0), straight(1000, 3.0), vec![]] };
    let panel = Panel { name: "task".to_owned(), trails: vec![trail] };
    let steps = Steps { panels: vec![panel], ..Steps::default() };
    let scene = Figure::Steps(steps).scene();
    let value = upright_scale(&scene);
    let parts = forms(&scene, "line");
    let [both, one] = parts[..] else { panic!("{parts:?}") };
    let (both, one) = (corners(both), corners(one));
    assert!(both.len() + one.len() <= 105, "thinned");
    assert!(close(value(both[0][1]), 0.0));
    // To step 1000 both are there (mean slope 2), then one (slope 1).
    assert!(close(value(both[both.len() - 1][1]), 2000.0));
    assert_eq!(one.first(), both.last(), "the line is whole");
    assert!(value(one[1][1]) < 1100.0);
    assert!(close(value(one[one.len() - 1][1]), 2000.0));
    let band = corners(forms(&scene, "band")[0]);
    let sd = 1000.0 * 2.0_f64.sqrt();
    assert!(band.iter().any(|point| close(value(point[1]), 2000.0 + sd)), "{band:?}");
}

#[test]
fn weights_stay_between_none_and_all() {
    let weights = |ends: &[f64]| {
        let runs = ends.iter().map(|end| vec![(0, 0.5), (10, *end)]).collect();
        let panel = Panel { name: "task".to_owned(), trails: vec![Trail { name: "w".to_owned(), runs }] };
        Steps { panels: vec![panel], within: Some([0.0, 1.0]), ..Steps::default() }
    };
    // Of weights at 0 and 1 the deviation is 0.71: more than there is room for.
    let scene = Figure::Steps(weights(&[0.0, 1.0, 1.0])).scene();
    let ticks: Vec<&str> = texts(&scene)
        .iter()
        .filter(|text| text.anchor == Anchor::End)
        .map(|text| text.words.as_str())
        .collect();
    assert_eq!((ticks.first(), ticks.last()), (Some(&"0.0"), Some(&"1.0")), "{ticks:?}");
    let value = upright_scale(&scene);
    let band = corners(forms(&scene, "band")[0]);
    assert!(band.iter().all(|point| value(point[1]) > -1e-9 && value(point[1]) < 1.0 + 1e-9), "{band:?}");
    // One objective alone always has all the weight: the axis ends there.
    let mut alone = weights(&[1.0]);
    alone.panels[0].trails[0].runs[0][0].1 = 1.0;
    let scene = Figure::Steps(alone).scene();
    let axis = corners(forms(&scene, "axis")[0]);
    let line = corners(forms(&scene, "line")[0]);
    assert!(close(axis[0][1].min(axis[1][1]), line[0][1]), "{axis:?} {line:?}");
    // What is none the less beyond is in the picture.
    let scene = Figure::Steps(weights(&[1.4])).scene();
    let (axis, line) = (corners(forms(&scene, "axis")[0]), corners(forms(&scene, "line")[0]));
    assert!(line.iter().all(|point| point[1] >= axis[0][1].min(axis[1][1]) - 1e-9), "{axis:?} {line:?}");
}

#[test]
fn one_series_without_a_name_has_no_legend() {
    for names in [&[""][..], &["one"], &["", "two"]] {
        let scene = Figure::Bars(bars(&["a", "b"], names, false)).scene();
        let keys = forms(&scene, "key").len();
        assert_eq!(keys, if names == [""] { 0 } else { names.len() }, "{names:?}");
    }
}

#[test]
fn pixels_show_the_same_picture() {
    let figure = Figure::Bars(bars(&TASKS[..2], &RECIPES[..2], true));
    let scene = figure.scene();
    let bytes = figure.png().expect("a picture");
    let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
    let info = reader.next_frame(&mut pixels).expect("a frame");
    let size = scene.size.map(|side| format!("{:.0}", 2.0 * side));
    assert_eq!([info.width.to_string(), info.height.to_string()], size);
    assert_eq!(reader.info().pixel_dims.map(|dims| dims.xppu), Some(7559));
    let at = |x: f64, y: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "inside the picture")]
        let start = 3 * ((2.0 * y) as usize * info.width as usize + (2.0 * x) as usize);
        [pixels[start], pixels[start + 1], pixels[start + 2]]
    };
    assert_eq!(at(1.0, 1.0), [255; 3]);
    for (i, bar) in forms(&scene, "bar").iter().enumerate() {
        let [[x, y], _] = corners(bar)[..] else { panic!("{bar:?}") };
        assert_eq!(at(x + 2.0, y + 20.0), [[0x00, 0x72, 0xb2], [0xe6, 0x9f, 0x00]][i / 2]);
        assert_eq!(at(x + 2.0, y - 2.0), [255; 3], "above the bar");
    }
    // The m that the title begins with.
    let dark = (8..20).flat_map(|x| (8..20).map(move |y| (x, y)));
    let dark = dark.filter(|(x, y)| at(f64::from(*x), f64::from(*y))[0] < 128).count();
    assert!((8..80).contains(&dark), "{dark}");
}

#[test]
fn the_same_data_give_the_same_bytes() {
    for figure in [
        Figure::Bars(bars(&TASKS, &RECIPES, true)),
        Figure::Lines(lines(true, &[1.0, 2.0])),
        Figure::Steps(steps(&TASKS, &RECIPES, 500)),
    ] {
        assert_eq!(figure.svg(), figure.clone().svg());
        assert_eq!(figure.png().expect("a picture"), figure.clone().png().expect("a picture"));
    }
}

#[test]
fn nothing_to_draw_is_said() {
    let unknown = Sample { mean: f64::NAN, ..Sample::default() };
    let mut none = bars(&["a"], &["b"], true);
    none.series[0].cells[0] = Some(unknown);
    let mut trails = steps(&["a"], &["b"], 2);
    trails.panels[0].trails[0].runs = vec![vec![(0, f64::INFINITY)]];
    for figure in [
        Figure::Bars(Bars::default()),
        Figure::Bars(none),
        Figure::Lines(Lines { log: true, baselines: vec![], ..lines(true, &[0.0, f64::NAN]) }),
        Figure::Lines(Lines::default()),
        Figure::Steps(Steps::default()),
        Figure::Steps(trails),
    ] {
        assert!(figure.svg().contains(">no data<"), "{}", figure.svg());
        figure.png().expect("a picture");
    }
}

#[test]
fn a_picture_beyond_all_screens_is_refused() {
    let names: Vec<String> = (0..4000).map(|i| format!("task {i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let figure = Figure::Steps(steps(&names, &["a"], 2));
    let error = figure.png().expect_err("too large").to_string();
    assert!(error.starts_with("a picture of 880 × "), "{error}");
    assert!(figure.svg().ends_with("</svg>\n"));
}

#[test]
fn deviations_are_over_n_minus_one() {
    let sample = Sample::of(&[0.5, f64::NAN, 0.7, 0.6]).expect("scores");
    assert!(close(sample.mean, 0.6) && close(sample.sd.expect("an sd"), 0.1) && sample.n == 3);
    assert_eq!(Sample::of(&[0.5]).map(|sample| (sample.n, sample.sd)), Some((1, None)));
    assert_eq!(Sample::of(&[f64::INFINITY]), None);
}

fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        5 => 0.0..100.0,
        1 => any::<f64>(),
        1 => prop::sample::select(vec![0.0, -0.0, f64::NAN, f64::INFINITY, 1e99, -1e99, 1e-320, 70.0]),
    ]
}

fn any_sample() -> impl Strategy<Value = Sample> {
    let scores = prop::collection::vec(any_number(), 0..3);
    (any_number(), prop::option::of(any_number()), 0..4_usize, scores)
        .prop_map(|(mean, sd, n, scores)| Sample { mean, sd, n, scores })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn whatever_the_numbers_all_shapes_are_in_the_picture(
        cells in prop::collection::vec(prop::collection::vec(prop::option::of(any_sample()), 0..4), 0..4),
        points in prop::collection::vec((any_number(), any_sample()), 0..6),
        run in prop::collection::vec((any::<u64>(), any_number()), 0..6),
        flag in any::<bool>(),
    ) {
        let series = cells.into_iter().map(|cells| Series { name: "s".to_owned(), cells }).collect();
        let groups = vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let trail = Trail { name: "t".to_owned(), runs: vec![run.clone(), run.into_iter().rev().collect()] };
        let figures = [
            Figure::Bars(Bars { groups, series, values: flag, ..Bars::default() }),
            Figure::Lines(Lines {
                curves: vec![Curve { name: "c".to_owned(), points }],
                log: flag,
                ..Lines::default()
            }),
            Figure::Steps(Steps {
                panels: vec![Panel { name: "p".to_owned(), trails: vec![trail] }],
                ..Steps::default()
            }),
        ];
        for figure in figures {
            let scene = figure.scene();
            for item in &scene.items {
                if let Item::Shape { form, .. } = item {
                    for [x, y] in corners(form) {
                        prop_assert!(
                            x >= 0.0 && y >= 0.0 && x <= scene.size[0] && y <= scene.size[1],
                            "{:?} in {:?}", form, scene.size
                        );
                    }
                }
            }
            prop_assert!(!figure.svg().contains("NaN"));
        }
    }
}
