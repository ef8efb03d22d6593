"""What all pictures say alike: states in words, durations, widths of text, identifiers."""

from __future__ import annotations

import re
import unicodedata

from lmflow.visualize.picture import Node, Picture, clean

NO_RETURN = "point of no return: beyond it nothing is undone"
WORDS = {
    "SUCCESS": "done",
    "RUNNING": "running",
    "FAILURE": "FAILED",
    "REVERTING": "undoing",
    "REVERTED": "undone",
    "REVERT_FAILURE": "NOT UNDONE",
    "RETRYING": "retrying",
    "IGNORE": "left out",
    "PENDING": "not begun",
}


def judge(node: Node) -> str:
    """Return the state that is shown: what failed is more worth knowing than that it was undone."""
    return "FAILURE" if node.error_code and node.state in ("REVERTING", "REVERTED") else node.state


def tell_state(node: Node) -> str:
    """Return the state in words; one that we have no word for is told as it is."""
    word = WORDS.get(node.state, node.state)
    return word if judge(node) == node.state else f"{WORDS[judge(node)]}, {word}"


def tell_seconds(node: Node) -> str:
    """Return how long the step took, '' when nobody knows."""
    return "" if node.seconds is None else f"{node.seconds:.1f} s"


def tell_progress(node: Node) -> str:
    """Return the progress in per cent, '' when there is none."""
    return "" if node.progress is None else f"{node.progress * 100:.0f} %"


def tell_facts(picture: Picture, node: Node) -> tuple[tuple[str, str], ...]:
    """Return what is known of a step besides its name, cleaned; nothing in a definition.

    Each is a kind (``state``, ``alarm``, ``begun``, ``code``, ``note``) and a text that stands for itself.
    """
    facts = (
        ("state", ", ".join(text for text in (tell_state(node), tell_progress(node), tell_seconds(node)) if text)),
        ("alarm", "interrupted here" if node.id in picture.frontier else ""),
        ("begun", f"begun {node.attempts} times" if node.attempts > 1 else ""),
        ("code", node.error_code),
        ("note", node.note),
    )
    return tuple((kind, clean(text)) for kind, text in facts if text)


def describe(picture: Picture) -> str:
    """Return the picture in sentences, for those who hear it."""
    told = [clean(picture.subtitle)] if picture.subtitle else []
    for flow in picture.flows():
        rows = []
        for row in picture.rows(flow):
            steps = ", ".join(describe_node(picture, node) for node in row)
            rows.append(f"in parallel {steps}" if len(row) > 1 else steps)
            if any(node.id == picture.point_of_no_return for node in row):
                rows.append(f"({NO_RETURN})")
        told.append(f"Flow {clean(flow)}: {'; '.join(rows)}.")
    return " ".join(told)


def describe_node(picture: Picture, node: Node) -> str:
    """Return the whole name of a step and all that is known of it, on one line."""
    facts = ", ".join(text for _, text in tell_facts(picture, node))
    return clean(node.label) + (f" ({facts})" if facts else "")


def measure(text: str) -> int:
    """Return how many columns the text takes where all characters are equally wide, or twice that."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def shorten(text: str, width: int) -> str:
    """Return the text cut to a width in columns, with two dots where it was cut."""
    if measure(text) <= width:
        return text
    while measure(text) > width - 2:
        text = text[:-1]
    return text + ".."


def make_ids(picture: Picture) -> dict[str, str]:
    """Return identifiers that no word of a drawing language (``end``, ``node``) can collide with."""
    plain = {node.id: "n_" + re.sub(r"[^0-9A-Za-z_]", "_", node.id) for node in picture.nodes}
    if len(set(plain.values())) == len(plain):
        return plain
    return {node.id: f"n{number}" for number, node in enumerate(picture.nodes)}
