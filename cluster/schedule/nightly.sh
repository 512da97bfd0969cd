#!/bin/sh
# Adds the last nights to a pass: nightly.sh SETTINGS. See README.md beside it.
set -eu
# shellcheck source=cluster/schedule/nightly.env
. "$1"

set --
for n in $(seq 0 $((NIGHTS - 1))); do
    folder=$RAW/$(date -u -d "$n days ago" +%Y-%m-%d)
    if [ -z "$(find "$folder" -name "$PATTERN" -print -quit 2>/dev/null)" ]; then
        continue
    fi
    if [ -n "$(find "$folder" -mmin -10 -print -quit)" ]; then
        echo "$folder: still changes, and is left for the next time"
        continue
    fi
    set -- "$@" "$folder/**/$PATTERN"
done
if [ $# -eq 0 ]; then
    echo "nothing to do: no data of the last $NIGHTS nights in $RAW that are whole"
    exit 0
fi
exec "$ETENDUE" run "$PIPELINE" "$@" --into "$STORE" --pass "$PASS" --on-error skip --on "$ON"
