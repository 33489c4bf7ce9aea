#!/bin/sh
# Runs what ships under a real Python 3.9, the oldest that it supports: every module is
# imported, and a device of plain files is checked.
#
#   run_on_python39.sh [PYTHON]      (default: python3.9 on the path)
#
# A Python without the packages of requirements/device.txt gets a virtual environment
# with them, for this run only. Exit code 0 if all went well.
set -eu

project=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
python=${1:-python3.9}
scratch=$(mktemp -d)
daemon=
trap '[ -z "$daemon" ] || kill "$daemon" 2>/dev/null; rm -rf "$scratch"' EXIT

fail() {
    echo "FAILED on Python 3.9: $1" >&2
    exit 1
}

command -v "$python" >/dev/null || fail "there is no $python; name one: $0 /path/to/python3.9"
"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 9))' ||
    fail "$python is another version: $("$python" --version 2>&1)"
if ! "$python" -c 'import awsiot, cronsim, cryptography, yaml' 2>/dev/null; then
    "$python" -m venv "$scratch/venv"
    python=$scratch/venv/bin/python
    "$python" -m pip install --quiet --disable-pip-version-check --require-hashes \
        --requirement "$project/requirements/device.txt"
fi

# Away from the project, as on a device, with nothing on the path but what ships.
export PYTHONPATH="$project/src" PYTHONDONTWRITEBYTECODE=1
unset PYTHONHOME
cd "$scratch"

echo "importing every module on $("$python" --version)"
"$python" -W error - "$project/src" <<'PYTHON' || fail "a module cannot be imported"
import importlib
import pathlib
import sys

root = pathlib.Path(sys.argv[1])
names = sorted(
    ".".join(path.relative_to(root).with_suffix("").parts) for path in root.rglob("*.py")
)
for name in names:
    importlib.import_module(name.removesuffix(".__init__"))
print(f"{len(names)} modules")
PYTHON

echo "checking a device of plain files"
"$python" - "$scratch/v2" <<'PYTHON' || fail "no device could be made"
import datetime
import pathlib
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

root = pathlib.Path(sys.argv[1])
root.mkdir()
key = ec.generate_private_key(ec.SECP256R1())
name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "press-7")])
now = datetime.datetime.now(datetime.timezone.utc)
certificate = (
    x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    .serial_number(1).not_valid_before(now - datetime.timedelta(days=1))
    .not_valid_after(now + datetime.timedelta(days=400)).sign(key, hashes.SHA256())
)
(root / "thingCert.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
(root / "privKey.key").touch(0o600)
(root / "privKey.key").write_bytes(
    key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
)
PYTHON
"$python" -m certkeeper check --root "$scratch/v2" || fail "check ended with $?, not 0"
"$python" -m certkeeper check --root "$scratch/v2" --json >/dev/null || fail "check --json"
printf '{"maxAgeDays": 1, "rotateWindow": {"cron": "cron(0 2 * * ? *)", "minutes": 60}}' >try.json
ended=0
"$python" -m certkeeper check --root "$scratch/v2" --config try.json >/dev/null || ended=$?
[ "$ended" = 1 ] || fail "check of an overdue certificate ended with $ended, not 1"

echo "looking and signing, as the daemon's child does"
request='{"do":"inspect","root":"'$scratch'/v2","watch":[],"certificateFilePath":null,"privateKeyPath":null}'
echo "$request" | "$python" -m certkeeper inspect | grep -q '"pair": "matches"' || fail "inspect"
request='{"do":"sign","privateKeySource":"'$scratch'/v2/privKey.key","contents":["{}"]}'
echo "$request" | "$python" -m certkeeper inspect | grep -q '"signatures"' || fail "sign"

echo "making a new key and its request, as the rotating child does"
{
    printf '{"do":"survey","root":"%s","thingName":"press-7",' "$scratch/v2"
    echo '"certificateFilePath":null,"privateKeyPath":null}'
    echo '{"do":"prepare","keyAlgorithm":"same","signingAlgorithm":"auto"}'
} | "$python" -m certkeeper rotate >answers || fail "rotate"
grep -q 'BEGIN CERTIFICATE REQUEST' answers || fail "rotate: $(cat answers)"
! grep -q 'PRIVATE KEY' answers || fail "rotate gave a key away"
[ "$(stat -c %a "$scratch"/v2/certkeeper/b/private.key)" = 600 ] || fail "the new key's mode"

echo "running until the first check, and stopping"
mkdir "$scratch/work"
env -u AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT -u SVCUID \
    "$python" -m certkeeper run --root "$scratch/v2" --work "$scratch/work" >log 2>errors &
daemon=$!
patience=600
until grep -q '^checked ' log || [ "$patience" = 0 ]; do
    patience=$((patience - 1))
    sleep 0.1
done
kill -TERM "$daemon" 2>/dev/null || fail "the daemon ended by itself: $(cat errors)"
ended=0
wait "$daemon" || ended=$?
daemon=
grep -q '^checked ' log || fail "the daemon has not checked: $(cat log errors)"
[ "$ended" = 0 ] || fail "the daemon ended with $ended, not 0: $(cat errors)"
! grep -q internal-error log errors || fail "$(grep -h internal-error log errors)"

echo "PASSED on Python 3.9"
