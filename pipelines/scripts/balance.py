"""Draws the same number of labelled texts of each label: balance.py FROM TO, with params.json beside it."""

import json
import random
import sys

source, target = sys.argv[1:]
params = json.load(open("params.json"))
rng = random.Random(params["seed"])

by_label = {}
for line in open(source, encoding="utf-8"):
    by_label.setdefault(json.loads(line)["label"], []).append(line)

with open(target, "w", encoding="utf-8") as out:
    for label, lines in sorted(by_label.items()):
        if len(lines) < params["per_label"]:
            sys.exit(f"{label}: {len(lines)} texts, fewer than per_label: {params['per_label']}")
        rng.shuffle(lines)
        out.writelines(lines[: params["per_label"]])
