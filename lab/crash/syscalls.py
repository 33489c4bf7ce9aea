"""The system calls before which a program may be killed, with their numbers and arguments.

Every call by which a program touches files, sockets, pipes or other processes. Left out are
calls that neither change nor learn anything outside the process (futex, epoll, fstat, lseek,
mmap, brk ...), writing through a memory map, and io_uring.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass

# A row: name, number on x86_64, number on aarch64 (None: not there), what it is about.
# ``path0``: the path in argument 0. ``at0``: the path in argument 1, seen from the folder that
# argument 0 is open on. ``fd0``: what argument 0 is open on. ``address0``: the socket in
# argument 0, with the address in argument 1. ``family0``, ``signal0``: a socket's family, and
# the signal in argument 1.
_ROWS: tuple[tuple[str, int | None, int | None, str], ...] = (
    ("read", 0, 63, "fd0"),
    ("write", 1, 64, "fd0"),
    ("readv", 19, 65, "fd0"),
    ("writev", 20, 66, "fd0"),
    ("pread64", 17, 67, "fd0"),
    ("pwrite64", 18, 68, "fd0"),
    ("preadv", 295, 69, "fd0"),
    ("pwritev", 296, 70, "fd0"),
    ("preadv2", 327, 286, "fd0"),
    ("pwritev2", 328, 287, "fd0"),
    ("sendfile", 40, 71, "fd1 fd0"),
    ("splice", 275, 76, "fd0 fd2"),
    ("copy_file_range", 326, 285, "fd0 fd2"),
    ("close", 3, 57, "fd0"),
    ("getdents64", 217, 61, "fd0"),
    ("open", 2, None, "path0"),
    ("creat", 85, None, "path0"),
    ("openat", 257, 56, "at0"),
    ("openat2", 437, 437, "at0"),
    ("stat", 4, None, "path0"),
    ("lstat", 6, None, "path0"),
    ("newfstatat", 262, 79, "at0"),
    ("statx", 332, 291, "at0"),
    ("statfs", 137, 43, "path0"),
    ("access", 21, None, "path0"),
    ("faccessat", 269, 48, "at0"),
    ("faccessat2", 439, 439, "at0"),
    ("readlink", 89, None, "path0"),
    ("readlinkat", 267, 78, "at0"),
    ("rename", 82, None, "path0 path1"),
    ("renameat", 264, 38, "at0 at2"),
    ("renameat2", 316, 276, "at0 at2"),
    ("link", 86, None, "path0 path1"),
    ("linkat", 265, 37, "at0 at2"),
    ("symlink", 88, None, "path1"),
    ("symlinkat", 266, 36, "at1"),
    ("unlink", 87, None, "path0"),
    ("unlinkat", 263, 35, "at0"),
    ("mkdir", 83, None, "path0"),
    ("mkdirat", 258, 34, "at0"),
    ("rmdir", 84, None, "path0"),
    ("mknod", 133, None, "path0"),
    ("mknodat", 259, 33, "at0"),
    ("chmod", 90, None, "path0"),
    ("fchmod", 91, 52, "fd0"),
    ("fchmodat", 268, 53, "at0"),
    ("fchmodat2", 452, 452, "at0"),
    ("chown", 92, None, "path0"),
    ("lchown", 94, None, "path0"),
    ("fchown", 93, 55, "fd0"),
    ("fchownat", 260, 54, "at0"),
    ("setxattr", 188, 5, "path0"),
    ("lsetxattr", 189, 6, "path0"),
    ("fsetxattr", 190, 7, "fd0"),
    ("utime", 132, None, "path0"),
    ("utimes", 235, None, "path0"),
    ("utimensat", 280, 88, "at0"),
    ("truncate", 76, 45, "path0"),
    ("ftruncate", 77, 46, "fd0"),
    ("fallocate", 285, 47, "fd0"),
    ("fsync", 74, 82, "fd0"),
    ("fdatasync", 75, 83, "fd0"),
    ("sync_file_range", 277, 84, "fd0"),
    ("syncfs", 306, 267, "fd0"),
    ("sync", 162, 81, ""),
    ("socket", 41, 198, "family0"),
    ("connect", 42, 203, "address0"),
    ("bind", 49, 200, "address0"),
    ("accept", 43, 202, "fd0"),
    ("accept4", 288, 242, "fd0"),
    ("sendto", 44, 206, "fd0"),
    ("recvfrom", 45, 207, "fd0"),
    ("sendmsg", 46, 211, "fd0"),
    ("recvmsg", 47, 212, "fd0"),
    ("sendmmsg", 307, 269, "fd0"),
    ("recvmmsg", 299, 243, "fd0"),
    ("shutdown", 48, 210, "fd0"),
    ("execve", 59, 221, "path0"),
    ("execveat", 322, 281, "at0"),
    ("kill", 62, 129, "signal0"),
    ("pidfd_send_signal", 424, 424, "signal0"),
)

# These have no file or socket to go by.
_ALWAYS = {"execve", "execveat", "kill", "pidfd_send_signal", "sync"}
_COLUMNS = {"x86_64": 1, "aarch64": 2}
# AUDIT_ARCH_* of <linux/audit.h>, by which a filter knows whose numbers it sees.
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


@dataclass(frozen=True)
class Call:
    """A system call: its name, and its subjects as (kind, number of the argument)."""

    name: str
    subjects: tuple[tuple[str, int], ...]

    @property
    def counts_always(self) -> bool:
        """Whether it counts wherever its subject lies: a program started, a signal sent, sync."""
        return self.name in _ALWAYS


def architecture(machine: str | None = None) -> int:
    """The AUDIT_ARCH number of this machine, or of the one named. Raises KeyError."""
    return _ARCHITECTURES[machine or platform.machine()]


def calls(machine: str | None = None) -> dict[int, Call]:
    """The calls by their numbers on this machine, or on the one named. Raises KeyError."""
    column = _COLUMNS[machine or platform.machine()]
    found: dict[int, Call] = {}
    for row in _ROWS:
        number = row[column]
        if isinstance(number, int):
            subjects = tuple((word[:-1], int(word[-1])) for word in row[3].split())
            found[number] = Call(row[0], subjects)
    return found
