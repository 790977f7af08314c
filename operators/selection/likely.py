"""Which texts in the form of a kind are likely to be of it: no version number is a date.

A form alone tells little about numbers. These checks ask what belongs to a kind whoever writes it,
such as months of 1 to 12, and what the word before a number says that it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_WORD_BEFORE = re.compile(r"([^\W\d_]+|[#§№])(?:\s?(?:no|nr|num)\b)?[\s.:°º/-]*$", re.IGNORECASE)
"""The word before a number, without `No.` and signs between them."""
_VERSIONS = frozenset(
    "v ver version release rel rev revision update build firmware software kernel app os ios linux android windows patch ip "
    "ipv chapter kapitel chapitre section abschnitt clause paragraph art artikel fig figure satz § table tabelle".split()
)
"""Words before numbers whose parts are counted, and no dates."""
_DATES = frozenset(
    "a ab al am and as au best before bis born by dal date datum de del den do dnia du el exp expires fecha from geb gest "
    "gültig il le mhd of on od per since seit stand start the till to und until use valid vom von zum".split()
)
"""Words before dates."""
_PHONES = re.compile(
    r"(?:\b(?:tel|t[ée]l[ée]?fon\w*|t[ée]l[ée]phone|phone|fon|fax|call|cell|mob|mobile?|m[óo]vil|hotline|notruf|ruf|whatsapp|tlf|puh)|[☎☏]|電話|电话)"
    r"(?:\s?(?:no|nr))?[\s.:°º/-]*$",
    re.IGNORECASE,
)
"""What says that a phone number follows."""
_NUMBERS = frozenset(
    "order bestellung best art artikel item sku ref reference isbn issn ean gtin upc iban bic ssn invoice rechnung kd "
    "kunden kunde customer lot batch charge serial sn tracking id no nr num number nummer numero numéro # № § room zip plz ip "
    "version ver v".split()
)
"""Words before numbers that are none to call."""
_CODES = frozenset(
    "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC MAI OKT DEZ MON TUE WED THU FRI SAT SUN "
    "ISO DIN IEC NEN VDE EAN UPC SKU PIN PUK TAN TAX VAT TEL FAX ZIP PLZ REF ART QTY MAX MIN AVG TOT SUM "
    "USB LED LCD TFT RGB RTX GTX RAM ROM CPU GPU SSD HDD PSU HDR UHD DVD MHZ GHZ RPM BTU PSI KWH PPM DPI FPS "
    "TYP MOD VER REV LOT BOX BMW VOL SET DOC RAL UTC GMT EUR USD GBP CHF BIT SIM LTE WPA SSH FTP SSL TLS".split()
)
"""Letters before numbers that are a month, a standard, a unit or a part, and no plate."""
_GROUPED = re.compile(r"(?:1[\s.-])?\d{3}([\s.-])\d{3}[\s.-]\d(?:\s?\d){3}")
"""The usual groups of a number in North America."""
LEAST_DIGITS, MOST_DIGITS = 7, 15
"""Digits of a phone number; the most that any has, by E.164."""
MOST_NATIONAL = 12
"""Digits of a number that begins with its own 0."""


def is_likely(kind: str, match: re.Match[str]) -> bool:
    """Whether a text in the form of a kind is likely to be of it."""
    check = _CHECKS.get(kind)
    return match.end() > match.start() and (check is None or check(match))


def _word_before(match: re.Match[str]) -> str:
    """The word before a match in lower case; empty if none stands directly before it."""
    found = _WORD_BEFORE.search(match.string[: match.start()])
    return found[1].lower() if found else ""


def _is_date(match: re.Match[str]) -> bool:
    if match["sign"]:
        return not _goes_on(match, match["sign"]) and _is_day(match)
    if match["mark"]:
        days = 1 <= int(match["month"]) <= 12 and 1 <= int(match["day"]) <= 31
        return days and 1800 <= int(match["early"]) <= 2199 and not _goes_on(match, match["mark"])
    return True


def _goes_on(match: re.Match[str], sign: str) -> bool:
    """Whether a number has more parts than those of a date."""
    before, after = match.string[: match.start()], match.string[match.end() :]
    return before.endswith((sign, ".", ",")) or re.match(rf"[{re.escape(sign)}.:]\d", after) is not None


def _is_day(match: re.Match[str]) -> bool:
    """Whether three numbers with the same sign between them are a day, a month and a year."""
    first, sign, second, year = (match[name] for name in ("first", "sign", "second", "year"))
    is_long = len(year) == 4
    day_first = 1 <= int(first) <= 31 and 1 <= int(second) <= 12
    month_first = 1 <= int(first) <= 12 and 1 <= int(second) <= 31
    may_begin_with_month = sign == "/" or (sign == "-" and is_long)
    if not (day_first or (may_begin_with_month and month_first)):
        return False
    if is_long:
        return 1800 <= int(year) <= 2199
    has_zeros = len(first) == len(second) == 2
    if sign == "-":
        return has_zeros
    word = _word_before(match) if sign == "." else ""
    return word not in _VERSIONS if has_zeros else not word or word in _DATES


def _is_phone(match: re.Match[str]) -> bool:
    text, before = match[0], match.string[: match.start()]
    digits = re.sub(r"\D", "", text)
    if not LEAST_DIGITS <= len(digits) <= MOST_DIGITS:
        return False
    if text.startswith("+") or _PHONES.search(before):
        return True
    if re.search(r"\d[\s'.:-]?$", before):
        return False
    if "(" in text or _GROUPED.fullmatch(text):
        return True
    if _word_before(match) in _NUMBERS:
        return False
    if re.fullmatch(r"\d{3}\s\d{4}|\d{5}-\d{4}|\d{3}-\d{2}-\d{4}|\d{2}\.\d{2}\s?[\u2013-]\s?\d{2}\.\d{2}", text):
        return False
    if text.startswith("00"):
        return len(digits) > 9 and not text.isdigit()
    return not text.startswith("0") or len(digits) <= MOST_NATIONAL


def _is_plate(match: re.Match[str]) -> bool:
    return (match["letters"] or match["word"]) not in _CODES


_CHECKS: dict[str, Callable[[re.Match[str]], bool]] = {"date": _is_date, "phone": _is_phone, "plate": _is_plate}
