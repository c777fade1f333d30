"""Runs `tartan` and its peers in turn on the same work, and prints the table of README.md.

    python3 compare.py --step PROGRAM --model DIR --data DIR [--peer FILE] [--python PYTHON] [--rounds 3] [--only NAME]

`--step` is the program of `cargo bench --bench step --no-run`; `run.sh` gives it. Every round runs each side
once; a figure is the median over the rounds, a ratio that of two medians.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
# What `tartan run` sets for its workers where the user has not said otherwise (src/exec/worker.rs).
TUNING = {
    "GOMP_SPINCOUNT": "10000",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4294967296"
    ":glibc.malloc.trim_threshold=8589934592",
}
# Three steps a round, after two that are not timed.
STEP = ["--batch", "16", "--dev-batch", "8", "--accum", "2", "--steps", "3"]
LARGE_DEV = ["--batch", "16", "--dev-batch", "32", "--accum", "1", "--steps", "3"]

EVALUATION = ["--batch", "16", "--rounds", "1"]


def cases():
    """Name, our arguments, the peer's mode and arguments."""
    mt, meta = ["--method", "mt"], ["--method", "meta"]
    return [
        ("MT step, float32", mt + STEP, "official", mt + STEP),
        ("MT step, float32, against hf", mt + STEP, "hf", mt + STEP),
        ("META step, float32", meta + STEP, "official", meta + STEP),
        ("META step, dev batch 32, one micro-step", meta + LARGE_DEV, "official", meta + LARGE_DEV),
        ("MT step, ours in bf16", mt + STEP + ["--bf16"], "official", mt + STEP),
        ("META step, ours in bf16", meta + STEP + ["--bf16"], "official", meta + STEP),
        ("evaluation", ["--method", "evaluate", *EVALUATION], "evaluate", EVALUATION),
        ("tokenising", ["--method", "tokenize"], "tokenize", []),
    ]


def run(command, environment=None):
    found = subprocess.run(command, env={**os.environ, **(environment or {})}, capture_output=True, text=True)
    if found.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{found.stderr[-2000:]}")
    return json.loads(found.stdout.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--peer", help="another script for the steps, with `--mode` in place of the first word")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tune-peers", action="store_true", help="give the peers our workers' variables too")
    parser.add_argument("--only", default="", help="cases whose name holds this")
    arguments = parser.parse_args()
    common = ["--model", arguments.model, "--data", arguments.data]

    chosen = [case for case in cases() if arguments.only in case[0]]
    jobs = {}
    for _, ours, mode, theirs in chosen:
        jobs[("tartan", *ours)] = lambda ours=ours: run([arguments.step, *common, *ours], TUNING)
        own = [arguments.python, str(HERE / "peer.py"), mode]
        other = [arguments.python, arguments.peer or "", "--mode", mode]
        peer = other if arguments.peer and mode in ("official", "hf") else own
        jobs[(mode, *theirs)] = lambda peer=peer, theirs=theirs: run(
            [*peer, *common, *theirs], TUNING if arguments.tune_peers else None
        )
    found = {job: [] for job in jobs}
    for number in range(arguments.rounds):
        for job, start in jobs.items():
            found[job].append(start())
            print(f"round {number + 1}: {' '.join(job)}: {json.dumps(found[job][-1])}", file=sys.stderr, flush=True)

    def middle(job, field):
        return statistics.median(result[field] for result in found[job])

    print("| | tartan | peer | ratio | memory, tartan | peer | ratio |")
    print("|---|---|---|---|---|---|---|")
    for name, ours, mode, theirs in chosen:
        ours, theirs = ("tartan", *ours), (mode, *theirs)
        steps = "step_s" in found[ours][0]
        field, unit = ("step_s", " s") if steps else ("texts_per_s", " texts/s")
        a, b = middle(ours, field), middle(theirs, field)
        memory = [middle(job, "rss_mb") / 1024 for job in (ours, theirs)]
        ratio = b / a if steps else a / b
        cell = (lambda x: f"{x:.2f}{unit}") if steps else (lambda x: f"{x:,.0f}{unit}")
        print(
            f"| {name} | {cell(a)} | {mode} {cell(b)} | {ratio:.2f}x faster "
            f"| {memory[0]:.2f} GB | {memory[1]:.2f} GB | {memory[0] / memory[1]:.2f} |"
        )
    mt, meta = (("tartan", "--method", method, *STEP) for method in ("mt", "meta"))
    if mt in found and meta in found:
        print(f"\nOur META step takes {middle(meta, 'step_s') / middle(mt, 'step_s'):.2f} of our MT step.")


if __name__ == "__main__":
    main()
