"""What is ready for a rotation on this device and what is not, as named checks."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

from certkeeper.core.algorithms import KEY_ALGORITHMS
from certkeeper.core.certificate import PairState, Reading
from certkeeper.edge import store_rehearsal
from certkeeper.edge.nucleus_config import NucleusConfig
from certkeeper.edge.probe import CREDENTIALS_PORT, DATA_PORT
from rotation_protocol.messages import ReadinessCheck
from rotation_protocol.reasons import CheckStatus, ReadinessCheckName, ReadProblem
from rotation_protocol.values import dataclass

_OK, _WARN, _FAIL = CheckStatus.OK, CheckStatus.WARN, CheckStatus.FAIL
_UNKNOWN = CheckStatus.UNKNOWN
_PRIVILEGE = "let the component run with RequiresPrivilege, or run this as root"


@dataclass(frozen=True)
class KeyFile:
    """Where the private key is (None: not in a file), and why it cannot be used, if it cannot."""

    path: Path | None
    problem: str = ""
    denied: bool = False


def checks(
    config: NucleusConfig,
    core: Reading,
    key: KeyFile,
    try_endpoint: bool,
) -> tuple[ReadinessCheck, ...]:
    """Every check of readiness that can be made from outside the daemon.

    ``core`` is the reading of the core device certificate. With ``try_endpoint`` the probe's
    endpoint is connected to, which takes up to five seconds.
    """
    found = ReadinessCheck(ReadinessCheckName.CREDENTIALS_FOUND, _OK, f"in {config.source}")
    made = [found, _certificate_check(core), _key_check(key)]
    made.extend([_pair_check(core), _key_type_check(core)])
    if key.path is not None:
        made.extend(store_rehearsal.rehearse(key.path.parent, _files(core, key.path)))
    made.extend([_supervisor_check(config), _endpoint_check(config, try_endpoint)])
    return tuple(made)


def _files(core: Reading, key_path: Path) -> tuple[Path, ...]:
    return (key_path, Path(core.source)) if core.facts else (key_path,)


def _certificate_check(core: Reading) -> ReadinessCheck:
    name = ReadinessCheckName.CERTIFICATE_READABLE
    if core.facts is not None:
        return ReadinessCheck(name, _OK, core.source)
    denied = core.problem is ReadProblem.DENIED
    return ReadinessCheck(name, _FAIL, core.detail, _PRIVILEGE if denied else None)


def _key_check(key: KeyFile) -> ReadinessCheck:
    name = ReadinessCheckName.KEY_READABLE
    if key.path is None:
        return ReadinessCheck(name, _WARN, key.problem, "such a device can be watched, not rotated")
    if key.problem:
        remedy = _PRIVILEGE if key.denied else "put the key back before the nucleus restarts"
        return ReadinessCheck(name, _FAIL, key.problem, remedy)
    try:
        mode = key.path.stat().st_mode & 0o777
    except OSError as error:
        return ReadinessCheck(name, _UNKNOWN, f"{key.path}: {error.strerror or error}")
    if mode & 0o077:
        detail = f"{key.path} has mode {mode:04o}: others can read it"
        return ReadinessCheck(name, _WARN, detail, f"chmod 600 {key.path}")
    return ReadinessCheck(name, _OK, str(key.path))


def _pair_check(core: Reading) -> ReadinessCheck:
    name = ReadinessCheckName.PAIR_MATCHES
    if core.pair is PairState.MATCHES:
        return ReadinessCheck(name, _OK, "they do")
    if core.pair is PairState.MISMATCH:
        remedy = "put back the file that was replaced, before the nucleus restarts"
        return ReadinessCheck(name, _FAIL, core.detail, remedy)
    return ReadinessCheck(name, _UNKNOWN, core.detail or "one of the two cannot be read")


def _key_type_check(core: Reading) -> ReadinessCheck:
    name = ReadinessCheckName.KEY_TYPE
    if core.facts is None:
        return ReadinessCheck(name, _UNKNOWN, "the certificate cannot be read")
    algorithm = core.facts.key_algorithm
    if algorithm in KEY_ALGORITHMS:
        return ReadinessCheck(name, _OK, algorithm)
    remedy = f"set keyAlgorithm to one of {', '.join(KEY_ALGORITHMS)}"
    return ReadinessCheck(name, _WARN, f"{algorithm} cannot be kept in a rotation", remedy)


def _supervisor_check(config: NucleusConfig) -> ReadinessCheck:
    name = ReadinessCheckName.SUPERVISOR
    wanted = ("systemctl", "systemd-run")
    missing = [command for command in wanted if not shutil.which(command)]
    if missing:
        detail = f"{' and '.join(missing)} cannot be found on the path"
        remedy = "such a device can be watched, not rotated: systemd arms the dead-man's switch"
        return ReadinessCheck(name, _WARN, detail, remedy)
    gentle = config.runtime == "lite" and shutil.which("ss") is not None
    return ReadinessCheck(name, _OK, "ss and systemctl" if gentle else "systemctl")


def _endpoint_check(config: NucleusConfig, try_it: bool) -> ReadinessCheck:
    name = ReadinessCheckName.PROBE_ENDPOINT
    endpoint = config.iot_cred_endpoint or config.iot_data_endpoint
    if not endpoint:
        remedy = "set iotDataEndpoint and iotCredEndpoint of the nucleus"
        return ReadinessCheck(name, _WARN, "the nucleus names no endpoint", remedy)
    if not try_it:
        return ReadinessCheck(name, _OK, f"{endpoint} (not tried)")
    host, _, named = endpoint.partition(":")
    port = named or str(CREDENTIALS_PORT if config.iot_cred_endpoint else DATA_PORT)
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError) as error:  # ValueError: what is no name for a host, or no port
        remedy = f"let port {port} out to this host"
        return ReadinessCheck(name, _FAIL, f"{endpoint}: {error}", remedy)
    return ReadinessCheck(name, _OK, f"{endpoint} answers")
