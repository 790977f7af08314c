"""Operators, their settings, and chains of them."""

from dataclasses import asdict, dataclass

import pyarrow as pa
import pytest

from operators.operator import Chain, Operator
from operators.pictures.codec import Limits
from operators.rows.schema import SchemaError
from operators.rows.table import map_rows


@dataclass(frozen=True)
class Shout(Operator):
    """Appends its text to the mode."""

    text: str = "a"
    limits: Limits = Limits()
    threads: int = 3
    dest: str = "/here"

    def apply(self, batch):
        seen.append((self.text, batch["uri"].to_pylist()))
        return map_rows(batch, self.name, ("mode",), lambda row: {"mode": (row["mode"] or "") + self.text})


@dataclass(frozen=True)
class Drift(Operator):
    def apply(self, batch):
        return batch.drop_columns(["regions"])


seen = []


@pytest.fixture(autouse=True)
def forget_seen():
    seen.clear()


def test_an_operator_is_named_after_its_class():
    assert Shout().name == "shout"
    assert Chain((Shout(), Drift())).name == "shout+drift"


def test_settings_are_the_fields_that_can_change_the_delivered_images():
    limits = asdict(Limits())
    assert Shout("b").settings() == {"operator": "shout", "text": "b", "limits": limits}


def test_settings_cannot_be_changed():
    with pytest.raises(AttributeError):
        Shout().text = "b"


def test_a_chain_takes_each_image_through_all_operators_before_the_next(rows):
    table = rows({"uri": "one"}, {"uri": "two"})
    done = Chain((Shout("a"), Shout("b"))).apply(table)
    assert done["mode"].to_pylist() == ["ab", "ab"]
    assert seen == [("a", ["one"]), ("b", ["one"]), ("a", ["two"]), ("b", ["two"])]


def test_a_chain_names_the_operator_whose_columns_drift(rows):
    with pytest.raises(SchemaError, match="drift: column 14 should be 'regions'"):
        Chain((Shout(), Drift(), Shout())).apply(rows({"uri": "one"}))


def test_a_chain_keeps_own_columns_and_takes_an_empty_batch(rows):
    table = rows({"uri": "one"}, {"uri": "two"}).append_column("year", pa.array([1, 2], pa.int8()))
    assert Chain((Shout(),)).apply(table)["year"].equals(table["year"])
    assert len(Chain((Shout(),)).apply(table.slice(0, 0))) == 0
