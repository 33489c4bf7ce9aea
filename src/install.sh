#!/bin/sh
# Makes ready what the component needs to run: install.sh WORK_FOLDER
#
# If the system's own Python has every pinned package (a device image built that way),
# it is used as it is. Otherwise a virtual environment is made in the work folder, and
# filled with exactly the packages of requirements.txt, each checked by its hash.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
work=${1:?usage: install.sh WORK_FOLDER}
. "$here/find_python.sh"

if python=$(find_python); then :; else
    echo "install-failed reason=\"no Python 3.9.2 or newer is on the path\" remedy=\"install python3 with its venv module\"" >&2
    exit 1
fi

if has_requirements "$python"; then
    rm -rf "$work/venv"
    chosen=$python
    echo "install-done python=$chosen packages=system"
else
    echo "install-started python=$python packages=requirements.txt"
    rm -rf "$work/venv"
    if ! "$python" -m venv "$work/venv"; then
        rm -rf "$work/venv"
        echo "install-failed reason=\"no virtual environment could be made\" remedy=\"install the venv module (python3-venv)\"" >&2
        exit 1
    fi
    if ! "$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir \
        --no-deps --require-hashes --requirement "$here/requirements.txt"; then
        rm -rf "$work/venv"
        echo "install-failed reason=\"the packages of requirements.txt could not be installed\" remedy=\"let the device reach its package index, or pack the wheels into the artifact\"" >&2
        exit 1
    fi
    chosen=$work/venv/bin/python
    echo "install-done python=$chosen packages=venv"
fi
echo "$chosen" >"$work/python"

# Compiled once here, so that each start is quick even where nothing may be written later.
"$chosen" -m compileall -q "$here/certkeeper" "$here/rotation_protocol" >/dev/null 2>&1 || true
