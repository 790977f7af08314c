"""Kinds of text by the form of what is read: addresses, numbers, prices, dates.

The recogniser may drop a space, read one within a number or for a dot, or take one letter for
another, so the patterns ask for the form; `likely` says which of it is something else in that form.
"""

from __future__ import annotations

import re

from operators.selection.likely import is_likely
from operators.selection.months import MONTHS

_TOP = (
    "com|org|net|info|biz|edu|gov|mil|int|eu|io|co|ai|app|dev|shop|store|online|site|blog|tv|me|xyz|"
    "ac|ad|al|ar|at|au|ba|be|bg|br|by|ca|ch|cl|cn|cy|cz|de|dk|ee|es|fi|fr|gr|hk|hr|hu|id|ie|il|in|is|it|jp|kr|li|lt|lu|lv|ma|mc|mt|"
    "mx|my|nl|no|nz|pe|ph|pl|pt|ro|rs|ru|se|sg|si|sk|th|tr|tw|ua|uk|us|vn|za"
)
"""Ends of the names of hosts. A sentence whose space before it is lost (`fine.It was`) ends with
none of these in lower case.
"""
_PATH = r"[^\s<>]*[^\s<>.,;:!?)\]}'\"]"
"""The rest of an address, without the sign that ends a sentence."""
_LOCAL = r"[\w.+%'-]+"
_DOMAIN = r"[\w-]+(?:[.,][\w-]+)*"
_KNOWN_DOMAIN = (
    rf"(?:{_DOMAIN}(?:\s[.,]\s?|[.,]\s)(?:[\w-]+[.,])*(?:{_TOP})\b"
    rf"|[\w-]+\s(?:(?:[\w-]+\.)+(?:{_TOP})|com|org|net|io|eu|uk|de|fr|ch|nl|pl|jp|cn)\b"
    rf"|{_DOMAIN}[.,](?i:{_TOP})\b)"
)
_MONTH = rf"(?:{'|'.join(MONTHS)})\b\.?"
_SUFFIX = r"(?:\.|st|nd|rd|th|er|re|º|°)?"
_BREAK = r"(?:\s?[/\u2013-]\s?|[\s.])?"
"""What may stand between the groups of digits of a phone number."""
_CODES = "AUD|BRL|CAD|CNY|CZK|DKK|HUF|INR|KRW|MXN|NOK|NZD|PLN|RON|SEK|SGD|TRY|ZAR"
_SIGNS = "$€£¥₹₩₺₽₴₫฿"
_AMOUNT = r"\d+(?:[.,']\d+)*(?:\s\d{3}(?!\d))*(?:[.,]\d+)?(?:[.,]?[-\u2013\u2014](?!\d))?"

PATTERNS: dict[str, re.Pattern[str]] = {
    "email": re.compile(
        rf"{_LOCAL}\s?@\s?{_KNOWN_DOMAIN}|{_LOCAL}@\s?{_DOMAIN}[.,][^\W\d_]{{2,}}(?![\w-])|{_LOCAL}\s@\s(?:[\w-]+\.)+(?:{_TOP})\b"
    ),
    "url": re.compile(
        rf"(?i:(?:https?|ftp)\s?:\s?/\s?/\s?{_PATH}|\bwww\s?\.\s?{_PATH})"
        rf"|(?<![\w@.-])(?:[\w-]+\.)*[\w-]*[^\W\d_][\w-]*\.(?:{_TOP})\b(?![@-])(?:[/?]{_PATH}|/)?"
        rf"|(?<![\w@.-])(?:[A-Z0-9-]+\.)*[A-Z0-9-]*[A-Z][A-Z0-9-]*\.(?!NET\b)(?:{_TOP.upper()})\b(?![@-])(?:[/?]{_PATH}|/)?"
    ),
    "phone": re.compile(
        rf"(?<![\w.,+/-])(?:\+\s?\d{{1,3}}{_BREAK}(?:\(0\)\s?)?(?:\(?\d{{1,5}}\)?{_BREAK}){{2,6}}\d{{2,}}(?:\s?-\s?\d{{1,4}})?"
        rf"|\(\d{{2,5}}\){_BREAK}\d{{2,5}}(?:{_BREAK}\d{{1,5}}){{0,4}}"
        rf"|0\d{{1,5}}{_BREAK}\d{{1,}}(?:{_BREAK}\d{{2,}})*(?:\s?-\s?\d{{1,4}})?"
        r"|(?:1[\s.-])?\d{3}[\s.-]\d{3}[\s.-]\d(?:\s?\d){3}|\d{3}-\d(?:\s?\d){3}|\d{3}\s\d{4})(?![\w,]|[.-]\d)"
    ),
    "price": re.compile(
        rf"(?:\b[A-Z]{{1,2}}\$|[{_SIGNS}]|\b(?:USD|EUR|GBP|CHF|JPY|RMB|kr\.?|(?-i:{_CODES}|Rs\.?|Fr\.))(?![a-z]))\s?{_AMOUNT}"
        rf"|(?<![\d.,'])(?:{_AMOUNT})\s{{0,2}}"
        rf"(?:[{_SIGNS}元円¢]|(?:USD|EUR|GBP|CHF|JPY|RMB|zł|kr|Kč|(?-i:{_CODES}|Fr))\b)",
        re.IGNORECASE,
    ),
    "date": re.compile(
        r"(?<!\w)(?:(?P<first>\d{1,2})(?P<sign>[./-])\s?(?P<second>\d{1,2})(?P=sign)\s?(?P<year>\d{4}|'?\d{2})"
        r"|(?P<early>\d{4})(?P<mark>[./-])\s?(?P<month>\d{1,2})(?P=mark)\s?(?P<day>\d{1,2})"
        r"|\d{4}年\s?\d{1,2}月(?:\s?\d{1,2}日)?"
        r"|\d{1,2}\s\d{1,2}\s'\d{2}|'\d{2}\s\d{1,2}\s\d{1,2}"
        rf"|\d{{1,2}}{_SUFFIX}[\s/-]?(?:de\s|of\s)?{_MONTH}[,/-]?\s?(?:de\s|del\s)?(?:\d{{4}}|'?\d{{2}})"
        rf"|\b{_MONTH}\s?\d{{1,2}}(?:st|nd|rd|th)?,?\s?\d{{4}})(?![\w])",
        re.IGNORECASE,
    ),
    "plate": re.compile(
        r"(?<![\w@.])(?:(?P<letters>[A-ZÄÖÜ]{1,3})[\s·•:-]{1,2}[A-ZÄÖÜ]{1,2}\s?\d{1,4}[EH]?|[A-Z]{2}\d{2}\s?[A-Z]{3}"
        r"|[A-Z]{2}-?\d{3}-?[A-Z]{2}|\d[A-Z]{3}\s?\d{3}|(?P<word>[A-Z]{3})[\s-]\d{3,4}|[A-Z]{3}\d[A-Z]\d{2}"
        r"|[A-Z]{2}-\d{3}-[A-Z]|\d{1,2}-[A-Z]{2,3}-\d{1,3}|[A-Z]{2}[\s-]?\d{2}[\s-][A-Z]{1,3}[\s-]\d{4}"
        r"|[京沪粤浙苏鲁川渝津][A-Z][\s·•]?[A-Z0-9]{5})(?![\w@-])"
    ),
}
"""The pattern of each kind of text. A number plate is any of the usual forms of several countries,
so letters and digits of a product's name can look like one.
"""


CLEARER = {
    "url": ("email",),
    "phone": ("date", "price", "email", "url"),
    "plate": ("date", "price", "email", "url", "phone"),
}
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
    found = [match.span() for match in PATTERNS[kind].finditer(text) if is_likely(kind, match)]
    return [span for span in found if not any(span[0] < end and start < span[1] for start, end in taken)]
