//! The codes of diagnostics: one for each kind of fault, and a page about each (`tartan help T0101`).
//!
//! A code names a kind of fault, never a place in the source. It keeps its meaning: the number of one that is
//! no longer used is not given to another. Its page is `codes/CODE.md`: what is wrong and why it matters, an
//! example that is wrong, and the same one mended. A test in `cli::help` checks the examples.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

macro_rules! codes {
    ($($name:ident = $code:literal: $title:literal,)*) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $title] $name,)*
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// How it prints: `T0101`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The kind of fault in a few words.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// All there is to say about it.
            pub fn page(self) -> Page {
                Page::of(match self { $(Self::$name => include_str!(concat!("codes/", $code, ".md")),)* })
            }
        }
    };
}

codes! {
    // The text.
    UnreadablePipeline = "T0001": "a pipeline file that cannot be read",
    TooLarge = "T0002": "a file too large to be a pipeline",
    NotUtf8 = "T0003": "a file that is not UTF-8",
    ControlCharacter = "T0004": "a control character in the text",
    Syntax = "T0005": "text that is not valid YAML",
    Tab = "T0006": "a tab where YAML wants spaces",
    DuplicateKey = "T0007": "a key that stands twice in a block",
    Tag = "T0008": "a YAML tag",
    SeveralDocuments = "T0009": "several documents in one file",
    EmptyFile = "T0010": "an empty pipeline",
    TooDeep = "T0011": "blocks nested too deep",
    TooManyNodes = "T0012": "aliases or variables that expand to too much",
    MergeKey = "T0013": "a merge key",
    NumberTooLarge = "T0014": "a whole number beyond 64 bits",
    NotFormatted = "T0015": "text that the formatter leaves as it is",

    // Fields and their values.
    UnknownField = "T0101": "an unknown field",
    MissingField = "T0102": "a field that is missing",
    WrongType = "T0103": "a value of the wrong type",
    OutOfRange = "T0104": "a number out of its range",
    UnknownWord = "T0105": "a word that a field does not know",
    Exclusive = "T0106": "fields that exclude each other",
    FormatVersion = "T0107": "the version of the pipeline format",
    UnknownMetric = "T0108": "an unknown metric",
    EmptyList = "T0109": "a list without items",

    // Variables and sweeps.
    UnknownVariable = "T0201": "an unknown variable",
    MalformedVariable = "T0202": "a malformed `${…}`",
    CircularVariables = "T0203": "variables defined by each other",
    BlockInText = "T0204": "a list or block inside a text",
    UnknownVariableField = "T0205": "a field that a variable lacks",
    BadSet = "T0206": "a `--set` that sets nothing",
    NoValues = "T0207": "a sweep over no values",
    RepeatedValue = "T0208": "a value that stands twice in a sweep",
    BadRange = "T0209": "a malformed or empty range",
    TooManyPoints = "T0210": "a sweep of too many points",
    UnevenZip = "T0211": "variables that cannot move together",
    SweptTwice = "T0212": "a variable that a sweep sets twice",
    NothingExcluded = "T0213": "an exclusion of no point",
    NoPointsLeft = "T0214": "exclusions that leave no point",
    UnusedVariable = "T0215": "a variable that is never used",

    // Stages and what they name.
    UnknownKind = "T0301": "an unknown kind of stage",
    NotOneKind = "T0302": "a stage that is not one kind over its block",
    StageName = "T0303": "a name that no stage can have",
    UnknownStage = "T0304": "an unknown stage",
    WrongStageKind = "T0305": "a stage of the wrong kind",
    Cycle = "T0306": "stages that need each other",
    MissingSplit = "T0307": "a split that the data lacks",

    UnneededStage = "T0308": "a stage that no result needs",
    NamesLoop = "T0309": "a loop where one stage is wanted",
    LoopVariable = "T0310": "a loop's variable that the pipeline has too",
    LoopValue = "T0311": "a loop's value that no stage's name can have",

    // What is trained on what.
    RepeatedObjective = "T0401": "an objective that is named twice",
    ObjectiveWeights = "T0402": "weights that do not fit the objectives",
    InitialWeights = "T0403": "weights that learning cannot start from",
    OtherObjectives = "T0404": "learned weights of other objectives",
    PadsDiffer = "T0405": "a model scored otherwise than it was trained",
    OtherTokenizer = "T0406": "tokens of another tokenizer",
    TestSplit = "T0407": "test texts that have a part in training",
    NoSpecialToken = "T0408": "a tokenizer without the token that an objective needs",
    TooManyPositions = "T0409": "texts longer than the encoder takes",
    UnsupportedEncoder = "T0410": "an encoder that is not supported",
    BadTokenizer = "T0411": "a tokenizer that cannot be used",

    // Files.
    MissingFile = "T0501": "a file that is not there",
    NotAFile = "T0502": "something that is not a file",
    UnreadableFile = "T0503": "a file that cannot be read",
    UnknownFormat = "T0504": "a file whose format is not known",
    BadUrl = "T0505": "a URL that nothing can be fetched from",
    UnpinnedUrl = "T0506": "a remote file without a digest",
    BadDigest = "T0507": "a malformed digest",
    DigestFile = "T0508": "a digest file that cannot be used",
    ExportClash = "T0509": "two results in one folder",
    ExportOverwrites = "T0510": "an export over what the pipeline reads",
    NoMatch = "T0511": "a pattern that matches no file",
    BadPattern = "T0512": "a pattern of files that cannot be used",
    MixedFormats = "T0513": "a split's files in several formats",
    OtherFile = "T0514": "a remote file that is not the pinned one",
    BadHubName = "T0551": "a name that nothing on the hub has",
    HubRefused = "T0552": "what the hub does not give",
    HubOffline = "T0553": "what only the hub knows or has",
    HubUnresolved = "T0554": "a revision whose commit is not known yet",

    // Included files and profiles.
    CircularInclude = "T0601": "files that include each other",
    TooManyIncludes = "T0602": "includes that nobody can follow",
    NotToInclude = "T0603": "a field that a file to include cannot have",
    SaidTwice = "T0604": "a name that two included files have",
    UnknownProfile = "T0605": "an unknown profile",

    // Texts and labels.
    EmptySplit = "T0611": "a split without a text",
    UnknownLabels = "T0612": "labels that train lacks",
    SharedTexts = "T0613": "texts that two splits share",
    NoLabels = "T0614": "a split without labels",
    BadParts = "T0615": "parts that the train split's files cannot give",
    CutTexts = "T0616": "texts that are cut",
    SampleTooLarge = "T0617": "a sample of more than there is",
    BrokenTexts = "T0618": "a file that is not what its format says",
    OneLabel = "T0619": "labels that tell nothing apart",

    // Tables and figures.
    NotAMetric = "T0701": "a `metric` that does not say whose",
    NotMeasured = "T0702": "a metric that the stage does not measure",
    RepeatedAxis = "T0703": "a variable with two parts in a table",
    UnknownBaseline = "T0704": "a baseline that the table does not compare",
    BadFigure = "T0705": "a figure that cannot be drawn",
    SameFigure = "T0706": "two figures in one file",
    WeightsTable = "T0707": "a table of weights with what it cannot have",
    NotSwept = "T0708": "a variable that is not swept over",
    VariesOverSweep = "T0709": "what varies over the sweep where one thing is said",

    // Commands and what they are asked about.
    NoPipeline = "T0801": "no pipeline to work on",
    NoSuchResult = "T0802": "a result that is not there",
    AmbiguousResult = "T0803": "a name of several results",
    NothingToShow = "T0804": "nothing to show",
    NoStore = "T0805": "no store here",
    DifferentStores = "T0806": "pipelines with different stores",
    NobodyToAsk = "T0807": "nobody there to agree",
    BadArguments = "T0808": "arguments that do not fit together",
    UnknownTopic = "T0809": "nothing that help knows of",
    NoRecords = "T0810": "data without records that can be read",
    WhichField = "T0811": "a field that cannot be told from the data",
    WhichSplit = "T0812": "files that are no splits",
    FileExists = "T0813": "a file that is there already",
    NoEncoder = "T0814": "an encoder that is not given or not there",

    // The machine and the store.
    System = "T0901": "the system refused",
    Damaged = "T0902": "a damaged object in the store",
    OtherStore = "T0903": "a store of another format, or none",
    ChangedFile = "T0904": "a file that changed while it was read",
    NoWorker = "T0905": "a worker that cannot be started",

    // Commands, and what stages make.
    NoProgram = "T1001": "a program that cannot be run",
    UndeclaredFile = "T1002": "a file that the command will not find",
    FolderName = "T1003": "a name that does not fit into a command's folder",
    Environment = "T1004": "a variable of the environment that cannot be set",
    NotMade = "T1005": "a file that the stage does not make",
    ShellScript = "T1006": "a program that is a shell script",

    // While stages run.
    WorkerEnded = "T1101": "a worker that ended before it was done",
    CommandFailed = "T1102": "a command that failed",
    OutOfMemory = "T1103": "memory that ran out",
    NotFinite = "T1104": "numbers that are not finite",
    Unfetched = "T1105": "what cannot be fetched",
    Misfit = "T1106": "parts of a model that do not fit together",
    NoDevice = "T1107": "a device that is not there",
    BadSetting = "T1108": "a variable of the environment that says nothing sensible",
    Torch = "T1109": "an error of libtorch",
    Defect = "T1110": "a fault of tartan's own",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let known = Self::ALL.iter().find(|code| code.name() == name).copied();
        known.ok_or_else(|| de::Error::custom(format_args!("`{name}` is no code")))
    }
}

/// What there is to say about a kind of fault.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// What is wrong and why it matters: paragraphs.
    pub explanation: &'static str,
    /// What does not work.
    pub wrong: Example,
    /// The same, mended.
    pub right: Example,
}

/// An example of a page: of a pipeline, the part that matters.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// What it is written in: `yaml` for a pipeline, `sh` for commands.
    pub language: &'static str,
    /// Its text.
    pub text: &'static str,
}

impl Page {
    fn of(text: &'static str) -> Self {
        let example = |which: &str| {
            let fenced = text.split("```").skip(1).step_by(2);
            let found = fenced.filter_map(|fence| fence.split_once('\n')).find_map(|(info, text)| {
                let (language, mark) = info.split_once(' ')?;
                (mark == which).then_some(Example { language, text })
            });
            found.unwrap_or(Example { language: "", text: "" })
        };
        let explanation = text.split("```").next().unwrap_or_default().trim();
        Self { explanation, wrong: example("wrong"), right: example("right") }
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.explanation)?;
        for (name, example) in [("Wrong", self.wrong), ("Right", self.right)] {
            writeln!(f, "\n{name}:\n")?;
            for line in example.text.lines() {
                writeln!(f, "    {line}")?;
            }
        }
        Ok(())
    }
}
