"""The face in a picture: mediapipe's mesh on a crop around the head, and what of it can be acted.

Each picture is looked at on its own, so a frame's face is the same wherever a piece begins.
"""

from __future__ import annotations

import warnings
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.perception.pose import without_chatter
from pipeline.perception.tracks import Face, Joint

Floats = NDArray[np.float32]
Box = tuple[int, int, int, int]

#: Points of the mesh; the refined model adds ten of the irises, which nobody here needs.
POINTS = 468
#: Half the side of the crop over the head's size, and the smallest crop worth looking at, in pixels.
_ROOM, _SMALLEST = 1.5, 20
#: Farther apart than this share of the way from brows to under the nose, mesh and pose mean other faces.
_ASTRAY = 0.33
#: A mouth laid out flat: its width and height, and the cheek beside it, in pixels.
_LIPS, _CHEEK = (72, 40), 12
#: Lips differ from the cheeks by so much (CIELAB of 0-255), over so large a share of the mouth's width.
_LIP_CONTRAST, _LIP_SHARE = 17.0, 0.25
_HEAD = (Joint.NOSE, Joint.LEFT_EYE, Joint.RIGHT_EYE, Joint.LEFT_EAR, Joint.RIGHT_EAR)

#: Points of the mesh by what they are; the person's own left and right.
UPPER_LIP, LOWER_LIP = 13, 14  # the middle of the inner lips
MOUTH_LEFT, MOUTH_RIGHT = 291, 61
#: Lids, above and below, of the left and of the right eye; from the outer corner inwards.
UPPER_LIDS = ((263, 466, 388, 387, 386, 385, 384, 398, 362), (33, 246, 161, 160, 159, 158, 157, 173, 133))
LOWER_LIDS = ((263, 249, 390, 373, 374, 380, 381, 382, 362), (33, 7, 163, 144, 145, 153, 154, 155, 133))
BROWS = ((276, 283, 282, 295, 285, 300, 293, 334, 296, 336), (46, 53, 52, 65, 55, 70, 63, 105, 66, 107))
#: From the right corner to the left: the edges of the lips.
INNER_UPPER_LIP = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
INNER_LOWER_LIP = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
OUTER_LOWER_LIP = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
#: What moves with the skull alone.
FOREHEAD, BETWEEN_BROWS, UNDER_NOSE, LEFT_CHEEK, RIGHT_CHEEK, CHIN = 10, 9, 2, 454, 234, 152


def head_box(joints: Floats, size: tuple[int, int]) -> Box | None:
    """Left, top, right and bottom of a square round the head of ``joints`` (33, 4), cut to a frame.

    ``size`` is the frame's width and height. None where the head is too small, outside or unknown.
    """
    head = joints[list(_HEAD), :2]
    if not np.isfinite(head).all():
        return None
    shoulders = joints[[Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER], :2].mean(axis=0)
    ears = float(np.linalg.norm(head[3] - head[4]))
    # From the side the ears are on each other: then the way to the shoulders tells the size.
    reach = max(ears, 0.7 * float(np.linalg.norm(head.mean(axis=0) - shoulders)))
    if not np.isfinite(reach):
        return None
    center, half = head.mean(axis=0), _ROOM * reach
    low, high = np.maximum(center - half, 0), np.minimum(center + half, size)
    (left, top), (right, bottom) = (int(v) for v in low), (int(v) for v in high)
    if min(right - left, bottom - top) < _SMALLEST:
        return None
    return left, top, right, bottom


class FaceFinder:
    """Finds the mesh of the one face in a crop. Close it, or use it in a ``with``."""

    def __init__(self, *, confidence: float = 0.5) -> None:
        self._confidence = confidence
        self._graph: Any = None

    def find(self, rgb: NDArray[np.uint8]) -> Floats | None:
        """float32 (468, 3): x, y and z in the pixels of ``rgb`` (uint8 (H, W, 3)); None without a face.

        A smaller z is nearer.
        """
        if self._graph is not None:
            return self._process(rgb)
        with without_chatter():
            self._graph = self._load()
            return self._process(rgb)

    def close(self) -> None:
        if self._graph is not None:
            self._graph.close()
            self._graph = None

    def _load(self) -> Any:
        from mediapipe.python.solutions.face_mesh import FaceMesh

        # The refined model sees lids and lips; the plain one hardly knows a blink.
        return FaceMesh(
            static_image_mode=True,
            max_num_faces=1,
            refine_landmarks=True,
            min_detection_confidence=self._confidence,
        )

    def _process(self, rgb: NDArray[np.uint8]) -> Floats | None:
        height, width = rgb.shape[:2]
        # The graph takes its picture for a square.
        side = max(height, width)
        square = cv2.copyMakeBorder(rgb, 0, side - height, 0, side - width, cv2.BORDER_CONSTANT)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning, module="google.protobuf")
            found = self._graph.process(square)
        if not found.multi_face_landmarks:
            return None
        marks = [(mark.x, mark.y, mark.z) for mark in found.multi_face_landmarks[0].landmark[:POINTS]]
        # z is in units of the width, like x.
        return np.array(marks, np.float32) * np.float32(side)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def find_still(rgb: NDArray[np.uint8], joints: Floats) -> Floats | None:
    """float32 (468, 2): the mesh of the face of ``joints`` (33, 4) in a single picture, in its pixels.

    None where no face is found, or one that does not lie where the pose detector has eyes and mouth:
    a mesh that is drawn over a face unlike those it knows puts the mouth on the chin.
    """
    box = head_box(joints, (rgb.shape[1], rgb.shape[0]))
    if box is None:
        return None
    left, top, right, bottom = box
    with FaceFinder() as finder:
        mesh = finder.find(rgb[top:bottom, left:right])
    if mesh is None:
        return None
    found = np.asarray(mesh[:, :2] + np.array([left, top], np.float32), np.float32)
    return found if _agrees(found, joints) and _has_mouth(rgb, found) else None


def _agrees(mesh: Floats, joints: Floats) -> bool:
    height = max(float(np.linalg.norm(mesh[UNDER_NOSE] - mesh[BETWEEN_BROWS])), 1e-6)
    eyes = [mesh[list(lids)].mean(axis=0) for lids in UPPER_LIDS]
    places = np.stack([*eyes, mesh[MOUTH_LEFT], mesh[MOUTH_RIGHT]])
    known = joints[[Joint.LEFT_EYE, Joint.RIGHT_EYE, Joint.MOUTH_LEFT, Joint.MOUTH_RIGHT], :2]
    return bool(np.linalg.norm(places - known, axis=1).max() < _ASTRAY * height)


def _has_mouth(rgb: NDArray[np.uint8], mesh: Floats) -> bool:
    """Whether something like lips is drawn where the mesh has them.

    In a drawn face with a small mouth the mesh puts its own, as wide as people's, on the bare chin.
    """
    right, left = mesh[MOUTH_RIGHT], mesh[MOUTH_LEFT]
    across = (left - right) / _LIPS[0]
    way = np.array([[across[0], -across[1]], [across[1], across[0]]])
    # A little wider than the mouth: at both ends there is cheek to compare with.
    wide, high = _LIPS[0] + 2 * _CHEEK, _LIPS[1]
    corner = (left + right) / 2 - way @ np.array([wide / 2, high / 2])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    patch = cv2.warpAffine(rgb, np.hstack([way, corner[:, None]]), (wide, high), flags=flags)
    lab = cv2.cvtColor(patch, cv2.COLOR_RGB2LAB).astype(np.float32)
    cheeks = np.concatenate([lab[:, : _CHEEK // 2], lab[:, -_CHEEK // 2 :]], axis=1).reshape(-1, 3)
    unlike = np.linalg.norm((lab - np.median(cheeks, axis=0)) * np.array([0.6, 1, 1], np.float32), axis=2)
    # Some pixels of a column, not one: a crease or the codec's noise is no lip.
    darkest = np.sort(unlike[high // 4 : -high // 4, _CHEEK:-_CHEEK], axis=0)[-4]
    return bool((darkest > _LIP_CONTRAST).mean() > _LIP_SHARE)


def signals_of(mesh: Floats) -> Floats:
    """float32 (10,): what ``Face`` names, of a mesh (468, 3); does not depend on its size or place.

    Gaps are measured in space along the face's own axes, so that a turned head does not narrow them.
    The height from brow to chin is taken as twice that from the brows to under the nose (the equal
    thirds of a face): a chin that drops must not shrink the gap it makes.
    """
    points = mesh.astype(np.float64)
    across, down, ahead = _axes(points)
    height = 2 * max(float(np.linalg.norm(points[UNDER_NOSE] - points[BETWEEN_BROWS])), 1e-6)
    corners, lips = points[[MOUTH_LEFT, MOUTH_RIGHT]], points[[UPPER_LIP, LOWER_LIP]]
    signals = np.empty(len(Face), np.float32)
    signals[Face.YAW] = np.arctan2(ahead[0], np.hypot(ahead[1], ahead[2]))
    signals[Face.PITCH] = np.arctan2(ahead[1], -ahead[2])
    signals[Face.ROLL] = np.arctan2(across[1], across[0])
    signals[Face.JAW] = max(0.0, float((lips[1] - lips[0]) @ down)) / height
    signals[Face.WIDE] = np.linalg.norm(corners[0] - corners[1]) / height
    signals[Face.SMILE] = (lips.mean(axis=0) - corners.mean(axis=0)) @ down / height
    for side in (0, 1):
        upper, lower = points[list(UPPER_LIDS[side])], points[list(LOWER_LIDS[side])]
        eye = (upper[[0, -1]] + lower[[0, -1]]).mean(axis=0) / 2
        gap = max(0.0, float(((lower - upper)[3:6] @ down).mean()))
        signals[Face.LEFT_EYE + side] = gap / height
        signals[Face.LEFT_BROW + side] = (eye - points[list(BROWS[side])].mean(axis=0)) @ down / height
    return signals


def _axes(
    points: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors to the picture's right, down the face, and out of it (x, y, z of the picture).

    By what the jaw does not move.
    """
    across = points[LEFT_CHEEK] - points[RIGHT_CHEEK]
    across /= max(float(np.linalg.norm(across)), 1e-6)
    down = points[UNDER_NOSE] - points[FOREHEAD]
    # A nose stands out by a third of the way down to it: the face itself is upright there.
    ahead = np.cross(down, across)
    ahead /= max(float(np.linalg.norm(ahead)), 1e-6)
    down = np.cross(across, ahead)
    return across, down, ahead
