#!/usr/bin/env bash
# The table of benches/README.md: tartan's training steps, evaluation and tokenising beside its peers', in turn.
#
#   benches/run.sh --model DIR --data DIR [--python PYTHON] [--rounds 3] [--only NAME] [--peer FILE]
#
# DIR of --model holds config.json, model.safetensors and tokenizer.json; DIR of --data train.jsonl, dev.jsonl and
# train.txt. PYTHON has torch 2.11, transformers and datasets. Nothing else should run meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."

built=$(cargo bench --quiet --bench step --no-run --message-format=json)
step=$(python3 -c '
import json, sys
found = [json.loads(line) for line in sys.stdin]
print([m["executable"] for m in found if m.get("target", {}).get("name") == "step" and m.get("executable")][-1])
' <<<"$built")
python=$(command -v python3)
for ((i = 1; i <= $#; i++)); do
    if [[ ${!i} == --python ]]; then next=$((i + 1)); python=${!next}; fi
done
exec "$python" benches/compare.py --step "$step" "$@"
