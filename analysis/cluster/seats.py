"""Which nodes of a cluster get a worker, and how many: plain rules over what Ray says of its nodes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from analysis.errors import UserError

LABEL = "ATTUNE_WORKER_LABEL"
"""The environment's name for the label of the nodes that have workers, and hands."""


@dataclass(frozen=True)
class Node:
    """A live node: its id at Ray, its ``host`` name and ``address`` in the network, its GPUs and cores, its labels."""

    id: str
    host: str
    address: str
    gpus: float = 0.0
    cpus: float = 0.0
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Seat:
    """A worker that a node is to have: the ``number``-th there, with ``gpus`` of its GPUs. ``why``: not "" where the
    node has none, and then the reason. ``name``: of its place."""

    node: Node
    number: int
    gpus: float
    why: str = ""
    name: str = ""

    @property
    def id(self) -> str:
        """Unique among all seats that ever were."""
        return f"{self.node.id}.{self.number}"


def label_of(text: str) -> tuple[str, str] | None:
    """A label as it is typed, such as "room=lab"; None for "". UserError for anything else."""
    if not text.strip():
        return None
    name, equals, value = text.partition("=")
    if not (equals and name.strip() and value.strip()):
        raise UserError(f"{text!r} is no label of nodes, such as room=lab.", "worker_label")
    return name.strip(), value.strip()


def seats(
    nodes: Iterable[Node],
    gpus: float | None = None,
    label: tuple[str, str] | None = None,
    kept: Collection[str] = (),
) -> list[Seat]:
    """The workers that nodes are to have, and the nodes without one, each with the reason.

    ``gpus``: of each worker; None: one worker a node, with all of its GPUs. ``label``: which nodes alone get workers.
    A node without GPUs gets none where others have some, or where a worker is to have some; those in ``kept`` (by their
    id) keep the one that they had before others came.
    """
    listed = sorted(nodes, key=lambda node: (node.host, node.id))
    able = [node for node in listed if label is None or label in node.labels]
    some = any(node.gpus > 0 for node in able)
    found = []
    for node in listed:
        if label is not None and node not in able:
            found.append(Seat(node, 0, 0.0, f"No worker: the node has no label {label[0]}={label[1]}."))
        elif some and node.gpus <= 0 and node.id not in kept:
            found.append(Seat(node, 0, 0.0, "No worker: the node has no GPU, and others have."))
        elif gpus is None or gpus <= 0:
            found.append(Seat(node, 1, node.gpus if gpus is None else 0.0))
        elif node.gpus < gpus:
            found.append(
                Seat(node, 0, 0.0, f"No worker: one is to have {gpus:g} GPUs, and the node has {node.gpus:g}.")
            )
        else:
            found += [Seat(node, number + 1, gpus) for number in range(int(node.gpus // gpus))]
    return found


def named(wanted: Iterable[Seat], names: dict[str, str]) -> list[Seat]:
    """The seats with the names of their places: those in ``names`` (by :attr:`Seat.id`) keep theirs, and each other one
    gets its host's, with a number where that is taken. ``names`` is brought up to date."""
    wanted = list(wanted)
    ids = {seat.id for seat in wanted}
    for old in [known for known in names if known not in ids]:
        del names[old]
    for seat in wanted:
        if seat.id in names:
            continue
        host = re.sub(r"[^a-z0-9-]+", "-", seat.node.host.lower()).strip("-")[:40] or "node"
        taken, name, count = set(names.values()), host, 1
        while name in taken:
            count += 1
            name = f"{host}-{count}"
        names[seat.id] = name
    return [replace(seat, name=names[seat.id]) for seat in wanted]
