//! The name that is likely meant by another.

/// What other programs call things, and what they are called here: no slip of the pen leads from one to the other.
const ELSEWHERE: [(&str, &str); 34] = [
    ("acc", "accuracy"),
    ("adam_epsilon", "eps"),
    ("batch_size", "batch"),
    ("checkpoint_dir", "from"),
    ("eval", "evaluate"),
    ("f1", "macro_f1"),
    ("f1_macro", "macro_f1"),
    ("f1_micro", "micro_f1"),
    ("fp32", "float32"),
    ("bfloat16", "bf16"),
    ("finetune", "train"),
    ("fine-tune", "train"),
    ("grid", "sweep"),
    ("learning_rate", "lr"),
    ("loss", "objective"),
    ("lr_scheduler_type", "schedule"),
    ("matrix", "sweep"),
    ("max_grad_norm", "clip"),
    ("max_len", "max_length"),
    ("max_seq_length", "max_length"),
    ("max_steps", "steps"),
    ("mlm_probability", "mask"),
    ("num_epochs", "epochs"),
    ("num_train_epochs", "epochs"),
    ("parameters", "vars"),
    ("params", "vars"),
    ("scheduler", "schedule"),
    ("tasks", "stages"),
    ("val", "dev"),
    ("valid", "dev"),
    ("validation", "dev"),
    ("variables", "vars"),
    ("warmup_ratio", "warmup"),
    ("wd", "weight_decay"),
];

/// How many stages are looked at for the one that is meant by a wrong name: loops make thousands.
pub const MEANT: usize = 1000;

/// The candidate that is likely meant by `name`: what other programs call so, or the nearest in spelling, if one is near
/// enough.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let here = ELSEWHERE.iter().find(|(elsewhere, _)| *elsewhere == name).map(|(_, here)| *here);
    let near = |candidate: &str| {
        let (a, b) = (name.chars().count(), candidate.chars().count());
        let most = 1.max(a.min(b) / 3);
        // The distance is no less than that of the lengths, and takes long to compute.
        if a.abs_diff(b) > most {
            return None;
        }
        let distance = strsim::damerau_levenshtein(name, candidate);
        // Of one character every other one would be near.
        (distance <= most && distance < a.max(b)).then_some(distance)
    };
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let distance = if here == Some(candidate) { Some(0) } else { near(candidate) };
            Some((distance?, candidate))
        })
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_only_what_is_near() {
        assert_eq!(nearest("task-txt", ["task", "task-text", "dapt"]), Some("task-text"));
        assert_eq!(nearest("zebra", ["task", "task-text", "dapt"]), None);
        assert_eq!(nearest("lr", ["epochs", "seed"]), None);
        assert_eq!(nearest("7", ["0", "1"]), None);
        assert_eq!(nearest("naïf", ["naïv", "seed"]), Some("naïv"));
    }

    #[test]
    fn knows_what_others_call_things() {
        assert_eq!(nearest("learning_rate", ["batch", "lr"]), Some("lr"));
        assert_eq!(nearest("learning_rate", ["batch", "seed"]), None);
    }
}
