#!/usr/bin/env bash
# Builds the step benchmark and prints where it lies.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo bench --quiet --bench step --no-run --message-format=json-render-diagnostics | python3 -c '
import json, sys
found = [json.loads(line) for line in sys.stdin]
print([m["executable"] for m in found if m.get("target", {}).get("name") == "step" and m.get("executable")][-1])
'
