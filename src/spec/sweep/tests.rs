use super::super::yaml::parse_value;
use super::*;

fn vars() -> Vec<(String, Node)> {
    [
        ("seed", Node::Int(0)),
        ("lr", Node::Float(0.1)),
        ("batch", Node::Int(1)),
        ("task", Node::Text("a".into())),
    ]
    .map(|(name, node)| (name.to_owned(), node))
    .into_iter()
    .chain([("tasks".to_owned(), parse_value("{x: 1, y: 2}").expect("yaml"))])
    .chain([("many".to_owned(), Node::Int(3)), ("derived".to_owned(), Node::Text("${seed}".into()))])
    .collect()
}

/// The points of a sweep as text, and its faults.
fn held(sweep: &str, set: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let mut vars = vars();
    for (name, value) in set {
        vars.retain(|(known, _)| known != name);
        vars.push(((*name).to_owned(), parse_value(value).expect("yaml")));
    }
    let held: Vec<String> = set.iter().map(|(name, _)| (*name).to_owned()).collect();
    let given = Given { vars: &vars, held: &held, narrowed: !held.is_empty() };
    let mut faults = vec![];
    let found = read(&parse_value(sweep).expect("yaml"), &At::top().key("sweep"), &given, &mut faults);
    let text = |point: &Setting| {
        let pairs = found.columns.iter().zip(&point.values);
        let pairs: Vec<String> =
            pairs.map(|(dim, value)| format!("{}={}", dim.name, value.brief())).collect();
        pairs.join(" ")
    };
    (
        found.points.iter().map(text).collect(),
        faults.into_iter().map(|(_, fault)| fault.to_string()).collect(),
    )
}

fn points(sweep: &str) -> Vec<String> {
    let (points, faults) = held(sweep, &[]);
    assert_eq!(faults, [""; 0], "{sweep}");
    points
}

#[test]
fn a_sweep_is_the_product_of_its_axes_the_last_varies_fastest() {
    assert_eq!(
        points("{lr: [0.1, 0.2], seed: {range: [3, 7, 2]}}"),
        ["lr=0.1 seed=3", "lr=0.1 seed=5", "lr=0.2 seed=3", "lr=0.2 seed=5"]
    );
    assert_eq!(points("{}"), [""]);
    assert_eq!(
        points("{zip: {task: [a, b], lr: [1.0, 2.0]}, seed: [0, 1]}"),
        ["task=a lr=1.0 seed=0", "task=a lr=1.0 seed=1", "task=b lr=2.0 seed=0", "task=b lr=2.0 seed=1"]
    );
    // What moves together may say the same twice.
    assert_eq!(points("{zip: [{task: [a, b], lr: [1.0, 1.0]}]}"), ["task=a lr=1.0", "task=b lr=1.0"]);
    assert_eq!(
        points("{size: {points: {small: {lr: 1.0, batch: 8}, large: {lr: 2.0}}}, seed: [0, 1]}"),
        ["size=small seed=0", "size=small seed=1", "size=large seed=0", "size=large seed=1"]
    );
    assert_eq!(points("{points: {small: {lr: 1.0}, plain: {}}}"), ["point=small", "point=plain"]);
}

#[test]
fn a_point_sets_its_variables() {
    let node = parse_value("{size: {points: {small: {lr: 1.0, batch: 8}, plain: }}}").expect("yaml");
    let vars = vars();
    let mut faults = vec![];
    let found = read(&node, &At::top(), &Given { vars: &vars, held: &[], narrowed: false }, &mut faults);
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(found.varied, ["batch", "lr", "size"]);
    let set: Vec<String> =
        found.points[0].vars.iter().map(|(name, value)| format!("{name}={}", value.brief())).collect();
    assert_eq!(set, ["size=small", "lr=1.0", "batch=8"]);
    assert_eq!(found.points[1].vars.len(), 1);
}

#[test]
fn values_come_from_ranges_and_variables() {
    for (sweep, expected) in [
        ("{lr: {range: [0.1, 0.4, 0.1]}}", "lr=0.1 lr=0.2 lr=0.3"),
        ("{lr: {range: [3, 0, -1]}}", "lr=3 lr=2 lr=1"),
        ("{lr: {log_range: [1e-5, 1e-2, 4]}}", "lr=1e-5 lr=0.0001 lr=0.001 lr=0.01"),
        ("{lr: {log_range: [8, 1, 4]}}", "lr=8.0 lr=4.0 lr=2.0 lr=1.0"),
        ("{seed: {range: [0, '${many}']}}", "seed=0 seed=1 seed=2"),
        ("{task: '${tasks}'}", "task=x task=y"),
    ] {
        assert_eq!(points(sweep).join(" "), expected, "{sweep}");
    }
}

#[test]
fn exclusions_leave_out_what_they_match_in_all_fields() {
    assert_eq!(
        points("{task: [a, b], seed: [0, 1], exclude: [{task: a, seed: 1}]}"),
        ["task=a seed=0", "task=b seed=0", "task=b seed=1"]
    );
    assert_eq!(points("{task: [a, b, c], exclude: {task: [a, c]}}"), ["task=b"]);
    // A number is one number, however it is written; what a point sets counts like its name.
    assert_eq!(points("{lr: [1, 2], exclude: {lr: 1.0}}"), ["lr=2"]);
    assert_eq!(points("{points: {s: {lr: 1.0}, l: {lr: 2.0}}, exclude: {lr: 2.0}}"), ["point=s"]);
    for (sweep, part) in [
        ("{task: [abc, b], exclude: {task: abd}}", "did you mean `abc`?"),
        ("{task: [a, b], seed: [0, 1], exclude: [{task: a, seed: 7}]}", "`seed` never is `7`"),
    ] {
        let (_, faults) = held(sweep, &[]);
        assert!(
            faults.len() == 1 && faults[0].starts_with("warning") && faults[0].contains(part),
            "{faults:?}"
        );
    }
}

#[test]
fn a_value_that_is_given_chooses_among_the_points() {
    let zip = "{zip: {task: [a, b, b], lr: [1.0, 2.0, 3.0]}, seed: [0, 1], exclude: {task: b, seed: 0}}";
    for (set, expected) in [
        (&[("seed", "1")][..], "task=a lr=1.0; task=b lr=2.0; task=b lr=3.0"),
        (&[("seed", "7")], "task=a lr=1.0; task=b lr=2.0; task=b lr=3.0"),
        // What moves together with it stays with it; a value that the zip does not have takes it out of the zip.
        (&[("task", "b")], "lr=2.0 seed=1; lr=3.0 seed=1"),
        (&[("task", "c"), ("seed", "0")], "lr=1.0; lr=2.0; lr=3.0"),
        (&[("task", "a"), ("lr", "9.0")], "seed=0; seed=1"),
    ] {
        let (points, faults) = held(zip, set);
        assert_eq!((points.join("; ").as_str(), faults.len()), (expected, 0), "{set:?}");
    }
    let named = "{size: {points: {small: {lr: 1.0}, large: {lr: 2.0}}}, seed: [0, 1]}";
    assert_eq!(held(named, &[("size", "large")]).0, ["seed=0", "seed=1"]);
    assert_eq!(held(named, &[("lr", "5")]).0.len(), 4);
    assert!(held(named, &[("size", "lrge")]).1[0].contains("did you mean `large`?"));
}

#[test]
fn what_makes_no_sweep_is_said() {
    for (sweep, part) in [
        ("{sed: [1]}", "unknown variable `sed`"),
        ("{seed: 3}", "a list or a range"),
        ("{seed: []}", "no values"),
        ("{seed: [1, 1]}", "twice"),
        ("{seed: {range: [3, 3]}}", "empty"),
        ("{seed: {range: [0, 3, 0]}}", "empty or without end"),
        ("{seed: {range: [0, 1e9]}}", "more than 10000 values"),
        ("{seed: {rnge: [0, 3]}}", "unknown field `rnge`"),
        ("{seed: {range: [0, 3], log_range: [1, 3, 2]}}", "exclude each other"),
        ("{lr: {log_range: [0, 3, 2]}}", "above 0"),
        ("{lr: {log_range: [1, 3]}}", "`[start, end, count]`"),
        ("{lr: {log_range: [1, 3, 1]}}", "2 to 10000 values"),
        ("{seed: {range: [0, 1000]}, lr: {range: [0, 1000]}}", "more than 10000 points"),
        ("3", "a block of variables"),
        ("{zip: 3}", "a `zip` is a block"),
        ("{zip: {seed: [1, 2], lr: [1]}}", "`lr` has 1 values and `seed` has 2"),
        ("{zip: {seed: [1, 1], lr: [1, 1]}}", "stands twice in the `zip`"),
        ("{seed: [1], zip: {seed: [1]}}", "two parts of the sweep set `seed`"),
        ("{points: {}}", "names, each over a block"),
        ("{points: {a: 3}}", "a point is a block"),
        ("{points: {a: {sed: 3}}}", "did you mean `seed`?"),
        ("{lr: [1], points: {a: {lr: 3}}}", "two parts of the sweep set `lr`"),
        ("{seed: [1], exclude: {sed: 1}}", "did you mean `seed`?"),
        ("{seed: [1], exclude: {seed: 1}}", "leave no point"),
        ("{seed: [1, 2], exclude: [3]}", "an exclusion is a block"),
        ("{seed: '${derived}'}", "varies over the sweep"),
        ("{seed: '${mny}'}", "did you mean `many`?"),
    ] {
        let (_, faults) = held(sweep, &[]);
        assert!(faults.iter().any(|fault| fault.contains(part)), "{sweep}: {faults:?}");
    }
}
