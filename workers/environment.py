"""What the process that draws finds in its environment: nothing that would open the farm.

It reads pictures and videos of users with libraries that have holes now and then. The addresses of the
database and the broker, and the store's keys, stay with the worker.
"""

from __future__ import annotations

from collections.abc import Mapping

from renderfarm.local.processes import MARK

#: The system's, and where the weights lie.
_NAMES = frozenset(
    (
        *(
            "PATH",
            "HOME",
            "USER",
            "LOGNAME",
            "LANG",
            "LANGUAGE",
            "TZ",
            "TMPDIR",
            "VIRTUAL_ENV",
            "FARM_WEIGHTS",
        ),
        *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH", "SSL_CERT_FILE"),
        # By these `farm down` finds its processes.
        *(MARK, "SUPERVISOR_PROCESS_NAME", "SUPERVISOR_GROUP_NAME", "SUPERVISOR_ENABLED"),
    )
)
#: The libraries' own: threads, devices, caches.
_PREFIXES = ("LC_", "PYTHON", "CUDA_", "NVIDIA_", "TORCH_", "PYTORCH_", "OMP_", "MKL_", "OPENBLAS_", "XDG_")


def for_drawing(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of a worker's environment that the process that draws needs."""
    return {name: value for name, value in environ.items() if name in _NAMES or name.startswith(_PREFIXES)}
