"""The benchmark of pairing: two runs of one model, built differently; who is compared with whom?

    python scripts/pairing_bench.py [--work FOLDER] [--json FILE] [--keep-dumps] [COUPLE ...]

Every couple is dumped by real commands in processes of their own. What really is what is known
from the module objects (scripts/pairing/tap.py), not from any name. Each couple is compared by
default, and with the mapping that `python -m ait_cmp.pair` proposes; some also with a fault in my
run, in which nobody may be paired otherwise. Found is the share of the true pairs that have a row
that compares them; wrong is a row that compares what does not belong together. Dumps and results
in FOLDER are used again while neither the couple nor the code that makes them has changed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

if sys.argv[1:2] == ["--side"]:  # of a couple, in the process that is dumped
    from pairing.side import launch

    launch(sys.argv[2])
    raise SystemExit

from pairing.couples import COUPLES, Couple, Half
from pairing.side import Spec
from pairing.steps import compare, dump, dumped, fingerprint, propose
from pairing.truth import Known, Score, known, score

DUMPING = ("ait_cmp/dump", "ait_cmp/dump_tree.py", "ait_cmp/tensors.py", "ait_cmp/atb.py")


def spec_of(couple: Couple, half: Half, folder: Path, fault: bool = False) -> Spec:
    """What the process of one side is told."""
    return Spec(
        half.build,
        couple.family,
        str(folder),
        fault=fault,
        tool=half.tool,
        rounds=half.rounds,
        ranks=half.ranks,
        options=dict(half.options),
    )


def run_couple(couple: Couple, work: Path, dumping: str, comparing: str) -> dict[str, Any]:
    """All dumps and compares of one couple; those of the same sources are not made again."""
    place = work / couple.name
    begun = time.perf_counter()
    sides = {"golden": (couple.golden, False), "my": (couple.my, False)}
    if couple.fault:
        sides["faulty"] = (couple.my, True)
    folders = {name: place / name for name in sides}
    folders["golden"] = shared(couple, work)
    for name, (half, fault) in sides.items():
        dump(spec_of(couple, half, folders[name], fault), dumping)
    golden = known(folders["golden"])
    result: dict[str, Any] = {"name": couple.name}
    for name in sides:
        if name != "golden":
            pair = (folders["golden"], folders[name])
            each = scores(pair, golden, place, name == "faulty", comparing)
            result[name] = {how: asdict(one) for how, one in each.items()}
    result["seconds"] = time.perf_counter() - begun
    return result


def shared(couple: Couple, work: Path) -> Path:
    """The folder of a golden dump, which other couples may have as well."""
    key = hashlib.blake2b(spec_of(couple, couple.golden, work).text().encode(), digest_size=4)
    return work / "golden" / f"{couple.family}-{key.hexdigest()}"


def scores(
    folders: tuple[Path, Path], golden: Known, place: Path, faulty: bool, sources: str
) -> dict[str, Score]:
    """By default, and as `pair` proposes; what gives no report finds nothing."""
    my, name = known(folders[1]), folders[1].name
    mapping = place / f"{name}_pairs.yaml"
    outputs = {"default": place / f"{name}_default", "pair": place / f"{name}_pair"}
    done, mark = place / f"{name}.done", " ".join([sources, *map(dumped, folders)])
    if not done.is_file() or done.read_text() != mark:
        compare(*folders, outputs["default"])
        mapping.unlink(missing_ok=True)  # of an earlier run
        propose(*folders, mapping)
        compare(*folders, outputs["pair"], f"mapping={mapping}")
        done.write_text(mark)
    reports = {how: output / "cmp_report.csv" for how, output in outputs.items()}
    return {how: score(report, golden, my, faulty) for how, report in reports.items()}


def show(results: list[dict[str, Any]]) -> None:
    """The table, as markdown, with a line of all."""
    print("| couple | pairs | by default | by `pair` | wrong | with a fault |")
    print("|---|---|---|---|---|---|")
    for result in results:
        print(line(result))
    sides = [result[side] for result in results for side in ("my", "faulty") if side in result]
    whole = {
        how: totals([side[how] for side in sides if how in side]) for how in ("default", "pair")
    }
    wrong = sum(len(each["wrong"]) for each in whole.values())
    cells = ["**all**", whole["default"]["true"], share(whole, "default"), share(whole, "pair")]
    print("|", " | ".join(map(str, [*cells, wrong, ""])), "|")


def totals(scored: list[dict[str, Any]]) -> dict[str, Any]:
    """Of several couples."""
    numbers = {key: sum(each[key] for each in scored) for key in ("true", "found")}
    return {**numbers, "wrong": [row for each in scored for row in each["wrong"]]}


def line(result: dict[str, Any]) -> str:
    """A couple's line of the table."""
    if "skipped" in result:
        return f"| {result['name']} | | {result['skipped']} | | | |"
    my, faulty = result["my"], result.get("faulty")
    wrong = sum(len(each["wrong"]) for each in my.values())
    cells = [result["name"], my["default"]["true"], share(my, "default"), share(my, "pair")]
    return f"| {' | '.join(map(str, [*cells, wrong, faults(faulty) if faulty else '']))} |"


def share(scored: dict[str, Any], how: str) -> str:
    """A share in percent, never rounded up to 100."""
    one = scored.get(how)
    if not one or not one["true"]:
        return "–"
    return f"{int(1000 * one['found'] / one['true']) / 10:g} %"


def faults(scored: dict[str, Any]) -> str:
    """With a fault: the shares, and what was paired wrongly."""
    wrong = sum(len(each["wrong"]) for each in scored.values())
    return f"{share(scored, 'default')}, {share(scored, 'pair')}, {wrong} wrong"


def main() -> None:
    """Run the couples that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("couples", nargs="*", metavar="COUPLE", help="by name; default: all")
    parser.add_argument("--work", type=Path, default=Path("build/pairing"), help="where dumps go")
    parser.add_argument("--json", type=Path, help="write all results to this file, too")
    parser.add_argument("--keep-dumps", action="store_true", help="use those of older sources, too")
    parser.add_argument("--list", action="store_true", help="name the couples, and end")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(couple.name for couple in COUPLES))
        return
    unknown = set(arguments.couples) - {couple.name for couple in COUPLES}
    if unknown:
        parser.error(f"there is no couple {min(unknown)!r}; see --list")
    sources = ("" if arguments.keep_dumps else fingerprint(*DUMPING), fingerprint("ait_cmp"))
    results = []
    for couple in COUPLES:
        if arguments.couples and couple.name not in arguments.couples:
            continue
        if couple.needs and find_spec(couple.needs) is None:
            results.append({"name": couple.name, "skipped": f"needs {couple.needs}"})
            continue
        try:
            results.append(run_couple(couple, arguments.work.absolute(), *sources))
        except RuntimeError as exc:
            results.append({"name": couple.name, "skipped": f"FAILED: {exc}"})
        print(line(results[-1]), file=sys.stderr, flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    show(results)


if __name__ == "__main__":
    main()
