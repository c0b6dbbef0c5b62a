"""What a break is called in a sentence, for the command line and for other commands."""

from __future__ import annotations

from metalassay.linkcheck.breaks import Break

NOTHING = "nothing found; only a run proves it"


def sentence(each: Break) -> str:
    """Return what is wrong, in one sentence without a full stop."""
    name, _, inside = each.what.partition("(")
    inside = inside.removesuffix(")")
    provider = f"{each.provider} {each.provider_version}"
    if each.kind == "import":
        return f"{provider} has no {name}"
    if each.kind == "attribute":
        return f"{name} is not there in {provider}"
    if each.kind == "argument":
        return f"{name}() of {provider} does not accept {inside}"
    if each.kind == "positional":
        if inside.endswith("is required"):
            return f"{name}() of {provider} requires {inside.split(' ')[0]}"
        return f"{name}() of {provider} does not take {inside}"
    if each.kind == "override":
        if inside.endswith("is required"):
            return f"{name}() requires {inside.split(' ')[0]}, which {provider} does not pass"
        return f"{name}() does not accept what {provider} passes: {inside}"
    if each.kind == "return":
        return f"{name}() of {provider} returns a tuple, so {inside} counts as installed"
    if each.kind == "floor":
        return f"{each.caller} {each.caller_version} refuses {provider}: it needs {each.what}"
    return f"{each.caller} {each.caller_version} requires {each.what}, and {each.provider_version} is installed"


def consequence(each: Break) -> str:
    """Return what it does: what it stops, or why it need not matter."""
    if each.stops:
        entries = "importing it" if each.entry == "import" else each.entry
        return f"stops {entries}" + ("" if each.confidence == "certain" else " (likely)")
    if each.guarded:
        return "guarded: the package tests for it"
    if each.kind == "metadata":
        return "against the metadata" + (f" ({each.note})" if each.note else "")
    if each.entry:
        return f"reached by {each.entry}"
    return "not reached by ordinary training"


def history(each: Break) -> str:
    """Return since when it is so, and which releases of the provider have what is missing."""
    parts = []
    if each.since:
        parts.append(f"since {each.changed} {each.since}")
    if each.works:
        spans = [first if first == last else f"{first} to {last}" for first, last in each.works]
        parts.append(f"works with {each.provider} {', '.join(spans)}")
    return "; ".join(parts)
