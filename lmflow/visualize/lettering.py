"""How much room text takes, without asking a font: estimates that are rather too wide than too narrow."""

from __future__ import annotations

import dataclasses
import unicodedata

SANS = "system-ui, Segoe UI, Roboto, Noto Sans, Liberation Sans, Arial, sans-serif"
MONO = "ui-monospace, Menlo, Consolas, DejaVu Sans Mono, Liberation Mono, monospace"
_DOTS = ".."
_WIDE = "MW@%mw"


@dataclasses.dataclass(frozen=True, slots=True)
class Lettering:
    """How a text is written; sizes and widths are in pixels."""

    size: int
    bold: bool = False
    mono: bool = False

    def estimate(self, text: str) -> float:
        """Return the width of a text."""
        return self.size * (1.06 if self.bold and not self.mono else 1.0) * sum(self._estimate_one(c) for c in text)

    def _estimate_one(self, character: str) -> float:
        if unicodedata.combining(character):
            return 0.0
        if unicodedata.east_asian_width(character) in "WF":
            return 1.1
        if self.mono:
            return 0.62
        if character in _WIDE or unicodedata.category(character) in ("So", "Sm"):
            return 1.0
        return 0.76 if character.isupper() or not character.isascii() else 0.58

    def cut(self, text: str, width: float) -> str:
        """Return the text, shortened with two dots at its end where it would be wider."""
        if self.estimate(text) <= width:
            return text
        while text and self.estimate(text + _DOTS) > width:
            text = text[:-1]
        return text + _DOTS

    def cut_middle(self, text: str, width: float) -> str:
        """Return the text, shortened in its middle where it would be wider."""
        if self.estimate(text) <= width:
            return text
        head, tail = text[: len(text) // 2], text[len(text) // 2 :]
        while head and self.estimate(f"{head} {_DOTS} {tail}") > width:
            head, tail = head[:-1], tail[1:]
        return f"{head} {_DOTS} {tail}"

    def fold(self, text: str, width: float, lines: int) -> list[str]:
        """Return the text in lines that are no wider; what does not fit into so many lines is cut off."""
        folded: list[str] = []
        for word in text.split():
            longer = f"{folded[-1]} {word}" if folded else word
            if folded and self.estimate(longer) <= width:
                folded[-1] = longer
            elif len(folded) < lines:
                folded.append(word)
            else:
                folded[-1] = longer
                break
        return [self.cut(line, width) for line in folded]
