"""How long `tartan` takes when there is nothing to do, beside its peers: the table of README.md.

    python3 benches/noop.py [--work DIR] [--runs 20] [--only TEXT] [--peers DIR] [--tartan FILE]

Makes pipelines and a store in which everything is up to date (filled by benches/noop/worker.rs, which writes in
a moment what a stage would), then starts each command `--runs` times in turn (three, where it takes seconds) and
prints the median and the least of its wall times, its CPU time, and the most memory it held (the system counts this
script's own, some 20 MB, where that is more). `--work` keeps the stores for the next time; on a disk the
first time takes minutes, since every result is synced. `--peers` is a virtual environment with dvc and snakemake;
what is there of them, of make and of ninja has the graph of 1,000 stages to look at too: one stage, and a
thousand that read what it makes.
"""

import argparse
import hashlib
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent

HEAD = """tartan: 1
name: {name}
vars: {{seed: 0}}
stages:
  encoder: {{encoder: {{random: encoder, seed: {encoder}}}}}
  task: {{tokenize: {{tokenizer: encoder, splits: {{train: train.jsonl, dev: dev.jsonl, test: test.jsonl}}, max_length: 32, seed: {task}}}}}
  end-task: {{objective: {{classify: {{data: task}}}}}}
  text: {{objective: {{mlm: {{data: task}}}}}}
"""
TAIL = "report: {{metric: test-0.accuracy, {axes}}}\n"


def pipeline(name, stages, points, encoder="0", task="0", last="0"):
    """A pipeline of so many stages a point: an encoder, its data, and pairs of a model and its score."""
    text = HEAD.format(name=name, encoder=encoder, task=task)
    for pair in range((stages - 4) // 2):
        seed = last if pair >= (stages - 4) // 4 else "0"
        text += f"  model-{pair}: {{train: {{init: encoder, end_task: end-task, auxiliary: [text], steps: 10, lr: {pair + 1}e-6, seed: {seed}}}}}\n"
        text += f"  test-{pair}: {{evaluate: {{model: model-{pair}, data: task, split: test}}}}\n"
    if points > 1:
        text += f"sweep: {{seed: {{range: [0, {points}]}}}}\n"
    return text + TAIL.format(axes="over: seed" if points > 1 else "rows: seed")


SEED = '"${seed}"'
PIPELINES = {
    "1,000 stages, written out": pipeline("written-out", 1000, 1),
    "1,000 stages, 10 x 100 points": pipeline("swept", 10, 100, encoder=SEED, task=SEED),
    "10,000 stages, 100 x 100 points": pipeline("distinct", 100, 100, encoder=SEED, task=SEED),
    "100 x 100 points, half of them shared": pipeline("half", 100, 100, last=SEED),
}
# Its plan alone is of interest.
LONG = pipeline("long", 6, 10_000, last=SEED)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=pathlib.Path)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--only", default="")
    parser.add_argument("--peers", type=pathlib.Path)
    parser.add_argument("--tartan", type=pathlib.Path, help="built already")
    parser.add_argument("--worker", type=pathlib.Path)
    args = parser.parse_args()
    if args.peers:
        os.environ["PATH"] = f"{args.peers.resolve() / 'bin'}:{os.environ['PATH']}"
    tartan = args.tartan or build("--bin", "tartan")
    worker = (args.worker or build("--example", "noop-worker")).resolve()
    with tempfile.TemporaryDirectory() as temporary:
        work = (args.work or pathlib.Path(temporary)).resolve()
        cases = [case for case in ours(work, tartan.resolve(), worker) + peers(work) if args.only in case[0]]
        measured = [[] for _ in cases]
        for count in range(args.runs):
            for (_, folder, command), runs in zip(cases, measured):
                # Three runs are enough of what takes seconds.
                if count < 3 or min(runs)[0] < 1000:
                    runs.append(timed(folder, command))
    print("| | median | least | CPU | memory |\n|---|---|---|---|---|")
    for (name, _, _), runs in zip(cases, measured):
        wall, cpu, memory = zip(*runs)
        print(f"| {name} | {statistics.median(wall):.1f} ms | {min(wall):.1f} ms | {statistics.median(cpu):.1f} ms | {max(memory):.0f} MB |")


def build(*target):
    """The program of a target, built for release."""
    subprocess.run(["cargo", "build", "--quiet", "--release", "--no-default-features", *target], cwd=ROOT, check=True)
    folder = ROOT / "target/release"
    return folder / "examples" / target[1] if target[0] == "--example" else folder / target[1]


def ours(work, tartan, worker):
    """Name, folder and command of each case, its store filled."""
    os.environ["TARTAN_WORKER"] = str(worker)
    cases = [("`tartan --version`", work, [tartan, "--version"])]
    toy = ROOT / "examples/toy"
    world = work / "quickstart"
    if not world.exists():
        shutil.copytree(toy, world / "examples/toy")
        (world / "pipelines").mkdir()
        shutil.copy(ROOT / "pipelines/quickstart.yaml", world / "pipelines")
    worlds = [("the quickstart", world, "pipelines/quickstart.yaml")]
    for name, text in {**PIPELINES, "6 x 10,000 points": LONG}.items():
        world = work / hashlib.sha256(text.encode()).hexdigest()[:16]
        if not world.exists():
            shutil.copytree(toy, world)
            (world / "main.yaml").write_text(text)
        worlds.append((name, world, "main.yaml"))
    name, world, file = worlds.pop()
    cases.append((f"`check`, {name}", world, [tartan, "check", file, "--cache", "cache"]))
    for name, world, file in worlds:
        run = [tartan, "run", file, "--cache", "cache"]
        print(f"{name}: filling its store", file=sys.stderr)
        subprocess.run([*run, "--quiet", "--jobs", str(2 * os.cpu_count())], cwd=world, check=True, stdout=subprocess.DEVNULL)
        cases.append((f"`run`, {name}", world, run))
        if "10,000 stages" in name:
            for command in ["plan", "check", "graph"]:
                cases.append((f"`{command}`, {name}", world, [tartan, command, file, "--cache", "cache"]))
    return cases


def timed(folder, command):
    """Wall and CPU milliseconds, and peak MB, of one run."""
    start = time.perf_counter()
    with open(os.devnull, "wb") as null:
        child = subprocess.Popen(command, cwd=folder, stdout=null, stderr=subprocess.PIPE)
        error = child.stderr.read()
    _, status, used = os.wait4(child.pid, 0)
    wall = time.perf_counter() - start
    if status:
        sys.exit(f"{command}: {error.decode()[-1000:]}")
    return 1000 * wall, 1000 * (used.ru_utime + used.ru_stime), used.ru_maxrss / 1024


# The peers: one stage, and N that read what it makes.


def peers(work, count=1000):
    cases = []
    for tool in [dvc, snakemake, make, ninja]:
        name = tool.__name__
        if not shutil.which(name):
            print(f"{name} is not there, and left out", file=sys.stderr)
            continue
        folder = work / f"{name}-{count}"
        command = tool(folder, count, not folder.exists())
        timed(folder, command)
        cases.append((f"{name}, {count:,} stages", folder, command))
    return cases


def dvc(folder, count, fresh):
    """A project whose lock file and cache say already that everything is up to date."""
    if fresh:
        folder.mkdir()
        subprocess.run(["dvc", "init", "--no-scm", "-q"], cwd=folder, check=True)
        stages, lock = ["stages:"], ["schema: '2.0'", "stages:"]

        def stage(name, command, out, text, needs):
            digest = hashlib.md5(text.encode()).hexdigest()
            for path in [folder / out, folder / ".dvc/cache/files/md5" / digest[:2] / digest[2:]]:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            stages.extend([f"  {name}:", f"    cmd: {command}", "    outs:", f"    - {out}"])
            lock.extend([f"  {name}:", f"    cmd: {command}"])
            if needs:
                stages.extend(["    deps:", f"    - {needs}"])
                digest_of_needs = hashlib.md5((folder / needs).read_bytes()).hexdigest()
                size = (folder / needs).stat().st_size
                lock.extend(["    deps:", f"    - path: {needs}", "      hash: md5", f"      md5: {digest_of_needs}", f"      size: {size}"])
            lock.extend(["    outs:", f"    - path: {out}", "      hash: md5", f"      md5: {digest}", f"      size: {len(text)}"])

        stage("prep", "echo p > prep.txt", "prep.txt", "p\n", None)
        for i in range(count):
            stage(f"t{i}", f"echo p > o/{i}.txt && echo {i} >> o/{i}.txt", f"o/{i}.txt", f"p\n{i}\n", "prep.txt")
        (folder / "dvc.yaml").write_text("\n".join(stages) + "\n")
        (folder / "dvc.lock").write_text("\n".join(lock) + "\n")
    return ["dvc", "repro", "-q"]


def snakemake(folder, count, fresh):
    if fresh:
        folder.mkdir()
        (folder / "Snakefile").write_text(
            f'rule all:\n    input: expand("o/{{i}}.txt", i=range({count}))\n'
            'rule prep:\n    output: "prep.txt"\n    shell: "echo p > {output}"\n'
            'rule t:\n    input: "prep.txt"\n    output: "o/{i}.txt"\n    shell: "cp {input} {output}"\n'
        )
    return ["snakemake", "-c2", "-q", "all", "all"]


def make(folder, count, fresh):
    if fresh:
        folder.mkdir()
        outs = " ".join(f"o/{i}" for i in range(count))
        rules = "".join(f"o/{i}: prep\n\t@mkdir -p o && cp prep o/{i}\n" for i in range(count))
        (folder / "Makefile").write_text(f"all: {outs}\nprep:\n\techo p > prep\n{rules}")
    return ["make", "-s"]


def ninja(folder, count, fresh):
    if fresh:
        folder.mkdir()
        rules = "rule c\n  command = cp $in $out\nrule p\n  command = echo p > $out\nbuild prep: p\n"
        rules += "".join(f"build o/{i}: c prep\n" for i in range(count))
        outs = " ".join(f"o/{i}" for i in range(count))
        (folder / "build.ninja").write_text(f"{rules}build all: phony {outs}\ndefault all\n")
    return ["ninja", "--quiet"]


if __name__ == "__main__":
    main()
