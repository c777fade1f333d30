//! What a pipeline may say: every block and field, its type, default, unit and meaning.
//!
//! One table for `tartan schema` ([`schema`]), for the pages of the manual ([`pages`]) and for whoever else
//! explains a field. The reader beside it (`kinds`, `training`, …) decides what is accepted; `tests` holds the
//! two to each other: the same fields, what is required, defaults, words and the edges of ranges.
//!
//! To add a field: a row here, then `TARTAN_BLESS=1 cargo test --no-default-features --lib reference`, which
//! writes its page anew.

mod command;
mod encoder;
mod evaluate;
mod objective;
mod pages;
mod pipeline;
mod report;
mod schema;
mod tokenize;
mod training;

pub use pages::pages;
pub use pipeline::PIPELINE;
pub use schema::schema;

pub use super::fields::Range;

/// A block of fields.
#[derive(Debug)]
pub struct Block {
    /// What it is called: a kind, or the field that it stands under.
    pub name: &'static str,
    /// What it is for, in Markdown.
    pub doc: &'static str,
    /// Its fields, in the order to explain them. In groups, since blocks share some.
    pub fields: &'static [&'static [Field]],
    /// What the fields that the user names are called and may hold, where there are such.
    pub open: Option<(&'static str, Type)>,
    /// Which fields go together.
    pub rules: &'static [Rule],
    /// How it looks in a pipeline; for a kind, a stage with its name. Empty where its parent shows it.
    pub example: &'static str,
}

/// A field of a block.
#[derive(Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What may stand there.
    pub of: Type,
    /// What it means, in Markdown, a sentence or two.
    pub doc: &'static str,
    /// What counts where it is absent.
    pub absent: Absent,
    /// What its number counts; empty where it has no unit.
    pub unit: &'static str,
}

/// What an absent field comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// A fault.
    Fault,
    /// The same as if this stood there, in YAML.
    Default(&'static str),
    /// What is then done, in Markdown; empty where that goes without saying.
    Otherwise(&'static str),
}

/// What may stand as a field's value. `${…}` may stand for any of them.
#[derive(Clone, Copy, Debug)]
pub enum Type {
    /// A text.
    Text,
    /// A text that is of a form: a regular expression, and how people write it.
    Form(&'static str, &'static str),
    /// A path, relative to the pipeline's file.
    Path,
    /// `true` or `false`.
    Truth,
    /// `false`, for "none".
    No,
    /// A number that must be this one.
    Exactly(i64),
    /// A whole number of at least so much.
    Count(u64),
    /// A number in a range.
    Number(Range),
    /// So many numbers.
    Numbers(usize, Range),
    /// One of some words, each with what it means; a meaning may be empty.
    Word(&'static [(&'static str, &'static str)]),
    /// The name of a stage of one of these kinds.
    Stage(&'static [&'static str]),
    /// The name of a variable.
    Variable,
    /// A scalar of any type.
    Scalar,
    /// Anything.
    Anything,
    /// A list of these.
    List(&'static Type),
    /// One of these, or a list of them.
    Several(&'static Type),
    /// Of a list or a block of these, one that holds something.
    NotEmpty(&'static Type),
    /// A block of fields.
    Block(&'static Block),
    /// A block whose keys the user names, each over one of these; what a key is called.
    Each(&'static str, &'static Type),
    /// One of several types.
    Any(&'static [Type]),
}

/// Which fields go together.
#[derive(Clone, Copy, Debug)]
pub enum Rule {
    /// Exactly one of these is there.
    One(&'static [&'static str]),
    /// At most one of these is there.
    AtMostOne(&'static [&'static str]),
    /// At least one of these is there.
    Some(&'static [&'static str]),
}

impl Block {
    /// Its fields, in the order to explain them.
    pub fn fields(&self) -> impl Iterator<Item = &'static Field> {
        self.fields.iter().copied().flatten()
    }

    /// The blocks inside it, each as often as it stands there.
    fn inner(&self) -> impl Iterator<Item = &'static Block> {
        let open = self.open.iter().flat_map(|(_, of)| of.blocks());
        self.fields().flat_map(|field| field.of.blocks()).chain(open)
    }
}

impl Field {
    /// A field that must be there.
    const fn required(name: &'static str, of: Type, doc: &'static str) -> Self {
        Self { name, of, doc, absent: Absent::Fault, unit: "" }
    }

    /// A field that may be left out.
    const fn optional(name: &'static str, of: Type, doc: &'static str) -> Self {
        Self { name, of, doc, absent: Absent::Otherwise(""), unit: "" }
    }

    /// The same, with a default in YAML.
    const fn or(mut self, default: &'static str) -> Self {
        self.absent = Absent::Default(default);
        self
    }

    /// The same, with what is done where it is absent.
    const fn or_else(mut self, what: &'static str) -> Self {
        self.absent = Absent::Otherwise(what);
        self
    }

    /// The same, with what its number counts.
    const fn in_unit(mut self, unit: &'static str) -> Self {
        self.unit = unit;
        self
    }
}

impl Type {
    /// Every block in it, itself included.
    fn blocks(&self) -> Vec<&'static Block> {
        match self {
            Self::Block(block) => vec![block],
            Self::List(of) | Self::Several(of) | Self::NotEmpty(of) | Self::Each(_, of) => of.blocks(),
            Self::Any(types) => types.iter().flat_map(Self::blocks).collect(),
            _ => vec![],
        }
    }
}

/// The kinds of stages, in the order of a pipeline.
pub fn kinds() -> impl Iterator<Item = &'static Block> {
    pipeline::STAGE.fields().filter_map(|field| match field.of {
        Type::Block(block) => Some(block),
        _ => None,
    })
}

/// Every block of the table, the pipeline first.
fn blocks() -> Vec<&'static Block> {
    let mut blocks: Vec<&'static Block> = vec![&PIPELINE];
    let mut at = 0;
    while let Some(block) = blocks.get(at) {
        let inner: Vec<&'static Block> = block.inner().collect();
        for block in inner {
            // A block may stand in several places.
            if !blocks.iter().any(|known| std::ptr::eq(*known, block)) {
                blocks.push(block);
            }
        }
        at += 1;
    }
    blocks
}

#[cfg(test)]
mod tests;
