"""One side of a couple, in the process that is dumped: what a build works with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Side", "Spec", "launch"]


@dataclass(frozen=True)
class Spec:
    """What is run, as it goes to the process; `tool` is what dumps it."""

    build: str
    family: str
    folder: str
    seed: int = 0
    fault: bool = False
    tool: str = "ait"
    rounds: str = "0,1"
    ranks: int = 1
    options: dict[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        """As an argument of the process, the same for the same spec."""
        return json.dumps(asdict(self), sort_keys=True)


class Side:
    """A model that is tagged, watched and run, round by round."""

    def __init__(self, spec: Spec) -> None:
        from pairing.tap import Tap

        self.spec = spec
        self.folder = Path(spec.folder)
        self.tap = Tap(int(os.environ.get("RANK", "0")), spec.ranks)

    def prompt(self) -> Any:
        """What the model reads."""
        from pairing.models import prompt

        return prompt(self.spec.family, self.spec.seed)

    def start(self, model: Any) -> AbstractContextManager[Any]:
        """Plant the fault if there is to be one, watch, and begin to dump; call it each round."""
        from pairing.tools import TOOLS

        if self.spec.fault:
            self.tap.plant(self.spec.seed)
        self.tap.watch()
        tool = TOOLS.get(self.spec.tool)
        return tool(model, self.folder) if tool else nullcontext(lambda: None)

    def rounds(self) -> Iterator[Any]:
        """The ids of every round, [1, S]; the tap knows which it is."""
        import torch

        prompt = self.prompt()
        for number, ids in enumerate(
            [prompt.ids, *(torch.tensor([[x]]) for x in prompt.following)]
        ):
            self.tap.round = number
            yield ids


def launch(text: str) -> None:
    """Run a spec in this process, or, of several ranks, each in one of its own."""
    spec = Spec(**json.loads(text))
    if spec.ranks == 1 or "RANK" in os.environ:
        _run(spec)
        return
    store = Path(spec.folder, "store").absolute()
    store.unlink(missing_ok=True)
    environ = {"WORLD_SIZE": str(spec.ranks), "INIT": f"file://{store}"}
    children = [
        subprocess.Popen(
            [sys.executable, *sys.argv],
            env={**os.environ, **environ, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(spec.ranks)
    ]
    if sum(child.wait() for child in children):
        raise SystemExit("a rank failed")


def _run(spec: Spec) -> None:
    import torch

    from pairing.builds import BUILDS

    torch.manual_seed(spec.seed)
    torch.set_num_threads(1)
    side = Side(spec)
    if spec.ranks > 1:
        torch.distributed.init_process_group(
            "gloo", os.environ["INIT"], rank=side.tap.rank, world_size=spec.ranks
        )
    with torch.no_grad():
        BUILDS[spec.build](side, **spec.options)
    side.tap.write(side.folder)
    if spec.ranks > 1:
        torch.distributed.destroy_process_group()
