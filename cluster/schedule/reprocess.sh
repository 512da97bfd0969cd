#!/bin/sh
# All data into a new pass: reprocess.sh SETTINGS PIPELINE PASS [INPUT]. See README.md beside it.
# INPUT is a folder of raw files, or an earlier pass such as /data/crab.etendue@dl0; by default all raw data.
set -eu
# shellcheck source=cluster/schedule/nightly.env
. "$1"
exec "$ETENDUE" run "$2" "${4:-$RAW/**/$PATTERN}" --into "$STORE" --pass "$3" --on-error skip --on "$ON"
