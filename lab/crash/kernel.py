"""ptrace, seccomp and process memory, as the C library offers them, behind plain functions.

Nothing here decides anything. Every call raises OSError when the kernel refuses it;
ProcessLookupError means that the thread was killed meanwhile.
See ptrace(2), seccomp(2), process_vm_readv(2).
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Sequence

EVENT_EXEC = 4
EVENT_SECCOMP = 7
EVENT_STOP = 128
# waitpid: threads too, not only processes.
WALL = 0x40000000

_CONT, _GETEVENTMSG, _SEIZE, _LISTEN, _GET_SYSCALL_INFO = 7, 0x4201, 0x4206, 0x4208, 0x420E
# TRACEFORK | TRACEVFORK | TRACECLONE | TRACEEXEC | TRACESECCOMP | EXITKILL
_OPTIONS = 0x2 | 0x4 | 0x8 | 0x10 | 0x80 | 0x100000
_PR_SET_SECCOMP, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 22, 36, 38
_SECCOMP_MODE_FILTER = 2
_RET_TRACE, _RET_ALLOW = 0x7FF00000, 0x7FFF0000
# BPF: load a word of struct seccomp_data; jump if equal; return.
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_OFFSET_NUMBER, _OFFSET_ARCHITECTURE = 0, 4

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_void_p] * 4
_libc.process_vm_readv.restype = ctypes.c_ssize_t
_libc.process_vm_readv.argtypes = [
    *(ctypes.c_int, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong),
    ctypes.c_ulong,
]


class _Instruction(ctypes.Structure):
    _fields_ = [
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("operand", ctypes.c_uint32),
    ]


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.POINTER(_Instruction))]


class _SyscallInfo(ctypes.Structure):
    """struct ptrace_syscall_info, at a seccomp stop."""

    _fields_ = [
        ("op", ctypes.c_uint8),
        ("pad", ctypes.c_uint8 * 3),
        ("arch", ctypes.c_uint32),
        ("instruction_pointer", ctypes.c_uint64),
        ("stack_pointer", ctypes.c_uint64),
        ("nr", ctypes.c_uint64),
        ("args", ctypes.c_uint64 * 6),
        ("ret_data", ctypes.c_uint64),
    ]


class _Span(ctypes.Structure):
    """struct iovec."""

    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def seize(pid: int) -> None:
    """Trace the process and whatever it starts; all of it dies when the tracer dies."""
    _ptrace(_SEIZE, pid, 0, _OPTIONS)


def resume(thread: int, signal: int = 0) -> None:
    """Let a stopped thread go on, and deliver the signal to it if one is given."""
    _ptrace(_CONT, thread, 0, signal)


def stay_stopped(thread: int) -> None:
    """Leave a thread in its group's stop until SIGCONT ends it, as it would be untraced."""
    _ptrace(_LISTEN, thread, 0, 0)


def event_message(thread: int) -> int:
    """What the event is about: at an exec, the thread's number before it."""
    message = ctypes.c_ulong()
    _ptrace(_GETEVENTMSG, thread, 0, ctypes.addressof(message))
    return message.value


def system_call(thread: int) -> tuple[int, Sequence[int]]:
    """Number and arguments of the call that a thread at a seccomp stop is about to make."""
    info = _SyscallInfo()
    _ptrace(_GET_SYSCALL_INFO, thread, ctypes.sizeof(info), ctypes.addressof(info))
    return info.nr, tuple(info.args)


def memory(thread: int, address: int, length: int) -> bytes:
    """That much of a thread's memory."""
    buffer = ctypes.create_string_buffer(length)
    here = _Span(ctypes.addressof(buffer), length)
    there = _Span(address, length)
    read = _libc.process_vm_readv(thread, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
    _check(read)
    return buffer.raw[:read]


def text(thread: int, address: int, limit: int = 4096) -> bytes:
    """A thread's NUL-terminated string, read page by page since the next may not be there."""
    found = b""
    while len(found) < limit:
        start = address + len(found)
        part = memory(thread, start, mmap.PAGESIZE - start % mmap.PAGESIZE)
        end = part.find(b"\0")
        if end >= 0:
            return found + part[:end]
        found += part
    return found


def adopt_orphans() -> None:
    """Become the parent of descendants whose parent dies, so that none is left a zombie."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


def stop_before(numbers: Sequence[int], architecture: int) -> None:
    """From now on the calling process stops for its tracer before each of these calls.

    For good, and inherited by all that it starts; privileges can no longer be gained.
    Calls of another architecture (32-bit programs) are not stopped.
    """
    rows = [
        (_LOAD, 0, 0, _OFFSET_ARCHITECTURE),
        (_JUMP_IF_EQUAL, 0, len(numbers) + 1, architecture),
        (_LOAD, 0, 0, _OFFSET_NUMBER),
        *(
            (_JUMP_IF_EQUAL, len(numbers) - place, 0, number)
            for place, number in enumerate(numbers)
        ),
        (_RETURN, 0, 0, _RET_ALLOW),
        (_RETURN, 0, 0, _RET_TRACE),
    ]
    instructions = (_Instruction * len(rows))(*(_Instruction(*row) for row in rows))
    program = _Program(len(rows), instructions)
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _check(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(program), 0, 0))


def _ptrace(request: int, thread: int, address: int, data: int) -> None:
    _check(_libc.ptrace(request, thread, address, data))


def _check(result: int) -> None:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
