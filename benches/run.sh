#!/usr/bin/env bash
# The table of benches/README.md: tartan's training steps, evaluation and tokenising beside its peers', in turn.
#
#   benches/run.sh --model DIR --data DIR [--python PYTHON] [--rounds 3] [--only NAME] [--peer FILE]
#
# DIR of --model holds config.json, model.safetensors and tokenizer.json; DIR of --data train.jsonl, dev.jsonl and
# train.txt. PYTHON has torch 2.11, transformers and datasets. Nothing else should run meanwhile.
set -euo pipefail
here=$(dirname "$0")

step=$("$here/build.sh")
python=$(command -v python3)
for ((i = 1; i <= $#; i++)); do
    next=$((i + 1))
    if [[ ${!i} == --python ]]; then python=${!next}; fi
done
exec "$python" "$here/compare.py" --step "$step" "$@"
