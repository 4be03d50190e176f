"""Several ranks, one process a device, that train one net together: what they exchange.

Each rank takes its share of every global batch. Gradients, loss and batch statistics are averaged
within the step, so that weights and all other state are equal on every rank, bit for bit.
"""

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from mindspore import ParameterTuple, Tensor, nn, ops
from mindspore import dtype as mstype


@dataclass(frozen=True)
class Ranks:
    """This process's place among the ranks of a run; alone, nothing is exchanged.

    Every method is for all ranks, in the same order. On the CPU a rank that another one keeps
    waiting for 30 seconds gives up (a constant of MindSpore 2.8) and raises RuntimeError.
    """

    rank: int = 0
    size: int = 1

    @property
    def alone(self) -> bool:
        return self.size == 1

    @property
    def leads(self) -> bool:
        """Whether this rank decides, writes and prints for all."""
        return self.rank == 0

    def agree(self, flag: bool) -> bool:
        """Whether ``flag`` is set on any rank."""
        if self.alone:
            return flag
        return bool(ops.AllReduce()(Tensor(np.array([flag], np.float32))).asnumpy()[0] > 0)

    def tell(self, message: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The first rank's ``message``, plain JSON values, on every rank."""
        return json.loads(self._broadcast(json.dumps(message).encode() if self.leads else b""))

    def share(self, cell: nn.Cell) -> None:
        """Give every parameter of ``cell`` its value on the first rank."""
        parameters = list(cell.get_parameters())
        values = [parameter.asnumpy() for parameter in parameters]
        content = self._broadcast(b"".join(value.tobytes() for value in values))
        start = 0
        for parameter, value in zip(parameters, values, strict=True):
            flat = np.frombuffer(content, value.dtype, value.size, start)
            parameter.set_data(Tensor(flat.reshape(value.shape).copy()))
            start += value.nbytes

    def concatenate(self, rows: np.ndarray) -> np.ndarray:
        """The float32 rows (n,k) of all ranks, (size n,k), in the order of the ranks; n and k are
        equal on all."""
        return rows if self.alone else ops.AllGather()(Tensor(rows)).asnumpy()

    def in_shares(
        self, answer: Callable[[np.ndarray], np.ndarray], images: np.ndarray
    ) -> np.ndarray:
        """``answer(images)``, float32 (N,k) of (N,...), to which each rank contributes a part of
        the rows; exactly N rows on every rank."""
        if self.alone:
            return answer(images)
        share = -(-len(images) // self.size)
        mine = answer(images[self.rank * share : (self.rank + 1) * share])
        padded = np.zeros((share, mine.shape[1]), np.float32)
        padded[: len(mine)] = mine
        return self.concatenate(padded)[: len(images)]

    def _broadcast(self, content: bytes) -> bytes:
        """The first rank's ``content`` on every rank."""
        count = int(_from_first(_words(len(content).to_bytes(8, "little"))).view(np.int64)[0])
        mine = _words(content) if self.leads else np.zeros(-(-count // 2), np.uint16)
        return _from_first(mine).tobytes()[:count]


ALONE = Ranks()


def _words(content: bytes) -> np.ndarray:
    """Pairs of bytes as uint16, a zero added to the last where it is alone."""
    return np.frombuffer(content + b"\0" * (len(content) % 2), np.uint16)


def _from_first(words: np.ndarray) -> np.ndarray:
    """The first rank's words, uint16, on every rank; equally many on all. They travel as float32,
    which holds them all: MindSpore 2.8 broadcasts no bytes on the CPU, and int64 wrongly."""
    sent = ops.Broadcast(0)((Tensor(words.astype(np.float32)),))[0]
    return sent.asnumpy().astype(np.uint16)


class JoinError(Exception):
    """The ranks have not found each other."""


def join() -> Ranks:
    """Find the other ranks, which MindSpore's environment variables tell of; the device must be
    selected before. In the scheduler's process it returns when all ranks have ended.

    Raises:
        JoinError: they did not all come, or the scheduler's port is in use.
    """
    from mindspore import communication

    try:
        communication.init()
    except RuntimeError as error:
        reason = str(error).partition(". ")[0]
        raise JoinError(f"the ranks have not found each other: {reason}") from error
    return Ranks(communication.get_rank(), communication.get_group_size())


class Vote:
    """Whether to stop, agreed on in each step: any rank may ask for it, and all stop after it."""

    def __init__(self):
        self.asked: Callable[[], bool] = lambda: False
        self._votes: Tensor | None = None

    def ballot(self) -> Tensor:
        """This rank's part of the step's input: 1 to stop, else 0."""
        return Tensor(np.array([self.asked()], np.float32))

    def count(self, votes: Tensor) -> None:
        """Take the sum of all ballots, which is fetched when it is asked for."""
        self._votes = votes

    def passed(self) -> bool:
        """Whether the last step's ballots asked to stop; equal on all ranks."""
        return self._votes is not None and bool(self._votes.asnumpy()[0] > 0)


class Across(nn.Cell):
    """Loss and gradients of this rank -> their means over all ranks.

    The batch statistics of ``network`` become their means as well: each rank has normalised by
    those of its own share. One AllReduce carries all of it.
    """

    def __init__(self, network: nn.Cell, size: int):
        super().__init__(auto_prefix=False)
        moving = ("moving_mean", "moving_variance")
        found = [p for p in network.get_parameters() if p.name.endswith(moving)]
        self.statistics = ParameterTuple(found)
        sizes = [1, *(p.size for p in (*network.trainable_params(), *found))]
        self.ends = tuple(itertools.accumulate(sizes, initial=0))  # of each value in the exchange
        self.size = size
        self.sum = ops.AllReduce()
        self.vote = Vote()

    def construct(self, loss, gradients):
        # Read after the forward pass, which has moved them.
        statistics = tuple([ops.depend(moved, loss) + 0.0 for moved in self.statistics])
        values = (ops.reshape(loss, (1,)), *gradients, *statistics)
        flat = [ops.reshape(ops.cast(value, mstype.float32), (-1,)) for value in values]
        means = self.sum(ops.concat(flat)) / self.size
        ends = self.ends
        averaged = [
            ops.cast(ops.reshape(means[ends[i] : ends[i + 1]], value.shape), value.dtype)
            for i, value in enumerate(values)
        ]
        count = len(gradients) + 1
        loss = ops.reshape(averaged[0], ())
        for i, moved in enumerate(self.statistics):
            loss = ops.depend(loss, ops.assign(moved, averaged[count + i]))
        return loss, tuple(averaged[1:count])

    def all(self, flag):
        """Whether ``flag``, a scalar, is set on every rank."""
        missing = ops.reshape(ops.cast(ops.logical_not(flag), mstype.float32), (1,))
        return ops.reshape(self.sum(missing), ()) == 0.0

    def votes(self, loss, ballot):
        """The sum of all ballots (1,), counted after ``loss``: the order of two exchanges must be
        the same on every rank."""
        return self.sum(ops.depend(ballot, loss))
