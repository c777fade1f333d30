#!/bin/sh
# Stands in for tartan-worker in tests. It is called through a link in a test's own folder, notes there
# which stage it ran, and does what a file `do-STAGE` in that folder says, if there is one. By itself it
# writes its action and its inputs' content into one output, `out`.
IFS= read -r request
here=$(dirname "$0")
stage=$(printf '%s' "$request" | sed 's/.*"stage":"\([^"]*\)".*/\1/')
out=$(printf '%s' "$request" | sed 's/.*"out":"\([^"]*\)".*/\1/')
resume=$(printf '%s' "$request" | sed 's/.*"resume":"\([^"]*\)".*/\1/')
inputs=$(printf '%s' "$request" | grep -o '"path":"[^"]*"' | sed 's/"path":"\(.*\)"/\1/')
echo "$stage" >>"$here/ran"

finish() {
    echo '{"done":{"peak_memory":1000,"versions":{"fake":"1"}}}'
    exit 0
}

damaged() {
    echo '{"failed":{"code":"T0902","field":[],"message":"`in` is damaged","notes":[],"help":null,"corrupt":["in"]}}'
    exit 1
}

if [ -f "$here/do-$stage" ]; then
    . "$here/do-$stage"
fi
{
    printf '%s' "$request" | sed 's/.*"action":\(.*\),"inputs".*/\1/'
    for input in $inputs; do cat "$input"; done
} >"$out/out"
finish
