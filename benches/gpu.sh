#!/usr/bin/env bash
# Training steps on a GPU beside the peers', in turn, with the GPU's own matrix rate; under eight minutes.
#
#   benches/gpu.sh --model DIR --data DIR [--step PROGRAM] [--python PYTHON]
#
# PROGRAM is the step benchmark, built here where it is not given; it may come from a machine without a GPU, since
# it takes libtorch from PYTHON's torch (2.11, with CUDA; transformers too).
set -euo pipefail
here=$(dirname "$0")

python=$(command -v python3)
step=
for ((i = 1; i <= $#; i++)); do
    next=$((i + 1))
    case ${!i} in
        --python) python=${!next} ;;
        --step) step=${!next} ;;
    esac
done
if [[ -z $step ]]; then
    step=$("$here/build.sh")
    set -- --step "$step" "$@"
fi
exec "$python" "$here/gpu.py" "$@"
