"""The system calls that a caged program may not make, as a filter that the kernel keeps (seccomp).

Programs decode with what is left: reading, writing, memory, threads. Whatever would reach the network,
another process, a mount, a key ring or a part of the kernel that decoders have no use for is refused as
not permitted; calls that are newer than this table do not exist.
"""

from __future__ import annotations

import ctypes
import platform
import struct
from functools import cache

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 38, 22
_SET_MODE_FILTER, _SPEC_ALLOW = 1, 4
#: seccomp(2) itself, and how the kernel names the architecture, by machine.
_MACHINES = {"x86_64": (317, 0xC000003E), "aarch64": (277, 0xC00000B7)}
#: From here on x86_64 counts the calls of another, older way in.
_X32 = 0x4000_0000
#: The last call that was looked at (``mseal``).
_NEWEST = 462

_LOAD, _EQUAL, _MORE, _ANY_BIT, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF_0000, 0x8000_0000, 0x0005_0000
_EPERM, _ENOSYS = 1, 38
#: Where the filter finds the call's number, its architecture and its first argument's lower half.
_NUMBER, _ARCH, _FIRST = 0, 4, 16

#: Refused whatever the arguments: numbers on x86_64 and on aarch64, 0 where there is none.
_REFUSED = {
    # other processes
    **{"ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271)},
    **{"kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "kcmp": (312, 272)},
    **{"rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424)},
    **{"pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "process_madvise": (440, 440)},
    **{"process_mrelease": (448, 448), "setpgid": (109, 154), "setsid": (112, 157)},
    # memory and messages shared by number
    **{"shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190), "semop": (65, 193)},
    **{"semctl": (66, 191), "semtimedop": (220, 192), "msgget": (68, 186), "msgsnd": (69, 189)},
    **{"msgrcv": (70, 188), "msgctl": (71, 187), "mq_open": (240, 180), "socketpair": (53, 199)},
    # what would do calls for it, past this filter
    **{"io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427)},
    # mounts, namespaces, files past their paths
    **{"mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51)},
    **{"open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431)},
    **{"fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442), "unshare": (272, 97)},
    **{"setns": (308, 268), "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264)},
    **{"quotactl": (179, 60), "fanotify_init": (300, 262), "acct": (163, 89)},
    # the kernel and the machine
    **{"bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "keyctl": (250, 219)},
    **{"add_key": (248, 217), "request_key": (249, 218), "kexec_load": (246, 104), "iopl": (172, 0)},
    **{"kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273)},
    **{"delete_module": (176, 106), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225)},
    **{"settimeofday": (164, 170), "clock_settime": (227, 112), "clock_adjtime": (305, 266)},
    **{"adjtimex": (159, 171), "sethostname": (170, 161), "setdomainname": (171, 162), "ioperm": (173, 0)},
    **{"personality": (135, 92), "syslog": (103, 116), "setrlimit": (160, 164)},
}
#: These are refused by their first argument. A new process is, if it asks for a namespace of its own;
#: limits are those of another process; sockets are of a family other than IPv4 and IPv6, if at all.
_CLONE, _CLONE3, _PRLIMIT, _SOCKET = (56, 220), (435, 435), (302, 261), (41, 198)
_NAMESPACES = 0x7E02_0080
_INET, _INET6 = 2, 10


def available() -> bool:
    """Whether this kernel takes filters, and the table knows its calls."""
    if platform.system() != "Linux" or platform.machine() not in _MACHINES:
        return False
    action = ctypes.c_uint32(_ERROR)
    number, _ = _MACHINES[platform.machine()]
    return bool(_libc().syscall(number, 2, 0, ctypes.byref(action)) == 0)  # SECCOMP_GET_ACTION_AVAIL


def confine(*, network: bool) -> None:
    """Lay the filter on the calling thread, for good, and on what it starts; raises ``OSError``.

    With ``network`` it may open sockets to IPv4 and IPv6.
    """
    libc = _libc()
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs was refused")
    code = _program(platform.machine(), network)
    held = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(code) // 8, ctypes.addressof(held))
    number, _ = _MACHINES[platform.machine()]
    # Without the flag some kernels slow a filtered program down, against what no filter is needed for.
    if libc.syscall(number, _SET_MODE_FILTER, _SPEC_ALLOW, header) != 0:
        raise OSError(ctypes.get_errno(), "the filter of system calls was refused")


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


@cache
def _program(machine: str, network: bool) -> bytes:
    """The filter's instructions."""
    _, arch = _MACHINES[machine]
    column = list(_MACHINES).index(machine)
    refuse, absent = _step(_RETURN, _ERROR | _EPERM), _step(_RETURN, _ERROR | _ENOSYS)
    steps = [_step(_LOAD, _ARCH), _step(_EQUAL, arch, 1, 0), _step(_RETURN, _KILL), _step(_LOAD, _NUMBER)]
    if machine == "x86_64":
        steps += [_step(_MORE, _X32 - 1, 0, 1), refuse]
    steps += [_step(_MORE, _NEWEST, 0, 1), absent]
    for numbers in _REFUSED.values():
        if numbers[column]:
            steps += [_step(_EQUAL, numbers[column], 0, 1), refuse]
    # Its arguments lie in memory, which a filter cannot read: libraries go on to the older call.
    steps += [_step(_EQUAL, _CLONE3[column], 0, 1), absent]
    allow = _step(_RETURN, _ALLOW)
    first = _step(_LOAD, _FIRST)
    steps += [_step(_EQUAL, _CLONE[column], 0, 4), first, _step(_ANY_BIT, _NAMESPACES, 0, 1), refuse, allow]
    steps += [_step(_EQUAL, _PRLIMIT[column], 0, 4), first, _step(_EQUAL, 0, 1, 0), refuse, allow]
    if network:
        families = [_step(_EQUAL, _INET, 2, 0), _step(_EQUAL, _INET6, 1, 0)]
        steps += [_step(_EQUAL, _SOCKET[column], 0, 5), first, *families, refuse, allow]
    else:
        steps += [_step(_EQUAL, _SOCKET[column], 0, 1), refuse]
    return b"".join([*steps, allow])


def _step(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("=HBBI", code, then, otherwise, value)
