//! The same table in each format, whole.

use super::*;
use crate::report::table::tests::{made, made_of_weights};

#[test]
fn text_is_aligned_and_tells_what_is_missing() {
    let expected = "\
macro_f1 on test, %, mean ± sd over seed
method   task-a               task-b
───────────────────────────────────────────────────────────
ft       61.00 ± 1.00 (n=3)   82.00 ± 2.65 (n=3)
mt       71.33 ± 1.53 (n=3)   81.00 ± 1.41 (n=2, 1 missing)
best: not marked where results are missing or the values of seed differ.
";
    let table = made("method", "task", "seed", "");
    assert_eq!(text(&table, false), expected);
    let styled = text(&table, true);
    assert!(styled.contains("mt       \u{1b}[1m71.33\u{1b}[0m ± 1.53 (n=3)"), "{styled:?}");
}

#[test]
fn differences_stand_beside_one_column_of_scores() {
    let expected = "\
**macro\\_f1 on test, %, mean ± sd over seed**

| task | method | macro\\_f1 | difference from ft | 95% interval | p |
| :--- | :--- | ---: | ---: | ---: | ---: |
| task-a | ft | 61.00 ± 1.00 (n=3) |  |  |  |
| task-a | mt | **71.33** ± 1.53 (n=3) | +10.33 | – | 0.25 |
| task-b | ft | 82.00 ± 2.65 (n=3) |  |  |  |
| task-b | mt | 81.00 ± 1.41 (n=2, 1 missing) | −1.50 | – | 1.00 |

best: not marked where results are missing or the values of seed differ.

p: paired permutation test by seed, two-sided, exact; not corrected for the number of comparisons.

2 pairs cannot give a p below 0.50 (2/2ⁿ).

95% interval: none of fewer than 5 pairs.
";
    assert_eq!(markdown(&made("task method", "", "seed", "method=ft")), expected);
}

#[test]
fn differences_have_a_table_of_their_own_beside_several_columns() {
    let expected = r"% \usepackage{booktabs}
\begin{table}[t]
  \centering
  \caption{Macro-F1 on test, \%, mean $\pm$ sd over seed. Best in bold. Best: not marked where results are missing or the values of seed differ.}
  \label{tab:test-macro-f1}
  \begin{tabular}{lcc}
    \toprule
    method & task-a & task-b \\
    \midrule
    ft & 61.00 $\pm$ 1.00 (n=3) & 82.00 $\pm$ 2.65 (n=3) \\
    mt & \textbf{71.33} $\pm$ 1.53 (n=3) & 81.00 $\pm$ 1.41 (n=2, 1 missing) \\
    \bottomrule
  \end{tabular}
\end{table}

\begin{table}[t]
  \centering
  \caption{Difference from ft, points [95\% interval], p. $p$: paired permutation test by seed, two-sided, exact; not corrected for the number of comparisons. 2 pairs cannot give a p below 0.50 (2/2$^n$). 95\% interval: none of fewer than 5 pairs.}
  \label{tab:test-macro-f1-differences}
  \begin{tabular}{lcc}
    \toprule
    method & task-a & task-b \\
    \midrule
    mt & +10.33, p = 0.25 & $-$1.50, p = 1.00 \\
    \bottomrule
  \end{tabular}
\end{table}
";
    assert_eq!(latex(&made("method", "task", "seed", "method=ft")), expected);
}

#[test]
fn what_is_the_same_everywhere_is_said_once() {
    let mut table = made("method", "task", "seed", "");
    for cell in table.rows.iter_mut().flat_map(|(_, cells)| cells) {
        (cell.scores, cell.missing) = (vec![0.5, 0.6], 0);
    }
    let page = markdown(&table);
    assert!(page.contains("over seed (n = 2)**") && !page.contains("n=2"), "{page}");
    table.title = Some("50% & more_".into());
    table.rows[0].0.values[0] = r"a_b\c".into();
    let page = latex(&table);
    assert!(page.contains(r"\caption{50\% \& more\_: macro-F1"), "{page}");
    assert!(page.contains(r"a\_b\textbackslash{}c & "), "{page}");
}

#[test]
fn what_is_not_compared_is_told() {
    let page = text(&made("method", "task", "seed", "task=task-a"), false);
    assert_eq!(page.matches("–\n").count(), 2, "{page}");
    assert!(page.ends_with("–: not compared: other texts.\n"), "{page}");
}

#[test]
fn intervals_say_how_they_were_made() {
    let found = |differences: &[f64]| Comparison::of(differences).expect("pairs");
    let (three, five) = (found(&[0.1, 0.2, 0.3]), found(&[0.1, 0.2, 0.3, 0.4, 0.5]));
    let how = "95% interval: bootstrap-t of the mean difference, 10,000 resamples";
    assert_eq!(interval_note(&[&five]), format!("{how}."));
    assert_eq!(interval_note(&[&three, &five]), format!("{how}; none of fewer than 5 pairs."));
    assert_eq!(
        interval_note(&[&found(&[0.1; 6]), &five]),
        format!("{how}; none where most differences are the same.")
    );
}

#[test]
fn weights_are_parts_of_one() {
    let expected = "\
final weights of test, mean ± sd over seed
task     end-task              tapt
──────────────────────────────────────────────────
task-a   0.650 ± 0.071 (n=2)   0.350 ± 0.071 (n=2)
";
    assert_eq!(text(&made_of_weights(), false), expected);
}

#[test]
fn numbers_read_well() {
    for (value, text) in [(0.0412, "+4.12"), (-0.0412, "−4.12"), (-0.000_01, "+0.00"), (0.0, "+0.00")] {
        assert_eq!(points(value), text);
    }
    for (value, text) in
        [(1.0, "1.00"), (0.25, "0.25"), (0.0625, "0.062"), (0.001, "0.001"), (2e-5, "< 0.001")]
    {
        assert_eq!(p(value), text);
    }
}
