"""The names of months, as dates in Latin letters spell them in eleven languages."""

from __future__ import annotations

_NAMES = """
january february march april may june july august september october november december
jan feb mar apr jun jul aug sep sept oct nov dec
januar jänner februar märz mai juni juli oktober dezember mär okt dez
janvier février fevrier mars avril juin juillet août aout septembre octobre novembre décembre decembre janv févr avr juil déc
gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre dicembre gen mag giu lug ago set ott dic
enero febrero abril mayo junio julio septiembre setiembre octubre noviembre diciembre ene abr
janeiro fevereiro março maio junho julho setembro outubro novembro dezembro fev out
januari februari maart mei augustus mrt
stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia
marts maj juni juli desember des januar augusti tammikuuta
"""
MONTHS = tuple(sorted(set(_NAMES.split()), key=lambda name: (-len(name), name)))
"""Names and abbreviations in lower case, long ones first."""
