# Sourced by install.sh: which Python can run the component, and what it has. Expects $here.

# The first Python on the path that is new enough.
find_python() {
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python3.9; do
        found=$(command -v "$candidate") || continue
        if "$found" -c 'import sys; sys.exit(sys.version_info < (3, 9, 2))' 2>/dev/null; then
            echo "$found"
            return 0
        fi
    done
    return 1
}

# Whether that Python has, in exactly the pinned versions, every package we need.
has_requirements() {
    "$1" - "$here/requirements.txt" <<'PYTHON' 2>/dev/null
import re
import sys
from importlib.metadata import version

pinned = re.findall(r"^([A-Za-z0-9_.-]+)==([^ ;\\]+) *\\?$", open(sys.argv[1]).read(), re.M)
sys.exit(0 if pinned and all(version(name) == wanted for name, wanted in pinned) else 1)
PYTHON
}

# The wheel of that name beside the scripts, if there is one.
find_wheel() {
    for wheel in "$here/wheels/$1"-*.whl; do
        if [ -f "$wheel" ]; then
            echo "$wheel"
            return 0
        fi
    done
    return 1
}
