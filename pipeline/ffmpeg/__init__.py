"""The one room that runs ffmpeg and ffprobe.

    probe(source)               what a video is, exactly as ``read_frames`` delivers it
    read_frames(path, info)     its frames, one by one
    read_chosen(path, info, n)  some of them, at little more than the cost of decoding
    VideoWriter, GrayWriter     frames to H.264 segments and lossless mattes
    read_gray(path, w, h)       the mattes again
    join, lay_sound, still      what ``pipeline.stitch`` is made of

Nothing here knows torch, OpenCV or the farm. Every child dies with its parent, reads no standard
input, and opens nothing but the one file or address it was given.
"""

from pipeline.ffmpeg.mux import join, lay_samples, lay_sound, still
from pipeline.ffmpeg.probe import probe
from pipeline.ffmpeg.read import read_chosen, read_frames, read_gray
from pipeline.ffmpeg.write import GrayWriter, VideoWriter

__all__ = [
    "GrayWriter",
    "VideoWriter",
    "join",
    "lay_samples",
    "lay_sound",
    "probe",
    "read_chosen",
    "read_frames",
    "read_gray",
    "still",
]
