"""Kinds of text by the form of what is read: addresses, numbers, prices, dates.

The recogniser may drop a space, read one within a number or for a dot, or take one letter for
another, so the patterns ask for the form alone and not for a valid number or date.
"""

from __future__ import annotations

import re

PATTERNS: dict[str, re.Pattern[str]] = {
    "email": re.compile(
        r"[\w.+%'-]+\s?@\s?(?:[\w-]+(?:(?:\s?\.\s?|,)[\w-]+)+"
        r"|[\w-]+\s(?:[\w-]+(?:\.[\w-]+)+|(?:com|org|net|io|eu|uk|de|fr|ch|nl|pl|jp|cn)\b))"
    ),
    "url": re.compile(
        r"(?:https?|ftp)\s?:\s?/\s?/\s?[^\s<>]+|\bwww\s?\.\s?[^\s<>]+"
        r"|(?<![\w@.-])(?:[a-z0-9-]+\.)+(?:com|org|net|info|io|shop|co|eu|de|fr|uk|it|es|nl|pl|ch|at|cn|jp)\b(?!@)(?:/[^\s<>]*)?",
        re.IGNORECASE,
    ),
    "phone": re.compile(
        r"(?<![\w.,+/-])(?:\+\s?\d{1,3}[\s./-]?(?:\(0\)\s?)?(?:\(?\d{1,5}\)?[\s./-]?){2,6}\d{2,}"
        r"|\(\d{2,5}\)[\s./-]?\d{2,5}(?:[\s./-]?\d{1,5}){0,3}"
        r"|0\d{1,5}[\s./-]?\d{2,}(?:[\s./-]?\d{2,})*"
        r"|\d{3}[\s.-]\d{3}[\s.-]\d(?:\s?\d){3}|\d{3}-\d(?:\s?\d){3}|\d{3}\s\d{4})(?![\w,]|\.\d)"
    ),
    "price": re.compile(
        r"(?:[$€£¥₹]|\b(?:USD|EUR|GBP|CHF|JPY|RMB))\s?\d(?:[\d.,']*(?:\s\d{3})*[\d.,']*[\d-])?"
        r"|(?<![\d.,])\d[\d.,']*(?:,-)?\s?(?:[$€£¥₹元円]|(?:USD|EUR|GBP|CHF|JPY|RMB|zł)\b)",
        re.IGNORECASE,
    ),
    "date": re.compile(
        r"(?<![\w.])(?:\d{1,2}[./-]\s?\d{1,2}[./-]\s?(?:\d{4}|'?\d{2})|\d{4}[./-]\s?\d{1,2}[./-]\s?\d{1,2}"
        r"|\d{4}年\s?\d{1,2}月(?:\s?\d{1,2}日)?"
        r"|\d{1,2}\.?\s?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?,?\s?(?:\d{4}|'?\d{2})"
        r"|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?\s?\d{1,2},?\s?\d{4})(?![\w-])",
        re.IGNORECASE,
    ),
    "plate": re.compile(
        r"(?<![\w@.])(?:[A-ZÄÖÜ]{1,3}[\s·•:-]{1,2}[A-Z]{1,2}\s?\d{1,4}[EH]?|[A-Z]{2}\d{2}\s?[A-Z]{3}|[A-Z]{2}-?\d{3}-?[A-Z]{2}"
        r"|\d[A-Z]{3}\s?\d{3}|[A-Z]{3}[\s-]\d{3,4}|[京沪粤浙苏鲁川渝津][A-Z][\s·•]?[A-Z0-9]{5})(?![\w@-])"
    ),
}
"""The pattern of each kind of text. A number plate is any of the usual forms of several countries,
so letters and digits of a product's name can look like one.
"""


CLEARER = {"phone": ("date", "price", "email", "url"), "plate": ("date", "price", "email", "url", "phone")}
"""The kinds whose form is clearer: what is one of these is not a number of the first kind."""


_SPACES = re.compile(r"(\\.|\[\^?\]?(?:\\.|[^\]\\])*\])| ", re.DOTALL)


def compiled(pattern: str) -> re.Pattern[str]:
    """The user's regular expression, for upper and lower case.

    Where it has a space between words, what is read may have none, because the recogniser may drop
    it. Spaces in brackets, and `\\s`, mean what they say. Raises re.error.
    """
    re.compile(pattern)
    return re.compile(_SPACES.sub(lambda found: found[1] or r"(?:\s?)", pattern), re.IGNORECASE)


def matches(pattern: re.Pattern[str], text: str) -> list[tuple[int, int]]:
    """Where a pattern matches: the first character of each match, and the one after its last."""
    return [match.span() for match in pattern.finditer(text) if match.end() > match.start()]


def spans_of(kind: str, text: str) -> list[tuple[int, int]]:
    """Where texts of a kind are, in the same form, without those that are of a CLEARER kind."""
    taken = [span for clearer in CLEARER.get(kind, ()) for span in spans_of(clearer, text)]
    found = matches(PATTERNS[kind], text)
    return [span for span in found if not any(span[0] < end and start < span[1] for start, end in taken)]
