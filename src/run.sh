#!/bin/sh
# Starts the component: run.sh GREENGRASS_ROOT WORK_FOLDER
#
# The shell is replaced by the program, so the nucleus sees the program's own exit status,
# and its signals reach the program.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=${1:?usage: run.sh GREENGRASS_ROOT WORK_FOLDER}
work=${2:?usage: run.sh GREENGRASS_ROOT WORK_FOLDER}
. "$here/find_python.sh"

if [ -x "$work/venv/bin/python" ]; then
    python="$work/venv/bin/python"
else
    python=$(find_python)
fi
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"
exec "$python" -m certkeeper run --root "$root" --work "$work"
