"""What the first rank of a run on several devices tells the others: it decides, writes and prints
for all, and they take the same steps. `training/follower.py` hears it. Alone, nothing is told.
"""

from dataclasses import asdict

from ferspore.network.parallel import Ranks
from ferspore.run.asked import Decision
from ferspore.run.progress import Progress
from ferspore.training.setup import Setup

EXIT_CODE = "exit code"


def summon(ranks: Ranks, decision: Decision, sha256: str) -> None:
    """What is to be set up; ``sha256`` is that of the CSV."""
    if not ranks.alone:
        config = decision.config.to_dict()
        ranks.tell({"action": decision.action, "config": config, "sha256": sha256})


def hand_over(setup: Setup, progress: Progress) -> None:
    """The state from which the run goes on, tensors included."""
    if not setup.ranks.alone:
        digests = [teacher.sha256 for teacher in setup.teachers]
        setup.ranks.tell({"progress": asdict(progress), "teachers": digests})
        setup.ranks.share(setup.step)


def dismiss(ranks: Ranks, code: int) -> None:
    """The exit code, with which all end."""
    if not ranks.alone:
        ranks.tell({EXIT_CODE: code})
