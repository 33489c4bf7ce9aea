#!/bin/sh
# Makes ready what the component needs to run: install.sh WORK_FOLDER
#
# A classic nucleus runs this at each of its starts, also in the middle of a rotation and
# without a network: what is there already is kept. If the system's own Python has every
# pinned package (a device image built that way), it is used as it is. Otherwise a virtual
# environment is made in the work folder and filled with exactly the packages of
# requirements.txt, each checked by its hash: from the wheels beside this script if there
# are some, else, or if they are not for this device, from the package index. It takes the
# place of the one before only when it is whole.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
work=${1:?usage: install.sh WORK_FOLDER}
venv=$work/venv
new=$work/venv.new
. "$here/find_python.sh"

failed() {
    rm -rf "$new"
    echo "install-failed reason=\"$1\" remedy=\"$2\"" >&2
    exit 1
}

pip_install() {
    "$@" --quiet --disable-pip-version-check --no-input --no-cache-dir --no-deps \
        --require-hashes --requirement "$here/requirements.txt" </dev/null
}

# pip comes with the wheels. It asks no index, whatever this device's own pip is set up for.
install_wheels() {
    wheel=$(find_wheel pip) || return 1
    rm -rf "$new"
    "$python" -m venv --without-pip "$new" || return 1
    # It would run from its wheel too, in half as much time again.
    "$python" -m zipfile -e "$wheel" "$new/pip" || return 1
    PIP_CONFIG_FILE=/dev/null pip_install "$new/bin/python" "$new/pip/pip" --isolated install \
        --no-index --find-links "$here/wheels" || return 1
    rm -rf "$new/pip"
}

install_from_index() {
    rm -rf "$new"
    "$python" -m venv "$new" ||
        failed "no virtual environment could be made" \
            "install the venv module (python3-venv), and see that there is room in $work"
    pip_install "$new/bin/python" -m pip install ||
        failed "the packages of requirements.txt could not be fetched" \
            "let the device reach its package index, or build the artifact with the wheels for $system (gdk_build.py --wheels)"
}

python=$(find_python) ||
    failed "no Python 3.9.2 or newer is on the path" "install python3 with its venv module"
system="$("$python" -V) on $(uname -m)"

if has_requirements "$python"; then
    chosen=$python
    rm -rf "$venv"
    echo "install-done python=$chosen packages=system"
elif cmp -s "$here/requirements.txt" "$venv/requirements.txt" && has_requirements "$venv/bin/python"; then
    chosen=$venv/bin/python
    echo "install-done python=$chosen packages=kept"
else
    chosen=$venv/bin/python
    from=wheels
    echo "install-started python=$python system=\"$system\""
    if install_wheels; then :; else
        from=index
        if [ -d "$here/wheels" ]; then
            read -r packed <"$here/wheels/FOR" || packed=unknown
            echo "install-fallback reason=\"the packed wheels could not be installed\" packed=\"$packed\" system=\"$system\"" >&2
        fi
        install_from_index
    fi
    # All of it is on the disk before anything says that it is whole.
    sync || :
    cp "$here/requirements.txt" "$new/requirements.txt"
    rm -rf "$venv"
    mv "$new" "$venv"
    echo "install-done python=$chosen packages=$from"
fi

# Replaced in one step, and only by another one: run.sh reads it at each start.
if [ -f "$work/python" ] && read -r before <"$work/python" && [ "$before" = "$chosen" ]; then :; else
    echo "$chosen" >"$work/python.new"
    mv -f "$work/python.new" "$work/python"
fi

# Compiled once here, so that each start is quick even where nothing may be written later.
"$chosen" -m compileall -q "$here/certkeeper" "$here/rotation_protocol" >/dev/null 2>&1 || :
