#!/bin/sh
# Starts the component: run.sh GREENGRASS_ROOT WORK_FOLDER
#
# The shell is replaced by the program, so the nucleus sees the program's own exit status,
# and its signals reach the program.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=${1:?usage: run.sh GREENGRASS_ROOT WORK_FOLDER}
work=${2:?usage: run.sh GREENGRASS_ROOT WORK_FOLDER}

# install.sh wrote down which Python has the packages.
read -r python <"$work/python"
# python -m looks for modules in the current folder first, and others than us may be able to
# write into the work folder, where the nucleus starts us.
cd "$here"
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"
exec "$python" -m certkeeper run --root "$root" --work "$work"
