//! Objectives: whether a loss and its data fit each other.

use std::collections::BTreeMap;

use crate::action::{Labels, Objective, ObjectiveFile, Vocabulary};
use crate::diag::Code;

/// Why a loss and its data do not fit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectiveError {
    /// Nothing to train on.
    #[error("the data has no train split")]
    NoTrain,
    /// Nothing to tell apart.
    #[error("`classify` needs labels, and the train split has none")]
    NoLabels,
    /// Everything is the same.
    #[error("`classify` needs two labels or more, and every text of the train split has the label `{0}`")]
    OneLabel(String),
    /// Nothing to hide tokens behind.
    #[error("`mlm` needs a mask token, and the tokenizer has none")]
    NoMask,
}

impl ObjectiveError {
    /// What kind of fault it is.
    pub fn code(&self) -> Code {
        match self {
            Self::NoTrain => Code::MissingSplit,
            Self::NoLabels => Code::NoLabels,
            Self::OneLabel(_) => Code::OneLabel,
            Self::NoMask => Code::NoSpecialToken,
        }
    }

    /// The way out.
    pub fn help(&self) -> &'static str {
        match self {
            Self::NoTrain => "name a train file under `splits` of the tokenize stage",
            Self::NoLabels => {
                "read it from JSONL, with the label's field named by `label` of the tokenize stage; \
                 of text without labels make an `mlm` objective"
            }
            Self::OneLabel(_) => {
                "check `label` of the tokenize stage: it names the field that holds the label"
            }
            Self::NoMask => {
                "use the tokenizer of a masked language model, or add a mask token to tokenizer.json"
            }
        }
    }
}

/// Binds the loss to the data that it is computed on. Of `labels`, `mlm` takes no notice, and `classify`
/// only of those that train has: what other splits hold must not make a model train again.
pub fn bind(
    objective: &Objective,
    sizes: &BTreeMap<String, u64>,
    mut labels: Labels,
    vocabulary: Vocabulary,
) -> Result<ObjectiveFile, ObjectiveError> {
    if !sizes.contains_key("train") {
        return Err(ObjectiveError::NoTrain);
    }
    let labels = match objective {
        Objective::Classify { .. } => match labels.classes {
            0 => return Err(ObjectiveError::NoLabels),
            1 => return Err(ObjectiveError::OneLabel(labels.names.first().cloned().unwrap_or_default())),
            classes => {
                labels.names.truncate(classes);
                Some(labels)
            }
        },
        Objective::Mlm { .. } if vocabulary.mask.is_none() => return Err(ObjectiveError::NoMask),
        Objective::Mlm { .. } => None,
    };
    Ok(ObjectiveFile { objective: objective.clone(), labels, vocabulary })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        objective: &Objective,
        split: &str,
        names: &[&str],
        classes: usize,
        mask: Option<u32>,
    ) -> Result<ObjectiveFile, ObjectiveError> {
        let sizes = BTreeMap::from([(split.to_owned(), 3)]);
        let labels = Labels { names: names.iter().map(ToString::to_string).collect(), classes };
        let vocabulary = Vocabulary { size: 9, pad: 0, mask, special: vec![0], max_positions: 8 };
        bind(objective, &sizes, labels, vocabulary)
    }

    const CLASSIFY: Objective = Objective::Classify { dropout: 0.1 };
    const MLM: Objective = Objective::Mlm { mask: 0.15 };

    #[test]
    fn binds_what_fits() {
        let file = check(&CLASSIFY, "train", &["a", "b", "c"], 2, None).expect("fits");
        let labels = file.labels.expect("labels");
        assert_eq!((labels.names.len(), labels.classes), (2, 2));
        let file = check(&MLM, "train", &["a"], 1, Some(4)).expect("fits");
        assert_eq!((file.labels, file.objective), (None, MLM));
    }

    #[test]
    fn refuses_what_does_not_fit() {
        for (got, wanted) in [
            (check(&CLASSIFY, "dev", &["a", "b"], 2, None), ObjectiveError::NoTrain),
            (check(&MLM, "test", &[], 0, Some(4)), ObjectiveError::NoTrain),
            (check(&CLASSIFY, "train", &[], 0, None), ObjectiveError::NoLabels),
            (check(&CLASSIFY, "train", &["a", "b"], 0, None), ObjectiveError::NoLabels),
            (check(&CLASSIFY, "train", &["a", "b"], 1, None), ObjectiveError::OneLabel("a".to_owned())),
            (check(&MLM, "train", &[], 0, None), ObjectiveError::NoMask),
        ] {
            assert_eq!(got, Err(wanted));
        }
    }
}
