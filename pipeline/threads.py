"""A fixed number of threads for every library: sums in another order are other sums.

OpenBLAS and OpenMP read the environment when they are loaded, so the processes that draw call
``fix_environment`` first of all, and ``fix_threads`` when the libraries are there.
"""

from __future__ import annotations

import os
import sys

#: OpenCV splits pictures into stripes; its results do not depend on how many.
_OPENCV_THREADS = 2


def fix_environment() -> None:
    """To be called before numpy or torch are imported; children inherit it."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"


def fix_threads() -> None:
    """Fix the threads of the libraries that can still be told."""
    import cv2

    cv2.setNumThreads(_OPENCV_THREADS)
    cv2.setRNGSeed(0)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)
