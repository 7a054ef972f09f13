"""The plate: what the camera would have seen without the people.

    gather(request, report)       the SAMPLE stage
    make_plate(request, report)   the PLATE stage
    Plate.load(path)              what it wrote, frame by frame

Frames are registered to the shot, the median of what was seen uncovered is taken, what nobody ever
saw is filled from its surroundings, and each frame's light is matched.
"""

from pipeline.plate.artifact import Plate
from pipeline.plate.gather import gather
from pipeline.plate.make import make_plate

__all__ = ["Plate", "gather", "make_plate"]
