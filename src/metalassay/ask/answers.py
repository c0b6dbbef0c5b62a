"""The answers as text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from metalassay.ask import explained
from metalassay.ask.preflight_text import lines as _preflight
from metalassay.results.ask_file import TITLES

WIDTH = 80
_MOST = 5  # lines of a list
_NO_DIGITS = 1e-2
"""The relative error of the CPU from which on nothing is left of a number, as where a gradient cancels to zero."""


def about(facts: Mapping[str, Any], file: str, batch_size: int) -> str:
    """Return what was asked about."""
    device = facts["device"]
    emulated = ", emulated: its times are meaningless" if facts["emulated"].get(device) else ""
    own = (
        ""
        if not facts["stand_in"]
        else "; no loss(model, batch): the model's own is trained on, or a stand-in"
    )
    return _wrapped(
        f"{file}: {facts['parameters']:,} parameters on {device}{emulated}, torch {facts['torch']},"
        f" {facts['threads']} CPU threads, batch {batch_size}{own}"
    )


def text(question: str, answer: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """Return the answer to one question under its title."""
    if question == "profile" and "lines" in answer:
        rows = (
            f"  {line}" if len(line) < WIDTH - 2 else _wrapped(line, "  ")
            for line in answer["lines"]
        )
        return "\n".join([TITLES[question], *rows])
    return "\n".join(
        [TITLES[question], *(_wrapped(line, "  ") for line in lines(question, answer, facts))]
    )


def lines(question: str, answer: Mapping[str, Any], facts: Mapping[str, Any]) -> list[str]:
    """Return the answer to one question, one sentence or row a line."""
    known = explained.lines(answer, {"torch": facts["torch"]})
    if "error" in answer:
        return [f"not answered: {answer['error']}", *known, f"next: {answer['next_step']}"]
    found = []
    if "not_here" in answer:
        found.append(f"not on this machine: {answer['not_here']}")
    else:
        found += [*_LINES[question](answer, facts), *known]
    if answer.get("transfers"):
        found += _transfers(answer["transfers"], facts)
    if answer.get("hazards"):
        found += _hazards(answer["hazards"])
    return found


def _devices(answer: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[str]:
    for row in answer["rows"]:
        times = [f"{kind} {_seconds(one['seconds'])}" for kind, one in row["timings"].items()]
        times += [f"{kind} failed: {why}" for kind, why in row["failed"].items()]
        ratio = row["ratio"]
        told = f"; {facts['device']} is {_ratio(ratio)}" if ratio else ""
        yield f"batch {row['batch_size']:>3}: {', '.join(times)} a step{told}"
    if facts["device"] == "cpu":
        missing = [f"{kind}: {why}" for kind, why in facts["devices"].items() if why]
        yield f"only the CPU is on this machine ({'; '.join(missing)})"
    elif answer["crossover"]:
        yield f"{facts['device']} is faster from a batch of {answer['crossover']} on"
    else:
        yield f"{facts['device']} is not faster at the largest of these batches"


def _transfers(answer: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield where the time of a step may go, besides the arithmetic."""
    if "error" in answer:
        yield f"where the time goes is not answered: {answer['error']}"
        return
    device = facts["device"]
    for each in answer["fallbacks"][:_MOST]:
        share = ""
        if each["seconds"] is not None and answer["step_seconds"]:
            share = f", {each['seconds'] / answer['step_seconds']:.0%} of that step's time"
        where = each["lines"][0] if each["lines"] else "in the backward pass"
        yield (
            f"in a step, {each['operator']} runs on the CPU: {_count(each['calls'], 'call')}{share},"
            f" {where}"
        )
    for each in answer["copies"][:_MOST]:
        where = each["place"] or "from no line of yours"
        yield (
            f"in a step, {_count(each['calls'], 'copy', 'copies')} {each['direction']}"
            f" ({_bytes(each['bytes'])}): {where}"
        )
    more = len(answer["fallbacks"][_MOST:]) + len(answer["copies"][_MOST:])
    if more:
        yield f"and {more} more"
    if not answer["fallbacks"] and not answer["copies"]:
        yield f"a step stays on {device}: no operator on the CPU, no copy between the two"


def _hazards(answer: Mapping[str, Any]) -> Iterator[str]:
    on = f"torch {answer['torch']} on MPS"
    on += f", macOS {answer['macos']}" if answer["macos"] else " (some macOS or chip)"
    for row in answer["rows"][:_MOST]:
        names = ", ".join(filter(None, [*row["operators"], row["place"]]))
        yield f"known hazard of {on}: {row['title']} ({names}); {row['id']}, {row['link']}"
        if row["fix"]:
            yield f"    {row['fix']}"
    if answer["rows"][_MOST:]:
        yield f"and {len(answer['rows']) - _MOST} more known hazards"
    if not answer["rows"]:
        yield (
            f"no known bug of {on} concerns what the {answer['operators']} operators of a step are"
            " given"
        )


def _roofline(answer: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"a step of batch {answer['batch_size']} is {_si(answer['flop'])}FLOP of matrix products, convolutions"
        f" and attention, and moves at least {_si(answer['compulsory'])}B (weights, AdamW's state, batch): counted"
    )
    yield (
        f"the peak of {facts['device']}, measured just before and after: {_digits(answer['gflop_s'])} GFLOP/s (matrix"
        f" product), {_digits(answer['gb_s'])} GB/s (triad)"
    )
    seconds, least = answer["timing"]["seconds"], answer["least_seconds"]
    share = answer["achieved_gflop_s"] / answer["gflop_s"]
    yield (
        f"so a step takes at least {_seconds(least)}, bound by {answer['bound']}; measured"
        f" {_seconds(seconds)}, {_digits(seconds / least)} times that: {_digits(answer['achieved_gflop_s'])}"
        f" GFLOP/s, {_digits(100 * share)} % of the peak"
    )


def _numbers(answer: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[str]:
    where = f"{answer['device']}{' (emulated)' if answer['emulated'] else ''}"
    yield (
        f"{answer['compared']} operators in {answer['calls']} calls on {where} compared with the CPU's, each with"
        f" the inputs that it got there; not contiguous in {_count(answer['strided'], 'call')}, with NaN or"
        f" infinite numbers in {answer['not_finite']:,}"
    )
    for each in answer["differences"][:_MOST]:
        place = ", ".join(filter(None, (each["module"] and f"in {each['module']}", each["place"])))
        yield f"WRONG: {each['operator']} (call {each['number']}{', ' + place if place else ''}): {each['what']}"
    if answer["differences"][_MOST:]:
        yield f"and {len(answer['differences']) - _MOST} more operators"
    if not answer["differences"]:
        yield "none differs beyond what rounding explains"
    yield from _elsewhere(answer)
    if answer["programs"]:
        yield f"shown by: python {answer['programs'][0]}"
    if answer["random"]:
        yield "the step draws random numbers, so layers and gradients as a whole were not compared"
    else:
        wrong = [row for row in answer["rows"] if row["wrong"]]
        for row in wrong[:_MOST]:
            yield f"{row['what']} {row['name']}: {row['wrong']}"
        if wrong[_MOST:]:
            yield f"and {len(wrong) - _MOST} more outputs and gradients"
        if not wrong:
            known = [row for row in answer["rows"] if row["cpu_error"] < _NO_DIGITS]
            worst = max((row["error"] for row in known), default=0.0)
            rest = len(answer["rows"]) - len(known)
            yield (
                f"outputs of layers, loss and gradients agree with float64 on the CPU to {worst:.1g} of their"
                " largest number"
                + (
                    f"; {rest} of {len(answer['rows'])} are nothing but rounding, on the CPU too"
                    if rest
                    else ""
                )
            )
    loss, cpu = answer["loss"], answer["cpu_loss"]
    yield f"loss {loss:.9g} on {where}, {cpu:.9g} on the CPU"
    skipped = {name: why for name, why in answer["skipped"].items() if "uninitialised" not in why}
    if skipped:
        names = ", ".join(name.removeprefix("aten::") for name in list(skipped)[:_MOST])
        more = (
            f" and {len(skipped) - _MOST} more" if skipped.keys() and len(skipped) > _MOST else ""
        )
        yield f"not compared: {names}{more} ({next(iter(skipped.values()))})"


def _elsewhere(answer: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with inputs that the step does not have, and how many operators were tried with them."""
    for each in answer["elsewhere"][:_MOST]:
        yield f"wrong with {each['inputs']}, which this step does not have: {each['operator']}: {each['what']}"
    if answer["elsewhere"][_MOST:]:
        yield f"and {len(answer['elsewhere']) - _MOST} more with such inputs"
    if answer["varied"]:
        tried = ", ".join(f"{number:,} with {what}" for what, number in answer["varied"].items())
        yield f"operators run once more: {tried}{'' if answer['elsewhere'] else ': none differs'}"


def _batch(answer: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[str]:
    for each in answer["tries"]:
        if not each["fits"]:
            yield f"batch {each['batch']}: does not fit: {each['why']}"
    fitting = [each for each in answer["tries"] if each["fits"]]
    largest = answer["largest"]
    if answer["stopped"]:
        yield f"at least {largest} on {facts['device']}; the time was up (--budget)"
    elif answer["limit"] is None:
        yield f"at least {largest} on {facts['device']}; --most stopped the search there"
    else:
        yield f"{largest} on {facts['device']}; {answer['limit']} does not fit"
    if fitting:
        most = max(fitting, key=lambda each: int(each["batch"]))
        driver = (
            f", {most['driver_seen'] / 2**20:,.0f} MiB of the driver" if most["driver_seen"] else ""
        )
        yield f"memory of the process at {most['batch']}: {(most['peak_rss'] or 0) / 2**20:,.0f} MiB{driver}"


def _compile(answer: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[str]:
    if answer["why"]:
        yield f"it does not compile here: {answer['why']}"
        return
    eager, compiled = answer["eager"]["seconds"], answer["compiled"]["seconds"]
    yield f"eager {_seconds(eager)}, compiled {_seconds(compiled)} a step: compiled is {_ratio(answer['ratio'])}"
    pays = (
        f"it pays after {answer['pays_after']:,} steps"
        if answer["pays_after"] is not None
        else "it was not shown to pay here"
    )
    again = f", {_seconds(answer['cached_seconds'])} again in the same process from its cache"
    yield f"compiling takes {_seconds(answer['compile_seconds'])}{again}; {pays}"
    if layout := answer["layout"]:
        cure = "; TORCHINDUCTOR_LAYOUT_OPTIMIZATION=0" if layout["ratio"]["high"] < 1 else ""
        yield (
            f"without its layout optimization {_seconds(layout['compiled']['seconds'])} a step, beside with it:"
            f" {_ratio(layout['ratio'])}{cure}"
        )
    elif answer["unasked"]:
        yield "without its layout optimization: not tried, since compiling takes so long"
    breaks = len(answer["breaks"])
    graphs = "1 graph" if answer["graphs"] == 1 else f"{answer['graphs']} graphs"
    yield f"{graphs}; breaks: {breaks or 'none'}" + (f", {answer['breaks'][0]}" if breaks else "")
    if answer["same"]:
        yield f"the same loss ({answer['loss']:.7g}, eager {answer['eager_loss']:.7g})"
    else:
        yield f"WRONG: another loss: {answer['loss']:.9g}, eager {answer['eager_loss']:.9g}"


def _precision(answer: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[str]:
    for row in answer["rows"]:
        if row["why"]:
            yield f"{row['dtype']:<9} not here: {row['why']}"
            continue
        ratio = f", {_ratio(row['ratio'])}" if row["ratio"] else ""
        time = f"{_seconds(row['timing']['seconds'])} a step{ratio}; "
        emulated = facts["emulated"].get(facts["device"])
        yield (
            f"{row['dtype']:<9} {'' if emulated else time}kept for the backward pass"
            f" {row['kept'] / 2**20:,.1f} MiB; off by {row['loss_error']:.1g} (loss),"
            f" {row['gradient_error']:.1g} (gradients)"
        )
    yield "errors relative to float64 on the CPU; 16 bits by autocast, weights stay float32"


def _of_preflight(answer: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[str]:
    yield from _preflight(answer)


def _profile(answer: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[str]:
    yield from answer["lines"]


_LINES = {
    "preflight": _of_preflight,
    "devices": _devices,
    "roofline": _roofline,
    "numbers": _numbers,
    "batch": _batch,
    "compile": _compile,
    "precision": _precision,
    "profile": _profile,
}


def _ratio(ratio: Mapping[str, float]) -> str:
    """Return how long a step takes compared with another, with the interval."""
    near = any(
        0 < abs(ratio[end] - 1) < 0.005 for end in ("low", "high")
    )  # 1.00 would hide the side
    inside = f"{ratio['low']:.{2 + near}f} to {ratio['high']:.{2 + near}f}"
    if ratio["low"] <= 1 <= ratio["high"]:
        return f"not told apart ({ratio['ratio']:.2f} times the time in pairs, {inside})"
    return f"{'slower' if ratio['low'] > 1 else 'faster'} ({ratio['ratio']:.2f} times the time in pairs, {inside})"


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.3g} ms"


def _count(number: int, what: str, plural: str = "") -> str:
    return f"{number:,} {what if number == 1 else plural or what + 's'}"


def _bytes(number: int) -> str:
    return f"{_si(number)}B"


def _si(number: float) -> str:
    """Return a number with three digits and the prefix of its unit, as in "12.3 M"."""
    for prefix in ("", "k", "M", "G", "T"):
        if abs(number) < 999.5 or prefix == "T":
            break
        number /= 1000
    return f"{_digits(number)} {prefix}"


def _digits(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 99.95 else f"{number:.3g}"


def _wrapped(line: str, indent: str = "") -> str:
    return textwrap.fill(
        line, WIDTH, initial_indent=indent, subsequent_indent=indent + "    ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
