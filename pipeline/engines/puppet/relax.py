"""As-rigid-as-possible deformation: limbs that bend as cloth and flesh do, not as the skin's formula says.

After Sorkine and Alexa: As-Rigid-As-Possible Surface Modeling (2007), in the plane, where a turn is a
complex number: each node's best turn is found (local), then all places at once (global). The system
is factored once a character. Every frame begins at its own skinned pose, never at the frame before
it, so it is the same in whatever segment it is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import splu

from pipeline.engines.puppet.mesh import GridMesh
from pipeline.engines.puppet.signals import Values, ramp
from pipeline.engines.puppet.skin import Plane, Pose, Skin

#: Local and global steps a frame.
_STEPS = 2
#: How firmly a node is held where its skin is: on a bone, at the limb's surface (an edge weighs 1),
#: and on hands and feet.
_HELD, _FREE = 8.0, 0.02
_STIFF = 12.0
#: Half as firm so far from the bone, in the limb's reaches.
_CORE = 0.3
#: The middle of a joint, and how far around it flesh is brought along with it, in the limb's reaches.
_MIDDLE, _ALONG = 0.6, 2.0


@dataclass(frozen=True, slots=True)
class Part:
    """One layer of a limb, as far as this module cares."""

    #: Made from a lattice that all layers share.
    mesh: GridMesh
    skin: Skin


class Relaxation:
    """The limbs of one character; layers of a limb are one where they meet at its joint."""

    def __init__(self, parts: Mapping[str, Part]) -> None:
        self._parts = {name: part for name, part in parts.items() if part.skin.chain}
        self._nodes: dict[str, NDArray[np.int64]] = {}
        self._count = 0
        for limb in _limbs(self._parts):
            self._number(limb)
        if not self._count:
            return
        self._share = 1 / np.bincount(np.concatenate(list(self._nodes.values())), minlength=self._count)
        start, stop, owner = self._edges()
        self._edge_rest = np.concatenate(
            [part.skin.at[start[name]] - part.skin.at[stop[name]] for name, part in self._parts.items()]
        )
        self._edge_axis = np.concatenate([np.full(len(start[name]), axis) for name, axis in owner.items()])
        self._edge_counts = [len(start[name]) for name in self._parts]
        tail = np.concatenate([self._nodes[name][start[name]] for name in self._parts])
        head = np.concatenate([self._nodes[name][stop[name]] for name in self._parts])
        edges = np.arange(len(tail))
        one, shape = np.ones(len(tail)), (self._count, len(tail))
        #: Nodes by edges: what leaves a node, less what comes in; and both counted alike.
        self._out = csr_matrix((one, (tail, edges)), shape) - csr_matrix((one, (head, edges)), shape)
        self._touch = abs(self._out)
        self._mean = 0.5 * self._touch.T.tocsr()
        self._hold = self._to_nodes({name: _firmness(part.skin) for name, part in self._parts.items()}).real
        self._factor = splu((self._out @ self._out.T + diags(self._hold)).tocsc())
        self._middle, self._along = self._joints()

    def __call__(self, skinned: dict[str, Plane], pose: Pose) -> dict[str, Plane]:
        """``skinned`` places of all layers with those of the limbs relaxed."""
        if not self._count:
            return skinned
        held = self._to_nodes(skinned)
        at = held
        rest = self._stretched(pose)
        for _ in range(_STEPS):
            edges = self._out.T @ at
            turn = self._touch @ (edges * np.conj(rest))
            turn = turn / np.maximum(np.abs(turn), 1e-9)
            wanted = self._out @ ((self._mean @ turn) * rest) + self._hold * held
            solved = self._factor.solve(np.stack([wanted.real, wanted.imag], axis=1))
            at = solved[:, 0] + 1j * solved[:, 1]
        # Flesh that is free draws a bent joint towards the inside of its bend: the joint goes back.
        at = at - self._along @ (self._middle @ (at - held))
        return skinned | {name: at[nodes] for name, nodes in self._nodes.items()}

    def _number(self, limb: Sequence[str]) -> None:
        """Give the vertices of a limb's layers their nodes: the same where layers meet at a joint."""
        known: dict[tuple[int, int], int] = {}
        for i, name in enumerate(limb):
            part = self._parts[name]
            near = part.skin.near_joint if len(limb) > 1 else np.zeros(len(part.mesh.lattice), np.bool_)
            nodes = np.empty(len(part.mesh.lattice), np.int64)
            for vertex, (place, joined) in enumerate(zip(part.mesh.lattice.tolist(), near, strict=True)):
                key = (place[0], place[1])
                if i and joined and key in known:
                    nodes[vertex] = known[key]
                    continue
                nodes[vertex] = self._count
                self._count += 1
                if not i and joined:
                    known[key] = int(nodes[vertex])
            self._nodes[name] = nodes

    def _edges(
        self,
    ) -> tuple[dict[str, NDArray[np.int64]], dict[str, NDArray[np.int64]], dict[str, complex]]:
        """Each layer's edges as two ends, and the direction of its bone."""
        start, stop, axis = {}, {}, {}
        for name, part in self._parts.items():
            sides = np.concatenate([part.mesh.triangles[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))])
            unique = np.unique(np.sort(sides, axis=1), axis=0).astype(np.int64)
            start[name], stop[name] = unique[:, 0], unique[:, 1]
            axis[name] = part.skin.bone_axis
        return start, stop, axis

    def _joints(self) -> tuple[csr_matrix, csr_matrix]:
        """For each elbow and knee: the mean over its middle's nodes; and how far each node goes with it."""
        middle, along = [], []
        for limb in _limbs(self._parts):
            skins = [self._parts[name].skin for name in limb if len(self._parts[name].skin.chain) > 2]
            near, around = np.zeros(self._count), np.zeros(self._count)
            for name, skin in zip(limb, skins, strict=False):
                away = np.abs(skin.at - skin.rest[skin.chain[1]]) / skin.reach
                near[self._nodes[name]] = away < _MIDDLE
                around[self._nodes[name]] = ramp(-away, -_ALONG, -_MIDDLE)
            if near.any():
                middle.append(near / near.sum())
                along.append(around)
        shape = (len(middle), self._count)
        return (
            csr_matrix(np.reshape(middle, shape)),
            csr_matrix(np.reshape(along, shape).T),
        )

    def _to_nodes(self, values: Mapping[str, Plane | Values]) -> Plane:
        """The mean over each node's vertices."""
        total = np.zeros(self._count, np.complex128)
        for name, nodes in self._nodes.items():
            np.add.at(total, nodes, values[name])
        return total * self._share

    def _stretched(self, pose: Pose) -> Plane:
        """The edges at rest, but as long as the pose wants its bones: a foreshortened limb is no bent one."""
        stretch = np.repeat([part.skin.stretch(pose) for part in self._parts.values()], self._edge_counts)
        along = (self._edge_rest * np.conj(self._edge_axis)).real
        across = (self._edge_rest * np.conj(self._edge_axis)).imag
        return np.asarray(self._edge_axis * (stretch * along + 1j * pose.scale * across), np.complex128)


def _limbs(names: Mapping[str, Part]) -> list[list[str]]:
    """Layers by limb, from the trunk outwards."""
    limbs = [[f"{side}_{part}" for part in limb] for side in ("left", "right") for limb in _LIMBS]
    return [found for limb in limbs if (found := [name for name in limb if name in names])]


_LIMBS = (("upper_arm", "forearm"), ("thigh", "shin"))


def _firmness(skin: Skin) -> Values:
    """How firmly each vertex is held: along the bones, and where the limb is set into the trunk."""
    away = skin.from_bones / (_CORE * skin.reach)
    held = np.clip(np.exp(-(away**2)) + (1 - skin.weights[0]), 0, 1)
    # Hands and feet do not bend; what closes a hand is done by its skin.
    stiff = skin.weights[2] if len(skin.weights) > 2 else 0.0
    return np.asarray(_FREE + _HELD * held + _STIFF * stiff, np.float64)
