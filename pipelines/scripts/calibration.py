"""How far probabilities can be trusted: calibration.py PREDICTIONS OUT, with params.json beside it.

`ece` is the expected calibration error (Guo et al. 2017) over `bins` bins of equal width; `brier` the mean squared
distance of the probabilities from the truth; `confidence` the mean probability of what was predicted.
"""

import json
import sys

source, target = sys.argv[1:]
bins = json.load(open("params.json"))["bins"]
texts = [json.loads(line) for line in open(source, encoding="utf-8")]

binned = [[] for _ in range(bins)]
brier = 0.0
for text in texts:
    probabilities = text["probabilities"]
    confidence = probabilities[text["predicted"]]
    right = text["predicted"] == text["gold"]
    binned[min(int(confidence * bins), bins - 1)].append((confidence, right))
    brier += sum((p - (label == text["gold"])) ** 2 for label, p in probabilities.items())

ece = sum(abs(sum(c - r for c, r in bin)) for bin in binned) / len(texts)
numbers = {
    "ece": ece,
    "brier": brier / len(texts),
    "confidence": sum(c for bin in binned for c, _ in bin) / len(texts),
}
json.dump(numbers, open(target, "w"), indent=2)
