//! The whole room at work: what is put in comes out, what is damaged is found, what is freed is gone.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tempfile::TempDir;

use super::*;

fn store() -> (TempDir, Store) {
    let folder = TempDir::new().expect("folder");
    let store = Store::open(&folder.path().join("cache")).expect("store");
    (folder, store)
}

fn manifest(name: &str) -> Manifest {
    Manifest {
        kind: "tokenize".to_owned(),
        revision: 1,
        parameters: json!({ "name": name }),
        inputs: BTreeMap::new(),
    }
}

fn make(store: &Store, name: &str, files: &[(&str, &str)]) -> Committed {
    let manifest = manifest(name);
    let key = manifest.key();
    let lock = store.lock(&key).expect("lock");
    let scratch = store.scratch(&key).expect("scratch");
    for (file, text) in files {
        let path = scratch.path().join(file);
        fs::create_dir_all(path.parent().expect("parent")).expect("folder");
        fs::write(path, text).expect("write");
    }
    let provenance = Provenance { stage: name.to_owned(), pipeline: "p".to_owned(), ..Provenance::default() };
    store.commit(&lock, &manifest, &scratch, provenance).expect("commit")
}

fn damage(path: &Path) {
    let mut bytes = fs::read(path).expect("read");
    bytes[0] ^= 1;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("chmod");
    fs::write(path, bytes).expect("write");
}

fn snapshot(root: &Path) -> Vec<(PathBuf, u64)> {
    let mut all = vec![];
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("list") {
            let entry = entry.expect("entry");
            let metadata = entry.metadata().expect("metadata");
            if metadata.is_dir() {
                folders.push(entry.path());
            }
            all.push((entry.path(), metadata.len()));
        }
    }
    all.sort();
    all
}

/// The record of a key, as it is read alone and as it is looked up among others.
fn record_of(store: &Store, key: &Digest) -> Option<Record> {
    let looked_up = store.look_up(&[*key]).expect("look-up");
    let record = store.record(key).expect("record");
    assert_eq!(looked_up, [record.clone().map(Artifacts::from)]);
    record
}

#[test]
fn what_is_committed_comes_back() {
    let (folder, store) = store();
    let key = manifest("a").key();
    assert_eq!(record_of(&store, &key), None);
    let made = make(&store, "a", &[("x.json", "one"), ("sub/y.json", "two"), ("empty", "")]);
    assert!(!made.diverged);
    assert_eq!(made.record.outputs.keys().collect::<Vec<_>>(), ["empty", "sub/y.json", "x.json"]);

    let other = Store::open(&folder.path().join("cache")).expect("opens again");
    let record = other.record(&key).expect("reads").expect("is there");
    assert_eq!(record, made.record);
    assert_eq!(other.read(&record.outputs["sub/y.json"].digest).expect("bytes"), b"two");
    let permissions = fs::metadata(other.object(&record.outputs["x.json"].digest)).expect("object").mode();
    assert_eq!(permissions & 0o777, 0o444);
    assert_eq!(
        other.look_up(&[key, manifest("b").key()]).expect("look-up"),
        [Some(record.clone().into()), None]
    );
    assert_eq!(other.latest("a", "p").expect("latest"), Some(record));
    assert_eq!(other.latest("a", "q").expect("latest"), None);
    assert_eq!(fs::read_dir(store.area(TMP)).expect("list").count(), 0, "scratch folders are gone");
}

#[test]
fn the_first_result_stays_and_a_second_is_a_divergence() {
    let (_folder, store) = store();
    let first = make(&store, "a", &[("x", "one")]).record;
    assert!(!make(&store, "a", &[("x", "one")]).diverged, "the same bytes again");
    for _ in 0..2 {
        let second = make(&store, "a", &[("x", "two")]);
        assert!(second.diverged);
        assert_eq!(second.record, first);
    }
    assert!(make(&store, "a", &[("x", "three")]).diverged);
    assert_eq!(record_of(&store, &first.key), Some(first.clone()));
    let others = store.divergences(&first.key).expect("divergences");
    let digests: Vec<Digest> = others.iter().map(|r| r.outputs["x"].digest).collect();
    assert_eq!(digests, [Digest::of(b"two"), Digest::of(b"three")], "each kept once");
    assert_eq!(store.all_records().expect("records"), [first]);
}

#[test]
fn a_lost_first_result_gives_way() {
    let (_folder, store) = store();
    let first = make(&store, "a", &[("x", "one")]).record;
    damage(&store.object(&first.outputs["x"].digest));
    let second = make(&store, "a", &[("x", "two")]);
    assert!(second.diverged);
    assert_eq!(second.record.outputs["x"].digest, Digest::of(b"two"));
    assert_eq!(record_of(&store, &first.key), Some(second.record));
    assert_eq!(store.divergences(&first.key).expect("divergences"), [first]);
}

#[test]
fn a_damaged_object_is_found_set_aside_and_made_again() {
    let (_folder, store) = store();
    let record = make(&store, "a", &[("x", "one"), ("y", "two")]).record;
    let x = record.outputs["x"].digest;
    damage(&store.object(&x));
    assert!(record_of(&store, &record.key).is_some(), "its size is right");
    assert!(matches!(store.read(&x), Err(StoreError::Corrupt { digest }) if digest == x));
    assert!(!store.object(&x).exists());
    assert_eq!(fs::read_dir(store.area(QUARANTINE)).expect("list").count(), 1);
    assert_eq!(record_of(&store, &record.key), None);
    assert!(store.set_aside(&x).expect("missing counts as bad"));
    assert!(!store.set_aside(&record.outputs["y"].digest).expect("sound"));

    let again = make(&store, "a", &[("x", "one"), ("y", "two")]);
    assert!(!again.diverged);
    assert_eq!(record_of(&store, &record.key), Some(record));
}

#[test]
fn a_commit_heals_damage_that_nobody_saw() {
    let (_folder, store) = store();
    let record = make(&store, "a", &[("x", "one")]).record;
    damage(&store.object(&record.outputs["x"].digest));
    make(&store, "b", &[("x", "one")]);
    assert_eq!(store.read(&record.outputs["x"].digest).expect("whole"), b"one");
}

#[test]
fn a_torn_or_damaged_record_counts_as_missing() {
    let (_folder, store) = store();
    let record = make(&store, "a", &[("x", "one")]).record;
    let path = store.record_path(&record.key);
    let whole = fs::read(&path).expect("read");
    let mut flipped = whole.clone();
    flipped[200] ^= 1;
    let garbage: [&[u8]; 5] = [b"", &whole[..1], &whole[..whole.len() - 1], &flipped, b"{}"];
    for (n, bytes) in garbage.iter().enumerate() {
        fs::write(&path, bytes).expect("write");
        assert_eq!(record_of(&store, &record.key), None, "{n}");
        assert!(!path.exists());
        assert_eq!(fs::read_dir(store.area(QUARANTINE)).expect("list").count(), n + 1);
    }
    // A sound record under another key's name.
    let other = manifest("b").key();
    fs::create_dir_all(store.shard(RECORDS, &other)).expect("folder");
    fs::write(store.record_path(&other), &whole).expect("write");
    assert_eq!(record_of(&store, &other), None);
    assert!(!make(&store, "a", &[("x", "one")]).diverged);
}

#[test]
fn a_record_without_its_objects_counts_as_missing() {
    let (_folder, store) = store();
    let record = make(&store, "a", &[("x", "one"), ("y", "two")]).record;
    let x = store.object(&record.outputs["x"].digest);
    let y = store.object(&record.outputs["y"].digest);
    fs::remove_file(&x).expect("remove");
    assert_eq!(record_of(&store, &record.key), None);
    fs::write(&x, "one").expect("write");
    assert!(record_of(&store, &record.key).is_some());
    fs::write(&y, "longer").expect("write");
    assert_eq!(record_of(&store, &record.key), None);
    assert_eq!(store.all_records().expect("records"), [record], "it is still known");
}

#[test]
fn one_holder_of_a_lock_at_a_time() {
    let (_folder, store) = store();
    let key = manifest("a").key();
    let inside = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let lock = store.lock(&key).expect("lock");
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    std::thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                    drop(lock);
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..50 {
                store.gc(&BTreeSet::new(), false).expect("gc takes lock files away meanwhile");
            }
        });
    });
    let held = store.try_lock(&key).expect("lock").expect("free");
    assert!(store.try_lock(&key).expect("lock").is_none());
    assert!(store.try_lock(&manifest("b").key()).expect("lock").is_some());
    drop(held);
    assert!(store.try_lock(&key).expect("lock").is_some());
}

#[test]
fn a_lock_allows_its_own_key_only() {
    let (_folder, store) = store();
    let lock = store.lock(&manifest("a").key()).expect("lock");
    let scratch = store.scratch(lock.key()).expect("scratch");
    let result = store.commit(&lock, &manifest("b"), &scratch, Provenance::default());
    assert!(matches!(result, Err(StoreError::WrongLock { .. })));
}

#[test]
fn what_is_no_regular_file_is_refused_and_a_hard_link_is_copied() {
    let (folder, store) = store();
    let manifest = manifest("a");
    let lock = store.lock(&manifest.key()).expect("lock");
    let scratch = store.scratch(lock.key()).expect("scratch");
    let users = folder.path().join("users");
    fs::write(&users, "one").expect("write");
    std::os::unix::fs::symlink(&users, scratch.path().join("x")).expect("link");
    let result = store.commit(&lock, &manifest, &scratch, Provenance::default());
    assert!(matches!(result, Err(StoreError::NotAFile { path }) if path.ends_with("x")));
    assert_eq!(record_of(&store, lock.key()), None);

    fs::remove_file(scratch.path().join("x")).expect("remove");
    fs::hard_link(&users, scratch.path().join("x")).expect("link");
    let made = store.commit(&lock, &manifest, &scratch, Provenance::default()).expect("commit");
    fs::write(&users, "two").expect("the user's file is still theirs to write");
    assert_eq!(store.read(&made.record.outputs["x"].digest).expect("bytes"), b"one");
}

#[test]
fn gc_frees_what_no_kept_record_needs() {
    let (_folder, store) = store();
    let a = make(&store, "a", &[("shared", "s"), ("own", "a")]).record;
    let b = make(&store, "b", &[("shared", "s"), ("own", "bb")]).record;
    make(&store, "a", &[("own", "other")]);
    for record in [&a, &b] {
        fs::write(store.log_path(&record.key), "log").expect("log");
    }
    fs::write(store.area(QUARANTINE).join("bad"), "12345").expect("write");
    store.lock(&b.key).expect("lock");

    let keep = BTreeSet::from([a.key]);
    let before = snapshot(store.root());
    let would = store.gc(&keep, true).expect("dry run");
    assert_eq!(snapshot(store.root()), before);
    assert_eq!(would.objects, Amount { count: 2, bytes: 7 }, "`bb` and the divergence's");
    assert_eq!(would.records.count, 1);
    assert_eq!(would.logs, Amount { count: 1, bytes: 3 });
    assert_eq!(would.quarantine, Amount { count: 1, bytes: 5 });
    assert_eq!(would.list.iter().map(|r| (r.key, r.bytes)).collect::<Vec<_>>(), [(b.key, 3)]);

    assert_eq!(store.gc(&keep, false).expect("gc"), would);
    assert_eq!(record_of(&store, &a.key), Some(a.clone()));
    assert_eq!(store.read(&a.outputs["shared"].digest).expect("shared"), b"s");
    assert_eq!(record_of(&store, &b.key), None);
    assert!(!store.object(&b.outputs["own"].digest).exists());
    assert!(!store.log_path(&b.key).exists() && store.log_path(&a.key).exists());
    assert_eq!(store.divergences(&a.key).expect("divergences").len(), 1);
    assert!(store.verify(|_| {}).expect("verify").is_empty(), "nothing that is left misses anything");

    let rest = store.gc(&BTreeSet::new(), false).expect("gc");
    assert_eq!((rest.objects.count, rest.records.count), (2, 2));
    let usage = store.usage().expect("usage");
    assert_eq!(usage, Usage::default());
}

#[test]
fn gc_keeps_what_is_being_made() {
    let (_folder, store) = store();
    let made = make(&store, "a", &[("x", "one")]).record;
    let scratch = store.scratch(&made.key).expect("scratch");
    let lock = store.lock(&made.key).expect("lock");
    assert_eq!(store.gc(&BTreeSet::new(), false).expect("gc"), Freed::default());
    assert!(record_of(&store, &made.key).is_some() && scratch.path().is_dir());
    drop(lock);
    assert_eq!(store.gc(&BTreeSet::new(), false).expect("gc").list.len(), 1);
    assert!(scratch.path().is_dir());
}

/// Leaves something for the next attempt at a key.
fn leave(store: &Store, name: &str, text: &str) -> Digest {
    let lock = store.lock(&manifest(name).key()).expect("lock");
    fs::write(store.partial(&lock).expect("partial").join("checkpoint"), text).expect("write");
    *lock.key()
}

#[test]
fn what_a_worker_is_still_at_stays_where_it_is() {
    let (_folder, store) = store();
    let key = leave(&store, "a", "half");
    let path = store.partial_path(&key).join("checkpoint");
    // Nobody holds the key: its run was killed.
    let owner = own_partial(&store.partial_path(&key)).expect("owner");
    let lock = store.lock(&key).expect("lock");
    assert!(!store.discard_partial(&lock).expect("discard"));
    drop(lock);
    store.gc(&BTreeSet::new(), false).expect("gc");
    assert_eq!(fs::read(&path).expect("read"), b"half");

    drop(owner);
    assert_eq!(store.gc(&BTreeSet::new(), true).expect("gc").partial.count, 2);
    assert!(store.discard_partial(&store.lock(&key).expect("lock")).expect("discard"));
    assert!(!path.exists());
}

#[test]
fn what_an_attempt_leaves_the_next_one_finds_until_there_is_a_result() {
    let (folder, store) = store();
    let key = leave(&store, "a", "half");
    assert_eq!(store.usage().expect("usage").partial, Amount { count: 1, bytes: 4 });
    let store = Store::open(&folder.path().join("cache")).expect("opens again");
    let lock = store.lock(&key).expect("lock");
    assert_eq!(fs::read(store.partial(&lock).expect("partial").join("checkpoint")).expect("read"), b"half");
    let other = store.lock(&manifest("b").key()).expect("lock");
    assert_eq!(fs::read_dir(store.partial(&other).expect("partial")).expect("list").count(), 0);
    assert!(store.discard_partial(&lock).expect("discard"));
    assert!(store.discard_partial(&lock).expect("nothing to discard is fine"));
    assert_eq!(fs::read_dir(store.partial(&lock).expect("partial")).expect("list").count(), 0);
    drop(lock);

    leave(&store, "a", "more");
    make(&store, "a", &[("x", "one")]);
    assert!(!store.partial_path(&key).exists());
    leave(&store, "a", "forced");
    make(&store, "a", &[("x", "two")]);
    assert!(!store.partial_path(&key).exists(), "a divergence ends it too");
}

#[test]
fn gc_keeps_the_unfinished_work_that_would_be_gone_on_with() {
    let (_folder, store) = store();
    make(&store, "finished", &[("x", "one")]);
    let finished = leave(&store, "finished", "left by a kill");
    let lost = make(&store, "lost", &[("y", "two")]).record;
    fs::remove_file(store.object(&lost.outputs["y"].digest)).expect("remove");
    leave(&store, "lost", "its result is gone");
    let wanted = leave(&store, "wanted", "half");
    let unwanted = leave(&store, "unwanted", "half");
    let held = leave(&store, "held", "half");
    fs::write(store.area(PARTIAL).join("stray"), "").expect("write");
    let lock = store.lock(&held).expect("lock");

    let keep = BTreeSet::from([finished, lost.key, wanted]);
    let before = snapshot(store.root());
    let would = store.gc(&keep, true).expect("dry run");
    assert_eq!(snapshot(store.root()), before);
    assert_eq!(would.partial.count, 3);
    assert_eq!(store.gc(&keep, false).expect("gc"), would);
    let left = |key: &Digest| store.partial_path(key).join("checkpoint").exists();
    assert_eq!(
        [finished, unwanted, lost.key, wanted, held].map(|key| left(&key)),
        [false, false, true, true, true]
    );
    drop(lock);
    store.gc(&BTreeSet::new(), false).expect("gc");
    assert_eq!(store.usage().expect("usage").partial, Amount::default());
}

#[test]
fn usage_counts_by_kind() {
    let (_folder, store) = store();
    make(&store, "a", &[("x", "one"), ("y", "one")]);
    make(&store, "b", &[("x", "one"), ("y", "four")]);
    let usage = store.usage().expect("usage");
    let expected = Amount { count: 2, bytes: 7 };
    assert_eq!(usage.objects, expected);
    assert_eq!(usage.by_kind, BTreeMap::from([("tokenize".to_owned(), expected)]));
    assert_eq!(usage.records.count, 2);
    assert_eq!((usage.scratch, usage.quarantine), (Amount::default(), Amount::default()));
}

#[test]
#[expect(
    clippy::many_single_char_names,
    reason = "keys and their files, called what they are called in the store"
)]
fn verify_names_what_is_bad_and_whose_it_is() {
    let (_folder, store) = store();
    let a = make(&store, "a", &[("x", "one"), ("y", "two")]).record;
    let b = make(&store, "b", &[("z", "one")]).record;
    let c = make(&store, "c", &[("w", "three")]).record;
    let seen = AtomicUsize::new(0);
    let count = |_: Checked| {
        seen.fetch_add(1, Ordering::SeqCst);
    };
    assert!(store.verify(count).expect("verify").is_empty());
    assert_eq!(seen.into_inner(), 3);

    damage(&store.object(&a.outputs["x"].digest));
    fs::remove_file(store.object(&a.outputs["y"].digest)).expect("remove");
    fs::write(store.record_path(&c.key), "{").expect("write");
    let stray = store.object(&b.outputs["z"].digest).with_file_name("stray");
    fs::write(&stray, "").expect("write");
    let faults = store.verify(|_| {}).expect("verify");
    assert_eq!(faults.len(), 4, "{faults:?}");
    assert!(faults.contains(&Fault::Record { path: store.record_path(&c.key) }));
    assert!(faults.contains(&Fault::Stray { path: stray }));
    let text: Vec<String> = faults.iter().map(Fault::to_string).collect();
    let x = a.outputs["x"].digest.short();
    let corrupt = format!("object {x} is damaged and set aside: ");
    let corrupt = text.iter().find_map(|t| t.strip_prefix(&corrupt)).expect("corrupt");
    assert!(corrupt.contains("x of stage a (p)") && corrupt.contains("z of stage b (p)"), "{corrupt}");
    let y = a.outputs["y"].digest.short();
    assert!(text.contains(&format!("object {y} is missing: y of stage a (p)")), "{text:?}");

    assert_eq!(record_of(&store, &a.key), None);
    assert_eq!(record_of(&store, &b.key), None);
    make(&store, "a", &[("x", "one"), ("y", "two")]);
    assert!(record_of(&store, &b.key).is_some(), "healed by another's same bytes");
}

#[test]
fn the_scratch_of_a_dead_owner_is_swept_and_that_of_a_live_one_stays() {
    let (_folder, store) = store();
    let key = manifest("a").key();
    let live = store.scratch(&key).expect("scratch");
    fs::write(live.path().join("x"), "one").expect("write");
    let dead = store.area(TMP).join("dead");
    fs::create_dir_all(dead.join("out/deep")).expect("folder");
    fs::write(dead.join("owner"), "").expect("write");
    let half = store.area(TMP).join(".tmpAbc");
    fs::write(&half, "half a record").expect("write");

    let again = Store::open(store.root()).expect("open");
    assert!(!dead.exists() && !half.exists());
    assert!(live.path().join("x").exists());
    // Somebody adds just now: nothing is removed.
    fs::write(&half, "half a record").expect("write");
    let adding = again.shared().expect("lock");
    Store::open(store.root()).expect("opens");
    assert!(half.exists());
    drop(adding);
    let path = live.path().to_owned();
    drop(live);
    assert!(!path.exists());
}

#[test]
fn deliver_copies_verifies_and_never_links() {
    let (folder, store) = store();
    let record = make(&store, "a", &[("x", "one"), ("sub/y", "two")]).record;
    let to = folder.path().join("out");
    assert!(store.deliver(&record.outputs, &to).expect("deliver"));
    assert!(!store.deliver(&record.outputs, &to).expect("deliver"), "all is there");
    let (x, object) = (to.join("x"), store.object(&record.outputs["x"].digest));
    let (there, here) = (fs::symlink_metadata(&x).expect("x"), fs::metadata(&object).expect("object"));
    assert!(there.is_file() && there.nlink() == 1 && there.ino() != here.ino());
    assert_ne!(there.mode() & 0o200, 0, "the user may write to it");
    fs::write(&x, "ONE").expect("write");
    assert_eq!(fs::read(&object).expect("object"), b"one");
    assert!(store.deliver(&record.outputs, &to).expect("deliver"));
    assert_eq!(fs::read(&x).expect("x"), b"one");

    fs::write(&x, "mine").expect("write");
    damage(&object);
    assert!(matches!(store.deliver(&record.outputs, &to), Err(StoreError::Corrupt { .. })));
    assert_eq!(fs::read(&x).expect("x"), b"mine", "nothing bad takes its place");
    assert_eq!(fs::read_dir(&to).expect("list").count(), 2, "no leftovers");
    let outside = BTreeMap::from([("../z".to_owned(), record.outputs["sub/y"])]);
    assert!(matches!(store.deliver(&outside, &to), Err(StoreError::Name { .. })));
}

#[test]
fn what_cannot_be_opened_says_why_and_the_way_out() {
    let folder = TempDir::new().expect("folder");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("write");
    for root in [file.clone(), file.join("below")] {
        let error = Store::open(&root).expect_err("a file is in the way");
        let text = error.to_string();
        assert!(text.starts_with("cannot open the store /") && text.contains("Not a directory"), "{text}");
        assert!(error.help().expect("help").contains("a file is in the way"));
    }
    let error = Store::open(Path::new("/proc/tartan")).expect_err("no place for files");
    assert!(error.to_string().starts_with("cannot create the store /proc/tartan: "), "{error}");

    let cache = folder.path().join("cache");
    drop(Store::open(&cache).expect("store"));
    fs::write(cache.join("format"), "tartan-store 2\n").expect("write");
    let error = Store::open(&cache).expect_err("newer");
    assert!(error.to_string().ends_with("has format 2; this program knows format 1"), "{error}");
    assert!(error.help().expect("help").contains("newer program"));
    fs::write(cache.join("format"), "something\n").expect("write");
    assert!(matches!(Store::open(&cache), Err(StoreError::NoStore { .. })));
    fs::write(cache.join("format"), [0xff, 0xfe]).expect("write");
    assert!(Store::open(&cache).is_err());
}

#[test]
fn a_commit_that_fails_leaves_no_record() {
    let (_folder, store) = store();
    let manifest = manifest("a");
    let lock = store.lock(&manifest.key()).expect("lock");
    let scratch = store.scratch(lock.key()).expect("scratch");
    fs::write(scratch.path().join("x"), "one").expect("write");
    fs::remove_dir(store.area(RECORDS)).expect("remove");
    fs::write(store.area(RECORDS), "in the way").expect("write");
    let error = store.commit(&lock, &manifest, &scratch, Provenance::default()).expect_err("no place");
    assert!(error.to_string().starts_with("cannot "), "{error}");
    assert!(error.help().expect("help").contains("in the way"));
    fs::remove_file(store.area(RECORDS)).expect("remove");
    let store = Store::open(store.root()).expect("open makes what is missing");
    assert_eq!(record_of(&store, lock.key()), None);
    assert_eq!(fs::read_dir(store.area(TMP)).expect("list").count(), 1, "only the live scratch");
    fs::write(scratch.path().join("x"), "one").expect("write");
    assert!(!store.commit(&lock, &manifest, &scratch, Provenance::default()).expect("commit").diverged);
}
