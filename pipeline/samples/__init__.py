"""The samples, made by our own code: two characters, a driving video, and the truth about it.

make(folder)                    everything, as it is committed in ``samples/``, and its truth
make_driver(path, Scene(...))   a driving video of any size and length, for tests and benchmarks
make_character(path)            the character's picture
"""

from pipeline.samples.maker import Scene, Truth, make, make_character, make_driver
from pipeline.samples.pose import JOINTS

__all__ = ["JOINTS", "Scene", "Truth", "make", "make_character", "make_driver"]
