"""One model watched beside another: what each module of both gives back, judged at once."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from ait_cmp.dump.hooks import Hook, recording
from ait_cmp.dump.identity import ModuleIdentity, module_identities
from ait_cmp.dump.recorder import Recorder
from ait_cmp.dump.running import enclosing_forward, frames_to, is_recomputed
from ait_cmp.engine.measured import Measured
from ait_cmp.engine.request import Wanted
from ait_cmp.engine.tensor_pair import measure_tensors
from ait_cmp.values.errors import PairError, Reason, UsageError
from ait_cmp.values.location import Location
from ait_cmp.values.pair import Pair
from ait_cmp.watching.arguments import Arguments, Home
from ait_cmp.watching.outputs import REQUEST, Key, Look, Sides, Sink, Take, named
from ait_cmp.watching.thread_state import in_this_state
from ait_cmp.watching.training_flags import TrainingFlags
from ait_cmp.watching.twin import Appeared, Twin

__all__ = ["Watch"]


@dataclass(slots=True)
class _Call:
    """A call of a module of my by the script, and what of golden waits for my to have the like."""

    module: torch.nn.Module
    token_id: int
    prefix: str  # of the names of its tensors
    thread: threading.Thread = field(default_factory=threading.current_thread)
    ended: bool = False
    why_not: str = ""  # golden is not run
    failed: str = ""  # by what my ended
    fed: tuple[int, ...] = ()  # the shape of the token ids that it reads
    waiting: dict[Key, torch.Tensor] = field(default_factory=dict)
    seen: set[Key] = field(default_factory=set)
    golden_seen: set[Key] = field(default_factory=set)

    @property
    def is_of_another(self) -> bool:
        """Whether it began in another thread."""
        return self.thread is not threading.current_thread()


class _Recorder(Recorder):
    """That of one of both models: what is compiled in the other's thread is not of it."""

    def __init__(self, modules: Collection[int], look: Look, is_here: Callable[[], bool]) -> None:
        super().__init__(REQUEST, modules, lambda _: Sink(look))
        self._is_here = is_here

    def tell_compiled(self) -> None:
        """Something is being compiled in this thread."""
        if self._is_here():
            super().tell_compiled()


class Watch:
    """Goes along with the calls of `my`, has `golden` run beside it, and hands each pair to `take`.

    Raises UsageError where both are one.
    """

    def __init__(
        self,
        *,
        golden: torch.nn.Module,
        my: torch.nn.Module,
        wanted: Wanted,
        take: Take,
        ignore_unpaired: bool = False,
    ) -> None:
        modules = {id(one) for one in my.modules()}
        if any(id(one) in modules for one in golden.modules()):
            raise UsageError(
                "golden and my have modules in common, whose calls cannot be told apart; make one "
                "of the two anew, or with copy.deepcopy"
            )
        self._golden, self._my = golden, my
        self._wanted, self._take, self._ignore_unpaired = wanted, take, ignore_unpaired
        self._twin = Twin(golden)
        self._homes = {"golden": Home.of(golden), "my": Home.of(my)}
        self._arguments = Arguments(**self._homes)
        self._identities = module_identities(my)
        known = module_identities(golden)
        # Of several that are called alike, the outermost.
        self._counterparts = {known[id(one)]: one for one in reversed([*golden.modules()])}
        self._rounds: dict[str, int] = {}
        self._order = 0
        self._call: _Call | None = None
        self._modules = modules
        self._lock = threading.Lock()  # of who may call next
        self._recorder = _Recorder(modules, self._look, lambda: not self._twin.is_here())

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While this holds, calls are gone along with."""
        known = {id(one) for one in self._golden.modules()}
        golden = _Recorder(known, self._show, self._twin.is_here)
        self._flags = TrainingFlags(self._golden, self._my)
        handles, begin, end = [], Hook(self._begin), Hook(self._end)
        for module in self._my.modules():
            if not isinstance(module, torch.jit.ScriptModule):  # which takes no hooks
                handles.append(module.register_forward_pre_hook(begin, with_kwargs=True))
                handles.append(module.register_forward_hook(end, always_call=True))
        try:
            with recording(self._golden, golden), recording(self._my, self._recorder):
                yield
            self._leave()
        except Exception:  # of the script: what my did not come to is missing
            self._leave()
            raise
        finally:
            for handle in handles:
                handle.remove()
            self._twin.close()
            self._flags.put_back()

    def _begin(self, module: torch.nn.Module, args: Any, kwargs: Mapping[str, Any]) -> None:
        """A module of my begins: called by the script, if in none of them."""
        if torch.compiler.is_compiling() or is_recomputed():
            return
        caller = sys._getframe(1)
        if self._recorder.is_inside(caller):
            return
        # A forward that the script calls itself runs no hook, but is what the call is of.
        around = enclosing_forward(module, frames_to(caller), self._modules)
        call = self._next(around.module if around else module)
        if call is None:
            self._recorder.warn("my runs in several threads at once, of which one is watched")
            return
        if self._twin.given_up:
            call.why_not = self._twin.given_up
            return
        if around:
            kind = type(around.module).__name__
            call.why_not = (
                f"the script calls {kind}.forward, which tells no arguments: let it call the "
                "module itself"
            )
            return
        identity = self._identities.get(id(module), ModuleIdentity(""))
        golden = self._golden if module is self._my else self._counterparts.get(identity)
        if golden is None:
            call.why_not = f"golden has no {identity.key}, which the script calls by itself"
            return
        try:
            given, named = self._arguments.of(args, kwargs)
        except Exception as exc:
            kind = type(exc).__name__
            call.why_not = f"golden cannot be given what my is ({kind}: {exc})"
            return
        self._flags.follow()
        call.fed = _fed(args, kwargs)
        self._twin.start(in_this_state(lambda: golden(*given, **named), **self._homes))

    def _next(self, module: torch.nn.Module) -> _Call | None:
        """A call of the script that begins; None while one in another thread goes on."""
        with self._lock:
            last = self._call
            if last and last.is_of_another and not last.ended and last.thread.is_alive():
                return None
            self._leave()
            identity = self._identities.get(id(module), ModuleIdentity(""))
            token_id = self._rounds.get(identity.key, 0)
            self._rounds[identity.key] = token_id + 1
            self._call = _Call(module, token_id, identity.key)
            return self._call

    def _end(self, module: torch.nn.Module, args: Any, output: Any) -> None:
        """A module of my has ended: with the script's call, golden's ends as well."""
        del args
        if torch.compiler.is_compiling():
            return
        call = self._call
        if call is None or module is not call.module or call.is_of_another:
            return
        call.ended = True
        if output is None and (exc := sys.exc_info()[1]):  # torch calls this hook meanwhile
            call.failed = f"my ended with {type(exc).__name__}: {exc}"
        self._await(call, None)
        if not call.why_not:
            if output is not None and not self._twin.error:
                self._arguments.learn(golden=self._twin.output, my=output)
            self._arguments.settle()
        self._twin.output = None

    def _leave(self) -> None:
        """The last call is over: tell what golden alone had."""
        call, self._call = self._call, None
        self._twin.stop()
        for key in call.waiting if call else ():
            assert call
            self._tell(call, key, Measured(error=self._unpaired(Reason.MY_MISSING, call, key)))

    def _show(self, key: Key, tensor: torch.Tensor, *_: object) -> None:
        """Golden has a tensor."""
        self._twin.show(Appeared(key, tensor))

    def _look(self, key: Key, tensor: torch.Tensor, *_: object) -> None:
        """My has a tensor."""
        call = self._call
        if call is None or call.is_of_another or key in call.seen:
            return
        call.seen.add(key)
        golden = self._await(call, key)
        if golden is None:
            error = self._unpaired(Reason.GOLDEN_MISSING, call, key)
            self._tell(call, key, Measured(error=error))
        else:
            measured = measure_tensors(golden=golden, my=tensor, wanted=self._wanted)
            self._tell(call, key, measured, Sides(golden, tensor, call.fed))

    def _await(self, call: _Call, key: Key | None) -> torch.Tensor | None:
        """Golden's tensor of `key`: golden runs until it has it, or ends."""
        if key in call.waiting:
            return call.waiting.pop(key)
        while appeared := self._twin.step():
            if appeared.key in call.golden_seen:  # handed on by what is around the module
                continue
            call.golden_seen.add(appeared.key)
            if appeared.key == key:
                return appeared.tensor
            if appeared.key not in call.seen:  # may be changed in place before my asks
                call.waiting[appeared.key] = appeared.tensor.clone()
        if self._twin.given_up and not call.why_not:
            call.why_not = self._twin.given_up
            self._recorder.warn(call.why_not)
        return None

    def _tell(
        self, call: _Call, key: Key, measured: Measured, tensors: Sides | None = None
    ) -> None:
        data_id = named(call.prefix, key)
        golden, my = (
            Location.of(f"live:{side}/{call.token_id}/{data_id}") for side in ("golden", "my")
        )
        pair = Pair(data_id, call.token_id, golden, my, order=self._order, error=measured.error)
        self._order += 1
        self._take(pair, measured, tensors)

    def _unpaired(self, reason: Reason, call: _Call, key: Key) -> PairError:
        name = named(call.prefix, key)
        error = self._twin.error
        if reason is Reason.GOLDEN_MISSING and (call.why_not or error):
            why = call.why_not or f"golden ended with {type(error).__name__}: {error}"
            return PairError(reason, f"there is no golden {name}, since {why}")
        if reason is Reason.MY_MISSING and call.failed:
            return PairError(reason, f"there is no {name} of my, since {call.failed}")
        side, other = ("golden", "my") if reason is Reason.GOLDEN_MISSING else ("my", "golden")
        sentence = f"{side} gave no {name} in this call, and {other} did"
        if self._ignore_unpaired:
            return PairError(Reason.UNPAIRED, f"{sentence}; it is not compared")
        return PairError(
            reason, f"{sentence}; pass unpaired='ignore' where the two are built differently"
        )


def _fed(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """The shape of the token ids among the arguments of a call: what is called so, else the first
    one."""
    ids = kwargs.get("input_ids", next(iter(args), None))
    if not isinstance(ids, torch.Tensor) or ids.dtype not in (torch.int64, torch.int32):
        return ()
    return tuple(ids.shape) if ids.dim() in (1, 2) else ()
