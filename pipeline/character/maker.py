"""The reference stage: a picture becomes a character."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.character.body import survey
from pipeline.character.cutout import pure_colors
from pipeline.character.layers import build_layers, continue_below
from pipeline.character.matting import cut_out
from pipeline.character.model import Character
from pipeline.character.paper import figure_on_paper
from pipeline.character.parts import label_parts
from pipeline.character.picture import read_picture
from pipeline.character.silhouette import joints_of_silhouette
from pipeline.character.skeleton import Floats, Point, body_unit, facing, points_of
from pipeline.errors import NoCharacter
from pipeline.perception.sides import mirrored
from pipeline.perception.tracks import BONES, Joint

if TYPE_CHECKING:
    from pipeline.perception.still import Found

#: Pixels of the picture kept around the character.
_AIR = 8
#: From shoulders to ears it is at least so far, in body units; and surely a head on its neck from so far on.
_NECK, _CLEAR_NECK = 0.3, 0.42
#: Air left and right of the picture in each look, in its longer sides.
_LOOKS = (0.0, 0.2, 0.35)
#: The trunks of one body in two looks are no farther apart, in body units.
_SAME_BODY = 0.6
#: Elbow, wrist and fingers of each arm.
_ARMS = (
    [Joint.LEFT_ELBOW, Joint.LEFT_WRIST, Joint.LEFT_PINKY, Joint.LEFT_INDEX, Joint.LEFT_THUMB],
    [Joint.RIGHT_ELBOW, Joint.RIGHT_WRIST, Joint.RIGHT_PINKY, Joint.RIGHT_INDEX, Joint.RIGHT_THUMB],
)


def make_character(picture: Path) -> Character:
    """The character in a picture, cut out and in layers.

    The file's own alpha is used where it has one. Raises ``NoCharacter`` where nobody is found,
    ``UnsupportedFormat``, ``Unreadable`` or ``OutOfLimits`` where there is no picture to look at.
    """
    rgb, given = read_picture(picture)
    cut = None if given is None else np.asarray(given, np.float32) / 255
    person = _person(rgb, cut)
    found = person or _drawing(rgb, cut)
    if found is None:
        raise NoCharacter("No character was found in the picture.")
    alpha, joints = found
    alpha = _on_skeleton(alpha, joints)
    if not (alpha > 0.5).any():
        raise NoCharacter("No character was found in the picture.")
    rgb, alpha, joints = _cropped(rgb, alpha, joints)
    colors = pure_colors(rgb, alpha)
    # A pen's line runs from part to part, and along it there is no edge: it says nothing of their borders.
    guide = colors if person else np.full_like(colors, 128)
    return _assemble(colors, guide, alpha, joints)


def _person(rgb: NDArray[np.uint8], given: Floats | None) -> tuple[Floats, Floats] | None:
    """Alpha and joints of somebody whom the detector of people sees."""
    # Behind alpha there may be anything: nothing must be found there.
    shown = rgb if given is None else _over_gray(rgb, given)
    found = _look(shown)
    if found is None:
        return None
    again = _look(np.ascontiguousarray(shown[:, ::-1]))
    joints = found.joints if again is None else _surer_arms(found.joints, again.joints, shown.shape[1])
    joints = mirrored(joints) if float(facing(joints)) < 0 else joints
    if given is None:
        return cut_out(rgb, found.mask, joints, found.others), joints
    return given if found.others is None else np.where(found.others, np.float32(0), given), joints


def _drawing(rgb: NDArray[np.uint8], given: Floats | None) -> tuple[Floats, Floats] | None:
    """Alpha and joints of a figure that only its outline shows."""
    alpha = figure_on_paper(rgb) if given is None else given
    joints = None if alpha is None else joints_of_silhouette(alpha)
    return None if alpha is None or joints is None else (alpha, joints)


def _look(rgb: NDArray[np.uint8]) -> Found | None:
    """The person in a picture, looked at with more and more air around it until their head is clear
    of their shoulders.

    In a drawn head that fills its picture, detectors see a small crouching body.
    """
    # Loads mediapipe, which takes seconds and is of no use to those who only draw characters.
    from pipeline.perception.still import Found, find_person

    best: Found | None = None
    for air in _LOOKS:
        edge = round(air * max(rgb.shape[:2]))
        border = [float(v) for v in np.median(rgb[0], axis=0)]
        wide = cv2.copyMakeBorder(rgb, 0, 0, edge, edge, cv2.BORDER_CONSTANT, value=border)
        found = find_person(np.asarray(wide, np.uint8))
        if found is None:
            break  # it has looked with air on all sides itself
        if _neck(found.joints) < _NECK:
            continue
        joints = found.joints.copy()
        joints[:, 0] -= edge
        inner = np.s_[:, edge : edge + rgb.shape[1]]
        others = None if found.others is None else np.ascontiguousarray(found.others[inner])
        found = Found(joints, np.ascontiguousarray(found.mask[inner]), others)
        if best is None or _neck(joints) > _neck(best.joints):
            best = found
        if _neck(joints) > _CLEAR_NECK:
            break
    return best


def _neck(joints: Floats) -> float:
    """How far it is from the shoulders to the ears, in body units."""
    points = points_of(joints)
    return float(np.linalg.norm(points[Point.HEAD, :2] - points[Point.NECK, :2])) / body_unit(points)


def _surer_arms(joints: Floats, flipped: Floats, width: int) -> Floats:
    """``joints`` with each arm as the surer of two looks saw it, at the picture and at its mirror image.

    Arms folded before the body are what a detector misses most; its errors there differ from look to look.
    """
    other = mirrored(flipped)
    other[:, 0] = width - 1 - other[:, 0]
    best = joints.copy()
    trunk = [Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER, Joint.LEFT_HIP, Joint.RIGHT_HIP]
    apart = float(np.linalg.norm((joints - other)[trunk, :2], axis=1).max())
    if apart > _SAME_BODY * body_unit(points_of(joints)):
        return best  # the mirror image showed somebody else, or nothing that can be trusted
    for arm in _ARMS:
        if other[arm, 3].sum() > joints[arm, 3].sum():
            best[arm] = other[arm]
    return best


def _cropped(
    rgb: NDArray[np.uint8], alpha: Floats, joints: Floats
) -> tuple[NDArray[np.uint8], Floats, Floats]:
    """The part of the picture that the character is in."""
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    top, left = max(0, int(rows[0]) - _AIR), max(0, int(columns[0]) - _AIR)
    inner = np.s_[top : int(rows[-1]) + 1 + _AIR, left : int(columns[-1]) + 1 + _AIR]
    moved = joints.copy()
    moved[:, :2] -= (left, top)
    return np.ascontiguousarray(rgb[inner]), np.ascontiguousarray(alpha[inner]), moved


def _assemble(rgb: NDArray[np.uint8], guide: NDArray[np.uint8], alpha: Floats, joints: Floats) -> Character:
    """The character's parts are told apart by the edges of ``guide``."""
    height, width = alpha.shape
    points = points_of(joints)
    body = survey(points, alpha)
    cut = None
    if not body.legs and (alpha[-3:].min(axis=0) > 0.5).mean() > 0.05:
        cut = height
        guide, _ = continue_below(guide, alpha, points, body.unit)
        rgb, alpha = continue_below(rgb, alpha, points, body.unit)
    parts = label_parts(guide, alpha, body, joints)
    if "torso" not in parts or "head" not in parts:
        raise NoCharacter("The character's head and body cannot be told apart.")
    layers = build_layers(rgb, alpha, parts, body)
    return Character((width, height), joints, layers, cut, _face(rgb, alpha, joints))


def _face(rgb: NDArray[np.uint8], alpha: Floats, joints: Floats) -> Floats | None:
    """The mesh (468, 2) of the character's face, or None."""
    from pipeline.perception.face import find_still

    return find_still(_over_gray(rgb, alpha), joints)


def _over_gray(rgb: NDArray[np.uint8], alpha: Floats) -> NDArray[np.uint8]:
    share = alpha[..., None]
    return np.asarray(np.rint(rgb * share + 150 * (1 - share)), np.uint8)


def _on_skeleton(alpha: Floats, joints: Floats) -> Floats:
    """Drop the blobs of ``alpha`` that the skeleton does not touch: other people, birds, noise."""
    solid = np.asarray(alpha > 0.1, np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=8)
    if count == 1:
        return alpha
    bones = np.zeros(solid.shape, np.uint8)
    thick = max(3, round(0.02 * alpha.shape[0]))
    for a, b in BONES:
        start, stop = ([int(v) for v in np.clip(joints[p, :2], -1e4, 1e4)] for p in (a, b))
        cv2.line(bones, start, stop, [1], thick)
    keep = np.zeros(count, bool)
    keep[np.unique(labels[(bones > 0) & (solid > 0)])] = True
    if not keep.any():
        keep[1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))] = True
    return np.asarray(np.where(keep[labels], alpha, 0), np.float32)
