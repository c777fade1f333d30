//! Encoders and texts from a hub that these tests bring along: one server that answers as the hub does, and
//! another that it sends on to for large files, as the hub does too.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use safetensors::SafeTensors;
use serde_json::json;
use sha2::Digest as _;

use crate::server::{Act, Plan, Server};
use crate::world::{Ended, World, files};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const TOKEN: &str = "hf_s3cret";
const WEIGHTS: &str = "model.safetensors";

/// The files of a small encoder.
static ENCODER: LazyLock<BTreeMap<&str, Vec<u8>>> = LazyLock::new(|| {
    let world = World::new();
    world.change("p.yaml", "report:", "  out: {export: {model: encoder, to: exported}}\nreport:");
    world.run(&["out"]).code(0);
    ["config.json", "tokenizer.json", WEIGHTS]
        .into_iter()
        .map(|name| (name, std::fs::read(world.path("exported").join(name)).expect(name)))
        .collect()
});

/// A hub with one repository, at one commit.
struct Hub {
    hub: Server,
    /// Where large files are.
    large: Server,
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex(sha2::Sha256::digest(bytes))
}

fn git(bytes: &[u8]) -> String {
    hex(sha1::Sha1::new().chain_update(format!("blob {}\0", bytes.len())).chain_update(bytes).finalize())
}

fn plan(path: String, body: Vec<u8>, acts: &[Act]) -> Plan {
    Plan { path, body, acts: acts.to_vec(), headers: vec![] }
}

impl Hub {
    /// Of `repo` (`toy/encoder`, `datasets/toy/texts`) with these files. `acts` are for the large ones, and a path
    /// that ends in one of `others` has those acts on the hub itself.
    fn new(repo: &str, commit: &str, held: &[(&str, &[u8])], acts: &[Act], others: &[(&str, Act)]) -> Self {
        let is_large = |name: &str| name.ends_with(".safetensors");
        let at = |name: &str| format!("/lfs/{name}?signed=s3cret");
        let large = held.iter().filter(|(name, _)| is_large(name));
        let large = Server::with(large.map(|(name, bytes)| plan(at(name), bytes.to_vec(), acts)).collect());
        let api = match repo.strip_prefix("datasets/") {
            Some(id) => format!("/api/datasets/{id}"),
            None => format!("/api/models/{repo}"),
        };
        let siblings: Vec<_> = held.iter().map(|(name, _)| json!({ "rfilename": name })).collect();
        let info = json!({ "sha": commit, "siblings": siblings }).to_string();
        let refs = json!({ "branches": [{ "name": "main" }], "tags": [{ "name": "v1.0" }] }).to_string();
        let mut plans = vec![
            plan(format!("{api}/revision/main"), info.clone().into_bytes(), &[Act::Serve]),
            plan(format!("{api}/revision/{commit}"), info.into_bytes(), &[Act::Serve]),
            plan(format!("{api}/refs"), refs.into_bytes(), &[Act::Serve]),
        ];
        for (name, bytes) in held {
            let path = format!("/{repo}/resolve/{commit}/{name}");
            let commit = ("X-Repo-Commit", commit.to_owned());
            plans.push(if is_large(name) {
                let to: &'static str = Box::leak(large.url(&at(name)).into_boxed_str());
                let headers = vec![
                    commit,
                    ("X-Linked-Etag", format!("\"{}\"", sha256(bytes))),
                    ("X-Linked-Size", bytes.len().to_string()),
                ];
                Plan { path, body: vec![], acts: vec![Act::To(to)], headers }
            } else {
                let headers = vec![commit, ("ETag", format!("\"{}\"", git(bytes)))];
                Plan { path, body: bytes.to_vec(), acts: vec![Act::Serve], headers }
            });
        }
        for (end, act) in others {
            match plans.iter_mut().find(|plan| plan.path.ends_with(end)) {
                Some(plan) => plan.acts.insert(0, *act),
                None => plans.push(plan(format!("{api}{end}"), vec![], &[*act])),
            }
        }
        Self { hub: Server::with(plans), large }
    }

    /// One with the small encoder.
    fn of_encoder(acts: &[Act], others: &[(&str, Act)]) -> Self {
        let held: Vec<(&str, &[u8])> =
            ENCODER.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
        Self::new("toy/encoder", COMMIT, &held, acts, others)
    }

    fn run(&self, world: &World, more: &[&str], variables: &[(&str, &str)]) -> Ended {
        let mut all = vec![("HF_ENDPOINT", self.hub.address.as_str())];
        all.extend(variables);
        world.run_with(more, &all)
    }

    /// How often each of the two was asked.
    fn asked(&self) -> (usize, usize) {
        (self.hub.seen().len(), self.large.seen().len())
    }
}

/// A pipeline that reads an encoder, and texts.
fn world(encoder: &str, texts: &str) -> World {
    let world = World::new();
    world.write(
        "p.yaml",
        &format!(
            "tartan: 1\nvars: {{encoder: \"{encoder}\"}}\nstages:\n  encoder: {{encoder: {{from: \"${{encoder}}\"}}}}\n  text:\n    tokenize:\n      tokenizer: encoder\n      splits: {{train: {texts}}}\n      max_length: 32\n"
        ),
    );
    world
}

/// Where a file of the encoder lies in the hub's cache.
fn cached(world: &World, name: &str) -> PathBuf {
    world.path("hf/hub/models--toy--encoder/snapshots").join(COMMIT).join(name)
}

#[test]
fn an_encoder_comes_once_and_only_the_hub_is_told_the_token() {
    let hub = Hub::of_encoder(&[Act::Serve], &[]);
    let world = world("hf://toy/encoder", "text.txt");
    let endpoint = [("HF_ENDPOINT", hub.hub.address.as_str())];
    let plan = world.tartan_with(&["plan", "p.yaml"], &endpoint).code(0).stdout;
    assert!(plan.contains("on the hub: `tartan run` asks which commit `main` is"), "{plan}");
    world.tartan_with(&["check", "p.yaml"], &endpoint).code(0).says("commit `main` of `toy/encoder`");
    assert_eq!(hub.asked(), (0, 0), "nothing but a run asks");

    let ended = hub.run(&world, &[], &[("HF_TOKEN", TOKEN)]).code(0);
    assert_eq!(ended.ran(), ["encoder", "fetch toy/encoder", "text"], "{}", ended.stderr);
    let bearer = format!("Bearer {TOKEN}");
    assert!(hub.hub.seen().iter().all(|request| request.headers.get("authorization") == Some(&bearer)));
    let large = hub.large.seen();
    assert!(large.len() == 1 && !large[0].headers.contains_key("authorization"), "{large:?}");
    for (name, bytes) in ENCODER.iter() {
        assert_eq!(std::fs::read(world.object("fetch toy/encoder", name)).expect("an object"), *bytes);
        let blob = if *name == WEIGHTS { sha256(bytes) } else { git(bytes) };
        let link = std::fs::read_link(cached(&world, name)).expect("a link");
        assert_eq!(link, PathBuf::from(format!("../../blobs/{blob}")));
        assert_eq!(std::fs::read(cached(&world, name)).expect("a blob"), *bytes);
    }
    assert_eq!(world.read("hf/hub/models--toy--encoder/refs/main"), COMMIT);
    for path in files(&world.path("cache")).into_iter().chain([world.path("events.jsonl")]) {
        let text = String::from_utf8_lossy(&std::fs::read(&path).expect("a file")).into_owned();
        assert!(!text.contains("s3cret"), "{}", path.display());
    }
    let show = world.tartan(&["show", "toy/encoder"]).code(0).stdout;
    assert!(show.contains(COMMIT) && !show.contains("s3cret"), "{show}");

    // Neither the same again nor the files from elsewhere makes anything run.
    let asked = hub.asked();
    assert_eq!(hub.run(&world, &[], &[]).code(0).ran(), [""; 0]);
    for (name, bytes) in ENCODER.iter() {
        std::fs::create_dir_all(world.path("local")).expect("a folder");
        std::fs::write(world.path("local").join(name), bytes).expect("written");
    }
    assert_eq!(hub.run(&world, &["--set", "encoder=local"], &[]).code(0).ran(), [""; 0]);
    let at = format!("encoder=hf://toy/encoder@{COMMIT}");
    assert_eq!(hub.run(&world, &["--set", &at], &[]).code(0).ran(), [""; 0]);
    // Another store has the hub's cache to take from, whether the hub may be asked or not.
    std::fs::remove_dir_all(world.path("cache")).expect("removed");
    let ended = hub.run(&world, &[], &[("HF_HUB_OFFLINE", "1")]).code(0);
    assert_eq!(ended.ran(), ["encoder", "fetch toy/encoder", "text"]);
    assert_eq!(hub.asked(), asked);
}

#[test]
fn a_revision_that_moved_is_another_commit_and_the_same_files_are_the_same() {
    let hub = Hub::of_encoder(&[Act::Serve], &[]);
    let world = world("hf://toy/encoder", "text.txt");
    hub.run(&world, &[], &[]).code(0);
    let held: Vec<(&str, &[u8])> = ENCODER.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
    let moved = Hub::new("toy/encoder", &"f".repeat(40), &held, &[Act::Serve], &[]);
    assert_eq!(moved.run(&world, &[], &[]).code(0).ran(), [""; 0]);
    assert_eq!(moved.asked(), (0, 0), "where it was seen last is known");
    let ended = moved.run(&world, &["--refresh"], &[]).code(0);
    assert_eq!(ended.ran(), ["fetch toy/encoder"], "{}", ended.stderr);
    assert_eq!(moved.asked().1, 0, "the blobs are there already");
    assert_eq!(world.read("hf/hub/models--toy--encoder/refs/main"), "f".repeat(40));
    let why = moved.run(&world, &["--refresh"], &[("HF_HUB_OFFLINE", "1")]).code(2);
    why.says("p.yaml:4:").says("`--refresh`");
}

#[test]
fn a_file_on_its_way_may_meet_trouble() {
    let whole = ENCODER[WEIGHTS].len();
    let url = format!("/lfs/{WEIGHTS}?signed=s3cret");
    for (acts, others, ranges) in [
        (
            &[Act::Cut(1000), Act::Serve][..],
            &[][..],
            vec!["all → 1000".to_owned(), format!("bytes=1000- → {}", whole - 1000)],
        ),
        (
            &[Act::Status(500), Act::Serve],
            &[("/config.json", Act::Status(503))],
            vec!["all → 0".to_owned(), format!("all → {whole}")],
        ),
        (
            &[Act::Unmeasured(1000), Act::Serve],
            &[("/revision/main", Act::Status(500))],
            vec!["all → 1000".to_owned(), format!("bytes=1000- → {}", whole - 1000)],
        ),
    ] {
        let hub = Hub::of_encoder(acts, others);
        let world = world("hf://toy/encoder", "text.txt");
        hub.run(&world, &[], &[]).code(0);
        assert_eq!(hub.large.ranges(&url), ranges);
    }
    // What has arrived waits in the hub's cache for the next run.
    let hub = Hub::of_encoder(&[Act::Cut(1000), Act::Status(403), Act::Serve], &[]);
    let world_of_part = world("hf://toy/encoder", "text.txt");
    let ended = hub.run(&world_of_part, &[], &[]).code(1).says("403 Forbidden");
    assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
    let part = world_of_part.path("hf/hub/models--toy--encoder/blobs");
    let part = part.join(format!("{}.incomplete", sha256(&ENCODER[WEIGHTS])));
    assert_eq!(part.metadata().expect("a part").len(), 1000);
    hub.run(&world_of_part, &[], &[]).code(0);
    assert_eq!(hub.large.ranges(&url)[2], format!("bytes=1000- → {}", whole - 1000));
    assert!(!part.exists());

    // Other bytes than the hub says are not kept: neither of a large file nor of a small one.
    let hub = Hub::of_encoder(&[Act::Other], &[]);
    let world_of_other = world("hf://toy/encoder", "text.txt");
    hub.run(&world_of_other, &[], &[])
        .code(1)
        .says("is not the file that the hub says")
        .says(&sha256(&ENCODER[WEIGHTS]));
    assert!(!cached(&world_of_other, WEIGHTS).exists() && cached(&world_of_other, "config.json").exists());
    let hub = Hub::of_encoder(&[Act::Serve], &[("/config.json", Act::Page)]);
    hub.run(&world("hf://toy/encoder", "text.txt"), &[], &[]).code(1).says("it looks like a web page");
}

#[test]
fn what_is_damaged_in_the_hubs_cache_is_fetched_again() {
    let hub = Hub::of_encoder(&[Act::Serve], &[]);
    let world = world("hf://toy/encoder", "text.txt");
    hub.run(&world, &[], &[]).code(0);
    crate::world::flip_bit(&cached(&world, WEIGHTS).canonicalize().expect("a blob"));
    std::fs::remove_dir_all(world.path("cache")).expect("removed");
    let damaged = "is damaged in the hub's cache";
    hub.run(&world, &[], &[("HF_HUB_OFFLINE", "1")]).code(1).says(damaged).says("unset HF_HUB_OFFLINE");
    hub.run(&world, &[], &[]).code(0).says(damaged);
    assert_eq!(hub.large.seen().len(), 2);
    assert_eq!(std::fs::read(cached(&world, WEIGHTS)).expect("a blob"), ENCODER[WEIGHTS]);
}

#[test]
fn what_the_hub_refuses_is_told_where_it_stands_before_anything_runs() {
    let token = [("HF_TOKEN", TOKEN)];
    let gated = Act::Refuse(403, "GatedRepo");
    for (revision, act, variables, message, help) in [
        ("", ("/revision/main", Act::Status(401)), &[][..], "has no public `toy/encoder`", "wants HF_TOKEN"),
        ("", ("/revision/main", Act::Status(401)), &token, "does not know the token", "/settings/tokens"),
        ("", ("/revision/main", gated), &[], "accepted its terms", "/toy/encoder, then set HF_TOKEN"),
        ("", ("/revision/main", gated), &token, "owner of the token has not", "ask for access at http"),
        (
            "",
            ("/revision/main", Act::Refuse(404, "RepoNotFound")),
            &[],
            "has no `toy/encoder`",
            "check the name",
        ),
        (
            "@v1",
            ("/revision/v1", Act::Refuse(404, "RevisionNotFound")),
            &[],
            "no revision `v1`",
            "its branches and tags are `main` and `v1.0`",
        ),
        ("", ("/revision/main", Act::Page), &[], "not what the hub answers", "HF_ENDPOINT"),
    ] {
        let hub = Hub::of_encoder(&[Act::Serve], &[act]);
        let world = world(&format!("hf://toy/encoder{revision}"), "text.txt");
        let ended = hub.run(&world, &[], variables).code(2).says("p.yaml:4:").says(message).says(help);
        // A page is no refusal.
        let ended = ended.says(if help == "HF_ENDPOINT" { "error[T1105]" } else { "error[T0552]" });
        assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
        assert!(ended.events.is_empty());
    }
    let (config, tokenizer) = (&ENCODER["config.json"][..], &ENCODER["tokenizer.json"][..]);
    let weights = &ENCODER[WEIGHTS][..];
    for (held, message, help) in [
        (
            &[("config.json", config), (WEIGHTS, weights)][..],
            "has no fast tokenizer",
            "AutoTokenizer.from_pretrained",
        ),
        (
            &[("config.json", config), ("tokenizer.json", tokenizer), ("pytorch_model.bin", b"x")],
            "has its weights in `pytorch_model.bin`",
            "AutoModelForMaskedLM.from_pretrained(\"toy/encoder\")",
        ),
        (
            &[("tokenizer.json", tokenizer), (WEIGHTS, weights), ("sub/config.json", config)],
            "has no file `config.json`",
            "did you mean `sub/config.json`?",
        ),
    ] {
        let hub = Hub::new("toy/encoder", COMMIT, held, &[Act::Serve], &[]);
        let world = world("hf://toy/encoder", "text.txt");
        hub.run(&world, &[], &[]).code(2).says("p.yaml:4:").says(message).says(help);
        // Of a commit nobody asks beforehand; the stage says the same.
        let at = format!("encoder=hf://toy/encoder@{COMMIT}");
        hub.run(&world, &["--set", &at], &[])
            .code(1)
            .says("error[T0552]")
            .says("p.yaml:4:")
            .says(message)
            .says(help);
    }
}

#[test]
fn an_offline_run_says_what_it_would_have_to_ask_for() {
    let hub = Hub::of_encoder(&[Act::Serve], &[]);
    let world = world("hf://toy/encoder", "text.txt");
    let offline = [("HF_HUB_OFFLINE", "1")];
    hub.run(&world, &[], &offline)
        .code(2)
        .says("p.yaml:4:")
        .says("HF_HUB_OFFLINE is set")
        .says("run once without");
    let at = format!("encoder=hf://toy/encoder@{COMMIT}");
    hub.run(&world, &["--set", &at], &offline)
        .code(1)
        .says("is not in the hub's cache")
        .says("run once without");
    assert_eq!(hub.asked(), (0, 0));
}

#[test]
fn texts_come_from_data_sets() {
    let text = std::fs::read(World::new().path("text.txt")).expect("texts");
    let hub =
        Hub::new("datasets/toy/texts", COMMIT, &[("d/train.txt", &text), ("d/other.txt", b"x\n")], &[], &[]);
    let world = world("local", "hf://datasets/toy/texts/d/train.txt");
    for (name, bytes) in ENCODER.iter() {
        std::fs::create_dir_all(world.path("local")).expect("a folder");
        std::fs::write(world.path("local").join(name), bytes).expect("written");
    }
    let ended = hub.run(&world, &[], &[]).code(0);
    assert_eq!(ended.ran(), ["encoder", "fetch datasets/toy/texts/d/train.txt", "text"]);
    assert!(world.path("hf/hub/datasets--toy--texts/snapshots").join(COMMIT).join("d/train.txt").exists());
    world.change("p.yaml", "hf://datasets/toy/texts/d/train.txt", "text.txt");
    assert_eq!(hub.run(&world, &[], &[]).code(0).ran(), [""; 0], "the same bytes");
    world.change("p.yaml", "text.txt", "hf://datasets/toy/texts/d/trian.txt");
    // What is asked anew is looked at before anything runs.
    let refused = hub.run(&world, &["--refresh"], &[]).code(2);
    refused.says("p.yaml:8:").says("has no file `d/trian.txt`").says("did you mean `d/train.txt`?");
}

#[test]
fn weights_in_several_files_become_one() {
    let whole = SafeTensors::deserialize(&ENCODER[WEIGHTS]).expect("weights");
    let names: Vec<&str> = whole.names();
    let (first, second) = names.split_at(names.len() / 2);
    let shard = |names: &[&str]| {
        let views = names.iter().map(|name| (*name, whole.tensor(name).expect("a tensor")));
        safetensors::serialize(views, None).expect("a shard")
    };
    let shards =
        [("model-1.safetensors", shard(first), first), ("model-2.safetensors", shard(second), second)];
    let map: BTreeMap<&str, &str> =
        shards.iter().flat_map(|(file, _, names)| names.iter().map(|name| (*name, *file))).collect();
    let index = json!({ "weight_map": map }).to_string();
    let mut held = vec![
        ("sub/config.json", ENCODER["config.json"].as_slice()),
        ("sub/tokenizer.json", &ENCODER["tokenizer.json"]),
        ("sub/model.safetensors.index.json", index.as_bytes()),
    ];
    held.push(("sub/model-1.safetensors", &shards[0].1));
    held.push(("sub/model-2.safetensors", &shards[1].1));
    let hub = Hub::new("toy/encoder", COMMIT, &held, &[Act::Serve], &[]);
    let world = world("hf://toy/encoder/sub", "text.txt");
    let ended = hub.run(&world, &[], &[]).code(0);
    assert_eq!(ended.ran(), ["encoder", "fetch toy/encoder/sub", "text"], "{}", ended.stderr);
    let sharded = world.made()["encoder"][WEIGHTS].clone();
    let alone = Hub::of_encoder(&[Act::Serve], &[]);
    let other = self::world("hf://toy/encoder", "text.txt");
    alone.run(&other, &[], &[]).code(0);
    assert_eq!(other.made()["encoder"][WEIGHTS], sharded);
}
