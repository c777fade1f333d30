//! Remote files, from a server that these tests bring along: nothing here needs a network.

use std::io::Write as _;
use std::net::TcpListener;
use std::time::Duration;

use crate::server::{Act, Server};
use crate::world::{Ended, World};

/// Ten thousand bytes of lines, and more.
fn text() -> Vec<u8> {
    (0..400).flat_map(|n| format!("creature {n} was met in the woods\n").into_bytes()).collect()
}

fn b3(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// A pipeline that reads `splits`, and nothing beside.
fn world_of(splits: &str, more: &str) -> World {
    let world = World::new();
    world.write(
        "p.yaml",
        &format!(
            "tartan: 1\n{more}stages:\n  encoder: {{encoder: {{random: encoder, seed: 3}}}}\n  text:\n    tokenize:\n      tokenizer: encoder\n      splits: {splits}\n      max_length: 32\n"
        ),
    );
    world
}

/// A world whose one remote file is served by these acts.
fn one(acts: &[Act]) -> (Server, World) {
    let server = Server::new(&[("/data/text.txt", text(), acts)]);
    let url = server.url("/data/text.txt");
    let world = world_of(&format!("{{train: {{url: \"{url}\", blake3: {}}}}}", b3(&text())), "");
    (server, world)
}

/// What lies in the folders for unfinished work, in bytes.
fn unfinished(world: &World) -> u64 {
    let files = crate::world::files(&world.path("cache/partial"));
    files.iter().map(|path| path.metadata().expect("a file").len()).sum()
}

/// What the note beside an unfinished file takes.
fn origin_size(world: &World) -> u64 {
    let files = crate::world::files(&world.path("cache/partial"));
    let notes = files.iter().filter(|path| path.ends_with("origin.json"));
    notes.map(|path| path.metadata().expect("a file").len()).sum()
}

#[track_caller]
fn fetched(world: &World, ended: &Ended) {
    assert_eq!(ended.ran(), ["encoder", "fetch data/text.txt", "text"], "{}", ended.stderr);
    assert_eq!(std::fs::read(world.object("fetch data/text.txt", "file")).expect("an object"), text());
    assert_eq!(unfinished(world), 0);
}

#[test]
fn a_file_is_fetched_once_and_then_never_asked_for() {
    let (server, world) = one(&[Act::Serve]);
    for command in ["check", "plan", "graph"] {
        world.tartan(&[command, "p.yaml"]).code(0);
    }
    let why = world.tartan(&["why", "data/text.txt", "-p", "p.yaml"]).code(0);
    assert!(why.stdout.contains("fetch data/text.txt: would run\n  never run"), "{}", why.stdout);
    assert_eq!(server.seen().len(), 0, "nothing but a run asks");
    fetched(&world, &world.run(&[]).code(0));
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].headers.get("accept-encoding").map(String::as_str), Some("identity"));

    assert_eq!(world.run(&[]).code(0).ran(), [""; 0]);
    // By another URL it is the same file.
    world.change("p.yaml", "/data/text.txt", "/mirror/text.txt");
    assert_eq!(world.run(&[]).code(0).ran(), [""; 0]);
    assert_eq!(server.seen().len(), 1);
    let show = world.tartan(&["show", "mirror/text.txt"]).code(0).stdout;
    assert!(show.contains("fetch mirror/text.txt  (fetch)") && show.contains("/mirror/text.txt\n"), "{show}");
    world.tartan(&["logs", "fetch mirror/text.txt"]).code(0);
    world.tartan(&["show", "mirror/tex.txt"]).code(2).says("did you mean `mirror/text.txt`?");
}

#[test]
fn whatever_way_it_comes_it_is_the_same_file() {
    for acts in [
        &[Act::Chunked][..],
        &[Act::To("/data/text.txt?again"), Act::Serve],
        &[Act::Status(503), Act::Serve],
        &[Act::Status(429), Act::Status(500), Act::Serve],
    ] {
        let server =
            Server::new(&[("/data/text.txt", text(), acts), ("/data/text.txt?again", text(), &[Act::Serve])]);
        let url = server.url("/data/text.txt");
        let world = world_of(&format!("{{train: {{url: \"{url}\", blake3: {}}}}}", b3(&text())), "");
        fetched(&world, &world.run(&[]).code(0));
    }
}

#[test]
fn a_cut_is_taken_up_where_it_was() {
    let whole = text().len();
    let (server, world) = one(&[Act::Cut(1000), Act::Cut(2000), Act::Serve]);
    fetched(&world, &world.run(&[]).code(0));
    assert_eq!(
        server.ranges("/data/text.txt"),
        ["all → 1000".to_owned(), "bytes=1000- → 2000".to_owned(), format!("bytes=3000- → {}", whole - 3000)]
    );
    assert!(server.seen()[1].headers.contains_key("if-range"));

    let (server, world) = one(&[Act::Cut(1000), Act::IgnoreRange]);
    fetched(&world, &world.run(&[]).code(0));
    assert_eq!(server.ranges("/data/text.txt"), ["all → 1000".to_owned(), format!("bytes=1000- → {whole}")]);
}

#[test]
fn a_file_that_changed_meanwhile_is_begun_anew() {
    let whole = text().len();
    // The server sees by the `ETag` that the first bytes are of another file.
    let (server, world) = one(&[Act::OtherCut(1000), Act::Serve]);
    fetched(&world, &world.run(&[]).code(0));
    assert_eq!(server.ranges("/data/text.txt"), ["all → 1000".to_owned(), format!("bytes=1000- → {whole}")]);
    // Without one, only the digest tells.
    let (server, world) = one(&[Act::UntaggedOtherCut(1000), Act::Serve]);
    fetched(&world, &world.run(&[]).code(0));
    let rest = format!("bytes=1000- → {}", whole - 1000);
    assert_eq!(server.ranges("/data/text.txt"), ["all → 1000".to_owned(), rest, format!("all → {whole}")]);
    // Of more bytes than the file has by now, nothing serves.
    let server = Server::new(&[
        ("/data/text.txt", text(), &[Act::Cut(5000), Act::Cut(0)]),
        ("/data/short.txt", b"short\n".to_vec(), &[Act::Serve]),
    ]);
    let world = world_of(
        &format!("{{train: {{url: \"{}\", blake3: {}}}}}", server.url("/data/text.txt"), b3(b"short\n")),
        "",
    );
    world.run(&[]).code(1).says("the connection was cut after 5000 of");
    assert_eq!(unfinished(&world), 5000 + origin_size(&world));
    world.change("p.yaml", "/data/text.txt", "/data/short.txt");
    assert_eq!(world.run(&[]).code(0).ran(), ["fetch data/short.txt", "text"]);
    assert_eq!(server.ranges("/data/short.txt"), ["bytes=5000- → 0", "all → 6"]);
}

#[test]
fn what_is_not_the_pinned_file_is_not_kept() {
    let (server, world) = one(&[Act::Other, Act::Serve]);
    let ended = world.run(&[]).code(1).says("is not the file that is pinned").says(&b3(&text()));
    assert!(
        ended.stderr.contains("its blake3 is     ") && !ended.stderr.contains("web page"),
        "{}",
        ended.stderr
    );
    assert_eq!(server.seen().len(), 1, "a whole answer is not asked for twice");
    assert!(!world.made().contains_key("fetch data/text.txt"));
    assert!(!world.path("cache/objects").join(&b3(&text())[..2]).join(b3(&text())).exists());
    assert_eq!(unfinished(&world), origin_size(&world));
    assert_eq!(world.run(&[]).code(0).ran(), ["fetch data/text.txt", "text"]);
    assert_eq!(server.ranges("/data/text.txt")[1], format!("all → {}", text().len()));
}

#[test]
fn without_a_length_a_cut_may_look_like_the_end() {
    let whole = text().len();
    let all = format!("all → {whole}");
    for (acts, ranges) in [
        (&[Act::Unmeasured(whole)][..], vec![all]),
        (
            &[Act::Unmeasured(1000), Act::Serve],
            vec!["all → 1000".to_owned(), format!("bytes=1000- → {}", whole - 1000)],
        ),
        (
            &[Act::Unmeasured(1000), Act::Unmeasured(whole)],
            vec!["all → 1000".to_owned(), format!("bytes=1000- → {whole}")],
        ),
    ] {
        let (server, world) = one(acts);
        fetched(&world, &world.run(&[]).code(0));
        assert_eq!(server.ranges("/data/text.txt"), ranges);
    }
    let (server, world) = one(&[Act::Unmeasured(1000)]);
    world.run(&[]).code(1).says("or the connection was cut; the server gave no length: it has 1000 bytes");
    assert_eq!(server.seen().len(), 2, "it is asked once more");
    assert_eq!(unfinished(&world), origin_size(&world));
    // Of one that comes in chunks, the end is the end.
    let (server, world) = one(&[Act::Chunked]);
    world.change("p.yaml", &b3(&text()), &"0".repeat(64));
    let ended = world.run(&[]).code(1).says("is not the file that is pinned: it has").says("error[T0514]");
    assert!(!ended.stderr.contains("was cut"), "{}", ended.stderr);
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn what_has_no_end_does_not_fill_the_disk() {
    let limit = |megabytes| [("TARTAN_HTTP_LIMIT", megabytes)];
    let (server, world) = one(&[Act::Endless]);
    let more = "has more than 1 MB, and is not fetched";
    world.run_with(&[], &limit("1")).code(1).says(more).says("TARTAN_HTTP_LIMIT=MEGABYTES");
    assert_eq!(server.seen().len(), 1);
    assert_eq!(unfinished(&world), origin_size(&world));

    // Where the server says so, before anything is written; what is as large as that is not too large.
    let large = text().repeat(80);
    let exact = &large[..1_000_000];
    for (body, code) in [(&large[..=1_000_000], 1), (exact, 0)] {
        let server = Server::new(&[("/large.txt", body.to_vec(), &[Act::Serve])]);
        let file = format!("{{train: {{url: \"{}\", blake3: {}}}}}", server.url("/large.txt"), b3(body));
        let world = world_of(&file, "");
        let ended = world.run_with(&[], &limit("1")).code(code);
        assert_eq!(ended.stderr.contains(more), code == 1, "{}", ended.stderr);
        assert_eq!(unfinished(&world), 0);
    }
    let (_server, world) = one(&[Act::Serve]);
    for odd in ["0", "many", "-1"] {
        world.run_with(&[], &limit(odd)).code(1).says("a whole number of megabytes");
    }
}

#[test]
fn mirrors_are_tried_in_turn() {
    let server = Server::new(&[("/b/text.txt", text(), &[Act::Serve])]);
    let file = |path: &str| format!("{{url: \"{}\", blake3: {}}}", server.url(path), b3(&text()));
    let world = world_of(&format!("{{train: {}, dev: {}}}", file("/b/text.txt"), file("/a/text.txt")), "");
    // Splits are in the order of their names: `/a/`, which is not there, is the first.
    let ended = world.run(&[]).code(0);
    assert_eq!(ended.ran(), ["encoder", "fetch a/text.txt", "text"], "{}", ended.stderr);
    assert_eq!(server.seen().len(), 2);
}

#[test]
fn a_proxy_of_the_environment_is_used() {
    // It takes every name for its own.
    let (server, world) = one(&[Act::Serve]);
    let host = server.address.trim_start_matches("http://").to_owned();
    world.change("p.yaml", &host, "far-away.invalid");
    let proxy = [("HTTP_PROXY", server.address.as_str()), ("NO_PROXY", "")];
    fetched(&world, &world.run_with(&[], &proxy).code(0));
    let seen: Vec<String> = server.seen().into_iter().map(|request| request.path).collect();
    assert_eq!(seen, ["far-away.invalid:80", "/data/text.txt"]);
    let (_server, world) = one(&[Act::Serve]);
    world.change("p.yaml", "http://", "https://");
    world
        .run_with(&[], &[("HTTPS_PROXY", "::"), ("NO_PROXY", "")])
        .code(1)
        .says("HTTPS_PROXY is not a proxy's URL");
}

#[test]
fn what_does_not_come_says_why_and_the_way_out() {
    for (acts, message, help, requests) in [
        (&[Act::Status(404)][..], "404 Not Found", "check the URL", 1),
        (&[Act::Status(403)], "403 Forbidden", "download the file", 1),
        (&[Act::Status(503)], "503 Service Unavailable", "run again later", 4),
        (&[Act::Gzip], "comes as `gzip`", "use a mirror", 1),
        (&[Act::To("/data/text.txt")], "redirects more than", "", 11),
        (&[Act::Page], "it looks like a web page", "pin its new digest", 1),
        (&[Act::Cut(100)], "the connection was cut after 100 of", "run again", 4),
    ] {
        let (server, world) = one(acts);
        let ended = world.run(&[]).code(1).says(message).says(help);
        assert_eq!(server.seen().len(), requests, "{message}");
        assert_eq!(ended.stages("stage-skipped"), ["text"]);
        assert!(!world.made().contains_key("fetch data/text.txt"), "{message}");
    }
    let (_, world) = one(&[Act::Serve]);
    // A port that nobody listens on: the one that a listener had who is gone.
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let text = world.read("p.yaml");
    let from = text.find("127.0.0.1").expect("the server");
    let to = from + text[from..].find('/').expect("a path");
    world.write("p.yaml", &format!("{}{free}{}", &text[..from], &text[to..]));
    world
        .run(&[])
        .code(1)
        .says("the connection is refused")
        .says("HTTPS_PROXY")
        .says("error[T1105]")
        .says("--> p.yaml:");
}

#[test]
fn what_a_query_holds_is_shown_nowhere() {
    let path = "/data/text.txt?token=s3cret";
    for (acts, message) in [
        (&[Act::Status(404)][..], "404 Not Found"),
        (&[Act::Status(503)], "503 Service Unavailable"),
        (&[Act::Gzip], "comes as `gzip`"),
        (&[Act::To("/data/text.txt?token=s3cret")], "redirects more than"),
        (&[Act::To("/gone?signed=s3cret")], "404 Not Found"),
        (&[Act::To("ftp://a.example/?signed=s3cret")], "404 Not Found"),
        (&[Act::Other], "is not the file that is pinned"),
        (&[Act::UntaggedOtherCut(100), Act::Serve], ""),
        (&[Act::Cut(100), Act::Serve], ""),
    ] {
        let server = Server::new(&[(path, text(), acts)]);
        let file = format!("{{train: {{url: \"${{url}}\", blake3: {}}}}}", b3(&text()));
        let world = world_of(&file, "vars: {url: none}\n");
        let set = ["--set", &format!("url={}", server.url(path))];
        let ended = world.run(&set).code(i32::from(!message.is_empty())).says(message);
        assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
        let show = world.tartan(&["show", "data/text.txt", "-p", "p.yaml", set[0], set[1]]);
        assert_eq!(show.stdout.contains("text.txt?…\n"), message.is_empty(), "{}", show.stdout);
        assert!(!show.stdout.contains("s3cret") && !show.stderr.contains("s3cret"));
        let mut files = crate::world::files(&world.path("cache"));
        // It holds what `--set` was given, so that other commands can read the same pipeline.
        files.retain(|path| !path.ends_with("last-run.json"));
        for path in files.into_iter().chain([world.path("events.jsonl")]) {
            let bytes = std::fs::read(&path).expect("a file");
            assert!(!String::from_utf8_lossy(&bytes).contains("s3cret"), "{message}: {}", path.display());
        }
    }
}

#[test]
fn a_slow_server_is_waited_for_and_a_dead_one_is_not() {
    let patience = [("TARTAN_HTTP_TIMEOUT", "3")];
    let (server, world) = one(&[Act::Drip]);
    fetched(&world, &world.run_with(&[], &patience).code(0));
    assert_eq!(server.seen().len(), 1, "longer than the timeout in all, but alive");

    let (server, world) = one(&[Act::Stall(5000), Act::Serve]);
    fetched(&world, &world.run_with(&[], &patience).code(0));
    assert_eq!(server.ranges("/data/text.txt")[1], format!("bytes=5000- → {}", text().len() - 5000));
}

#[test]
fn after_a_kill_only_what_is_missing_is_fetched() {
    for signal in ["KILL", "INT"] {
        let (server, world) = one(&[Act::Stall(9000), Act::Serve]);
        let mut run = world.start("e.jsonl");
        // A request is seen before its bytes are on the disk.
        while unfinished(&world) < 9000 {
            std::thread::sleep(Duration::from_millis(10));
        }
        let sent =
            std::process::Command::new("kill").args([&format!("-{signal}"), &run.id().to_string()]).status();
        assert!(sent.expect("kill").success());
        run.wait().expect("a run");
        assert!(unfinished(&world) >= 9000);
        // The worker sees that its run is gone, and goes; until then nobody touches what it is at.
        while at_work(&world).is_some() {
            std::thread::sleep(Duration::from_millis(10));
        }
        let gc = world.tartan(&["cache", "gc", "p.yaml", "--yes"]).code(0);
        assert!(unfinished(&world) >= 9000, "the pipeline would go on with it\n{}", gc.stdout);
        world.write("other.yaml", "tartan: 1\nstages: {encoder: {encoder: {random: encoder, seed: 3}}}\n");
        let dry = world.tartan(&["cache", "gc", "other.yaml", "--dry-run"]).code(0);
        assert!(dry.stdout.contains("of unfinished stages"), "{}", dry.stdout);

        let ended = world.run(&[]).code(0);
        assert!(ended.ran().contains(&"fetch data/text.txt"));
        assert_eq!(std::fs::read(world.object("fetch data/text.txt", "file")).expect("an object"), text());
        let ranges = server.ranges("/data/text.txt");
        assert_eq!(ranges, ["all → 9000".to_owned(), format!("bytes=9000- → {}", text().len() - 9000)]);
        assert_eq!(unfinished(&world), 0);
    }
}

/// The process that has a file of the world's unfinished work open.
fn at_work(world: &World) -> Option<String> {
    let partial = world.path("cache/partial").canonicalize().expect("unfinished work");
    let has_open = |process: &std::path::Path| {
        let mut files = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        files.any(|file| std::fs::read_link(file.path()).is_ok_and(|to| to.starts_with(&partial)))
    };
    let mut processes =
        std::fs::read_dir("/proc").expect("processes").map(|entry| entry.expect("one").path());
    let found = processes.find(|process| has_open(process))?;
    Some(found.file_name().expect("its id").to_string_lossy().into_owned())
}

#[test]
fn a_worker_that_outlives_its_run_does_not_meddle_with_the_next() {
    let whole = text().len();
    for (more, event, second) in [
        (&[][..], "stage-started", "bytes=9000- → "),
        (&["--force", "data/text.txt"], "stage-waiting", "all → "),
    ] {
        let (server, world) = one(&[Act::Stall(9000), Act::Serve]);
        let mut run = world.start("first.jsonl");
        while unfinished(&world) < 9000 {
            std::thread::sleep(Duration::from_millis(10));
        }
        let orphan = at_work(&world).expect("a worker");
        // As long as its standard input is open somewhere, it has a parent for all it knows.
        let life_line = std::fs::File::options().write(true).open(format!("/proc/{orphan}/fd/0"));
        let life_line = life_line.expect("a pipe");
        run.kill().expect("kill");
        run.wait().expect("a run");

        let mut next = world.start_with("next.jsonl", more);
        let heard = || {
            let lines = std::fs::read_to_string(world.path("next.jsonl")).unwrap_or_default();
            lines.lines().any(|line| line.contains(event) && line.contains("\"fetch data/text.txt\""))
        };
        while !heard() {
            assert!(next.try_wait().expect("a run").is_none(), "{event} never came");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(unfinished(&world) >= 9000, "the orphan is still at it");
        assert_eq!(server.seen().len(), 1);
        drop(life_line);
        assert!(next.wait().expect("a run").success());
        assert_eq!(std::fs::read(world.object("fetch data/text.txt", "file")).expect("an object"), text());
        let rest = if second.starts_with("all") { whole } else { whole - 9000 };
        assert_eq!(server.ranges("/data/text.txt"), ["all → 9000".to_owned(), format!("{second}{rest}")]);
        assert!(crate::world::files(&world.path("cache/partial")).is_empty());
    }
}

#[test]
fn digests_come_from_files_too_and_local_folders_serve_as_well() {
    let server = Server::new(&[
        ("/d/text.txt", text(), &[Act::Serve]),
        ("/d/dev.txt", text()[..5000].to_vec(), &[Act::Serve]),
    ]);
    let splits = "{train: \"${data}/text.txt\", dev: \"${data}/dev.txt\"}";
    let world = world_of(
        splits,
        &format!("vars: {{data: \"{}\"}}\ndigests: [list.b3, list.sha256]\n", server.url("/d")),
    );
    world.write("list.b3", &format!("# blake3\n\n{}  {}\n", b3(&text()), server.url("/d/text.txt")));
    world.write("list.sha256", "");
    world.run(&[]).code(2).says("`http").says("has no pinned digest").says("p.yaml:9:");
    // Of the first 5000 bytes of the text, as `sha256sum` prints it.
    let sha256 = sha256_of(&text()[..5000]);
    world.write("list.sha256", &format!("{} *{}\n", &sha256, server.url("/d/dev.txt")));
    let ended = world.run(&[]).code(0);
    assert_eq!(ended.ran(), ["encoder", "fetch d/dev.txt", "fetch d/text.txt", "text"]);

    // The same bytes from a folder change nothing.
    world.write("local/text.txt", std::str::from_utf8(&text()).expect("text"));
    world.write("local/dev.txt", std::str::from_utf8(&text()[..5000]).expect("text"));
    assert_eq!(world.run(&["--set", "data=local"]).code(0).ran(), [""; 0]);

    world.write("list.sha256", &format!("{} {}\n", "0".repeat(64), server.url("/d/dev.txt")));
    world.run(&[]).code(1).says("its sha256 is").says(&sha256);
    world.write("list.sha256", "0123 x\n");
    world.run(&[]).code(2).says("list.sha256:1:1").says("`0123` is no digest");
}

fn sha256_of(bytes: &[u8]) -> String {
    use std::process::{Command, Stdio};
    let mut child =
        Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sha256sum");
    child.stdin.take().expect("stdin").write_all(bytes).expect("bytes");
    let output = child.wait_with_output().expect("sha256sum");
    String::from_utf8_lossy(&output.stdout).split(' ').next().expect("a digest").to_owned()
}
