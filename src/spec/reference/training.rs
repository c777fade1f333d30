//! `train` and `learn-weights`: one loop, and so nearly one block.

use super::{Block, Field, Range, Rule, Type, evaluate};

pub(super) static TRAIN: Block = Block {
    name: "train",
    doc: "Trains an encoder on one or more objectives at once, each with a weight of its own, and keeps the best \
          checkpoint on dev.",
    fields: &[OBJECTIVES, &[WEIGHTS], TRAINING],
    open: None,
    rules: &[Rule::Some(&["end_task", "auxiliary"]), LENGTH],
    example: "\
model:
  train:
    init: encoder
    end_task: end-task
    auxiliary: [tapt, dapt]
    epochs: 10
    seed: \"${seed}\"
",
};

pub(super) static LEARN_WEIGHTS: Block = Block {
    name: "learn-weights",
    doc: "Trains as `train` does, and learns on the way how much each objective should weigh, from the end-task's dev \
          split (META-TARTAN).",
    fields: &[
        &[INIT, Field::required("end_task", OBJECTIVE, "The end-task."), AUXILIARY],
        &[META_FIELD],
        TRAINING,
    ],
    open: None,
    rules: &[LENGTH],
    example: "\
meta:
  learn-weights:
    init: encoder
    end_task: end-task
    auxiliary: [tapt, dapt]
    meta: {lr: 1e-2, dev_head: {steps: 10, batch: 32}}
    epochs: 10
",
};

const LENGTH: Rule = Rule::One(&["epochs", "steps"]);
const OBJECTIVE: Type = Type::Stage(&["objective"]);

const INIT: Field = Field::required(
    "init",
    Type::Stage(&["encoder", "train", "learn-weights"]),
    "The model to start from. One that was trained on the same end-task brings its head.",
);
const AUXILIARY: Field = Field::optional(
    "auxiliary",
    Type::Several(&OBJECTIVE),
    "The auxiliary objectives, trained on at every step beside the end-task.",
)
.or_else("none");

const OBJECTIVES: &[Field] = &[
    INIT,
    Field::optional(
        "end_task",
        OBJECTIVE,
        "The task that counts: dev is scored on it, and the best checkpoint is kept. Without it there is nothing to \
         score, and the last step is kept.",
    ),
    AUXILIARY,
];

const WEIGHTS_OF: &[Type] = &[
    Type::Word(&[("uniform", "each the same")]),
    Type::Each("OBJECTIVE", &Type::Number(Range::NotNegative)),
    Type::Block(&LEARNED),
];

const WEIGHTS: Field = Field::optional(
    "weights",
    Type::Any(WEIGHTS_OF),
    "How much each objective weighs: `uniform`; a number for each by its stage's name, used as it is; or \
     `{from: STAGE}`, those that a `learn-weights` stage with the same objectives came to.",
)
.or("uniform");

static LEARNED: Block = Block {
    name: "weights",
    doc: "Weights that a `learn-weights` stage with the same objectives came to.",
    fields: &[&[
        Field::required("from", Type::Stage(&["learn-weights"]), "The stage that learned them."),
        Field::optional(
            "use",
            Type::Word(&[
                ("final", "those after its last step"),
                ("mean", "the mean of those that its steps were made with"),
                ("replay", "step by step those that it used; after their end the last"),
            ]),
            "Which of them.",
        )
        .or("final"),
    ]],
    open: None,
    rules: &[],
    example: "",
};

const TRAINING: &[Field] = &[
    Field::optional(
        "epochs",
        Type::Number(Range::Positive),
        "How long: passes over the largest auxiliary corpus, or over the end-task where there is none.",
    )
    .in_unit("passes"),
    Field::optional("steps", Type::Count(1), "How long, in optimiser steps.").in_unit("optimiser steps"),
    Field::optional("batch", Type::Count(1), "Texts of the end-task a micro-step.").or("64").in_unit("texts"),
    Field::optional("auxiliary_batch", Type::Count(1), "Texts of each auxiliary objective a micro-step.")
        .or("64")
        .in_unit("texts"),
    Field::optional(
        "micro_steps",
        Type::Count(1),
        "Micro-steps an optimiser step: gradients are averaged over them. `batch` times this is the batch of a step.",
    )
    .or("2"),
    Field::optional(
        "lr",
        Type::Number(Range::NotNegative),
        "Peak learning rate of the encoder and the LM head (AdamW, decoupled weight decay).",
    )
    .or("1e-4"),
    Field::optional("weight_decay", Type::Number(Range::NotNegative), "Weight decay; 0 for biases and layer norms in any case.")
        .or("0.01"),
    Field::optional("betas", Type::Numbers(2, Range::BelowOne), "Decay rates of AdamW's first and second moments.")
        .or("[0.9, 0.98]"),
    Field::optional("eps", Type::Number(Range::Positive), "Added to the root of AdamW's second moment.").or("1e-6"),
    Field::optional("head", Type::Block(&HEAD), "The optimiser of the classification heads, where it differs."),
    Field::optional(
        "schedule",
        Type::Word(&[
            ("linear", "rises from 0 over the warm-up, then falls to 0 at the last step"),
            ("constant", "rises from 0 over the warm-up, then stays"),
        ]),
        "The learning rate over the steps.",
    )
    .or("linear"),
    Field::optional("warmup", Type::Number(Range::BelowOne), "Warm-up, as a part of all steps.").or("0.06"),
    Field::optional(
        "clip",
        Type::Number(Range::NotNegative),
        "The largest L2 norm of the gradient, of the encoder's and the heads' apart; 0 for no clipping.",
    )
    .or("1.0"),
    Field::optional(
        "evaluate_every",
        Type::Any(&[Type::Count(1), Type::Word(&[("epoch", "once an epoch")])]),
        "Optimiser steps from one scoring of dev to the next, or `epoch`.",
    )
    .or("30")
    .in_unit("optimiser steps"),
    Field::optional(
        "patience",
        Type::Count(0),
        "Scorings of dev without a better one before training stops; 0 for never.",
    )
    .or("20"),
    Field::optional("metric", Type::Word(evaluate::METRICS), "What dev is scored by, to choose the checkpoint that is kept.")
        .or("macro_f1"),
    Field::optional("dropout", Type::Truth, "Keep the encoder's own dropout while training; its configuration says how much.")
        .or("true"),
    evaluate::ATTEND_PADS,
    evaluate::PRECISION,
    Field::optional(
        "checkpoint",
        Type::Any(CHECKPOINT_OF),
        "How often to save what a run can be taken up from after a kill, or `false` for never. Changes no result, and is \
         no part of the key.",
    )
    .or("{minutes: 10}"),
    Field::optional(
        "seed",
        Type::Count(0),
        "Seeds the heads, the order of the texts, masks and dropout, each a stream of its own.",
    )
    .or("0"),
];

static HEAD: Block = Block {
    name: "head",
    doc: "The optimiser of the classification heads, where it differs from the encoder's.",
    fields: &[&[
        Field::optional("lr", Type::Number(Range::NotNegative), "Peak learning rate of the heads.")
            .or("1e-3"),
        Field::optional("weight_decay", Type::Number(Range::NotNegative), "Weight decay of the heads.")
            .or("0.1"),
    ]],
    open: None,
    rules: &[],
    example: "",
};

const CHECKPOINT_OF: &[Type] = &[Type::Block(&CHECKPOINT), Type::No];

static CHECKPOINT: Block = Block {
    name: "checkpoint",
    doc: "How often to save what a run can be taken up from.",
    fields: &[&[
        Field::optional("steps", Type::Count(1), "Every so many optimiser steps.").in_unit("optimiser steps"),
        Field::optional(
            "minutes",
            Type::Number(Range::Positive),
            "After the first step that ends so long after the last one.",
        )
        .in_unit("minutes"),
    ]],
    open: None,
    rules: &[Rule::One(&["steps", "minutes"])],
    example: "",
};

const META_FIELD: Field = Field::optional("meta", Type::Block(&META), "How the weights are learned.")
    .or_else("every field at its default");

static META: Block = Block {
    name: "meta",
    doc: "How the weights are learned: at each step every objective's gradient of the encoder is compared with that of the \
          end-task's dev loss, and what agrees gains.",
    fields: &[&[
        Field::optional(
            "lr",
            Type::Number(Range::NotNegative),
            "Learning rate of the logits, of which the weights are the softmax.",
        )
        .or("1e-2"),
        Field::optional(
            "optimizer",
            Type::Word(&[
                ("sgd", "plain gradient ascent"),
                ("momentum", "ascent along a sum that decays by 0.9 a step"),
                ("adam", "Adam with betas (0.9, 0.999) and eps 1e-8"),
            ]),
            "How the logits follow the similarities.",
        )
        .or("sgd"),
        Field::optional(
            "similarity",
            Type::Word(&[("cosine", "by their cosine; 0 where one of them is 0"), ("dot", "by their inner product")]),
            "How two gradients are compared.",
        )
        .or("cosine"),
        Field::optional(
            "jacobian",
            Type::Truth,
            "Take the similarities through the softmax's Jacobian; the paper's code adds them to the logits as they are.",
        )
        .or("false"),
        Field::optional(
            "gradient_at",
            Type::Word(&[
                ("current", "those that the objectives' gradients are taken at, as in the paper's code"),
                ("next", "those after the step, as in the paper's formula; keeps one gradient an objective in memory"),
            ]),
            "The parameters that the dev gradient is taken at.",
        )
        .or("current"),
        Field::optional(
            "dev_head",
            Type::Any(&[
                Type::Block(&DEV_HEAD),
                Type::Word(&[("training", "the head that is being trained (the paper's ablation)")]),
            ]),
            "The head that the end-task's dev loss goes through: one of its own, fitted anew at each update, or `training`.",
        )
        .or("{}"),
        Field::optional("dev_batch", Type::Count(1), "Texts that the dev gradient is taken on, at most all.")
            .or_else("as many as the stage's `batch`")
            .in_unit("texts"),
        Field::optional(
            "disjoint_dev",
            Type::Truth,
            "Fit the dev head, take the dev gradient and choose the checkpoint on parts of dev of their own, drawn from the \
             seed.",
        )
        .or("false"),
        Field::optional("every", Type::Count(1), "Optimiser steps from one update of the weights to the next.")
            .or("1")
            .in_unit("optimiser steps"),
        Field::optional(
            "initial",
            Type::Each("OBJECTIVE", &Type::Number(Range::Positive)),
            "The weights to start with, one for each objective by its stage's name, above `floor`; they sum to 1.",
        )
        .or_else("each the same"),
        Field::optional(
            "floor",
            Type::Number(Range::BelowOne),
            "No weight falls below this. Times the number of objectives it must stay below 1.",
        )
        .or("0"),
    ]],
    open: None,
    rules: &[],
    example: "",
};

static DEV_HEAD: Block = Block {
    name: "dev_head",
    doc: "How a dev head of its own is fitted, with the encoder fixed.",
    fields: &[&[
        Field::optional("steps", Type::Count(1), "The most optimiser steps.")
            .or("10")
            .in_unit("optimiser steps"),
        Field::optional("batch", Type::Count(1), "Texts to fit it on, at most all.")
            .or("32")
            .in_unit("texts"),
        Field::optional("lr", Type::Number(Range::NotNegative), "Learning rate of its AdamW.").or("1e-3"),
        Field::optional("weight_decay", Type::Number(Range::NotNegative), "Weight decay of its AdamW.")
            .or("0.1"),
        Field::optional(
            "tolerance",
            Type::Number(Range::NotNegative),
            "It is fitted when its loss changes by less than this from one step to the next.",
        )
        .or("1e-3"),
        Field::optional(
            "fit_on",
            Type::Word(&[
                ("dev", "the dev split"),
                ("train", "the train split, as in AANG (Dery et al. 2022b)"),
            ]),
            "The split of the end-task that it is fitted on.",
        )
        .or("dev"),
    ]],
    open: None,
    rules: &[],
    example: "",
};
