"""Which golden module answers which of my's: by equal names, else as names, order and shapes of
what they give back suggest."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from ait_cmp.dump_tree import is_wrapper
from ait_cmp.isolating.recording import Call, ModuleName, Recording, identities_of

__all__ = ["Partner", "Partners", "are_named_alike", "proposed"]

_ENOUGH = 0.5  # of my's modules that have a partner of their name
_OUT = "/out0"

Partner = tuple[ModuleName, str]  # golden's module, and why it is that


class Partners:
    """Golden's modules by the names of my's, or of those that `proposed` gives."""

    def __init__(
        self, golden: torch.nn.Module, names: Mapping[ModuleName, Partner] | None = None
    ) -> None:
        self._modules = identities_of(golden)
        self._names = {one: (one, "") for one in self._modules} if names is None else names
        mine = {partner: my for my, (partner, _) in self._names.items()}
        self._mine = {id(module): mine.get(name) for name, module in self._modules.items()}

    def of(self, call: Call) -> torch.nn.Module | None:
        """The one that does what `call` did."""
        partner = self._names.get(self._name(call))
        return self._modules.get(partner[0]) if partner else None

    def named(self, name: ModuleName) -> torch.nn.Module | None:
        """Golden's module that stands for that of this name of my's."""
        partner = self._names.get(name) or self._names.get((name[0], ""))
        return self._modules.get(partner[0]) if partner else None

    def inside(self, call: Call) -> Iterator[tuple[Call, torch.nn.Module]]:
        """The calls inside that have a partner, with it, through those that have none."""
        for one in call.inside:
            module = self.of(one)
            if module is not None:
                yield one, module
            else:
                yield from self.inside(one)

    def why(self, call: Call) -> str:
        """Why it is that one, where names do not say so."""
        partner = self._names.get(self._name(call))
        return partner[1] if partner else ""

    def _name(self, call: Call) -> ModuleName:
        """That of the module in a wrapper which golden has not, and in which no hook saw it."""
        key, shell = call.module
        if call.module in self._names or not is_wrapper(shell):
            return call.module
        seen = any(one.module[0] == key for one in call.inside)
        return call.module if seen else (key, "")

    def my_of(self, golden: torch.nn.Module) -> ModuleName | None:
        """How my calls the module that `golden` answers, if it answers any."""
        return self._mine.get(id(golden))


def are_named_alike(golden: torch.nn.Module, my: Recording) -> bool:
    """Whether most of my's modules that were called have a golden one of their name."""
    partners = Partners(golden)
    called = {call.module: call for call in my.calls}
    known = [call for call in called.values() if partners.of(call) is not None]
    return len(known) >= _ENOUGH * len(called)


def proposed(golden: Recording, my: Recording) -> dict[ModuleName, Partner]:
    """Golden's modules by the names of my's, as those of two dumps are paired."""
    # Late, since a script whose names are alike has no need of all this.
    from ait_cmp.mapping.layouts.ranks import DumpedTensor, RankDump
    from ait_cmp.mapping.pairing import propose

    modules: list[dict[str, ModuleName]] = []
    sides: list[RankDump] = []
    with tempfile.TemporaryDirectory(prefix="ait_isolate") as folder:
        for side, recording in (("golden", golden), ("my", my)):
            named: dict[str, ModuleName] = {}
            listed = []
            for number, call in enumerate(recording.calls):
                name = f"{call.owner}{_OUT}"
                held = dict(call.outputs).get("out0")
                if held is None or name in named or not any(call.module):
                    continue
                named[name] = call.module
                file = Path(folder, f"{side}{number}.pth")
                torch.save(torch.empty(held.tensor.shape, dtype=held.dtype), file)
                listed.append(DumpedTensor(name, 0, str(file)))
            modules.append(named)
            sides.append(RankDump(side, None, listed))
        found = propose(golden=[sides[0]], my=[sides[1]])
    partners: dict[ModuleName, Partner] = {("", ""): (("", ""), "")}  # the models themselves
    for match in found.matches:
        if len(match.golden) == len(match.my) == 1 and not (match.golden_steps or match.my_steps):
            theirs, mine = match.golden[0].name.text, match.my[0].name.text
            partners[modules[1][mine]] = modules[0][theirs], match.by
    return partners
