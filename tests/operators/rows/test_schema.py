"""The row's schema, its check, and the rows of the index and the ledger."""

import pyarrow as pa
import pytest

from operators.rows.schema import (
    INDEX_COLUMNS,
    INDEX_SCHEMA,
    LEDGER_SCHEMA,
    PIXEL_CHILDREN,
    PIXEL_COLUMNS,
    REGION,
    SCHEMA,
    SchemaError,
    check_schema,
    complete_rows,
    is_column,
    ledger_rows,
)

INDEX_ROW = {"image_id": ["a"], "uri": ["/a.png"], "path": ["a.png"], "shard": [0], "size": [3], "etag": ["1"]}


def test_index_rows_become_complete_rows():
    table = complete_rows(pa.table(INDEX_ROW, schema=INDEX_SCHEMA))
    assert table.schema.names == SCHEMA.names
    assert table.schema.types == SCHEMA.types
    assert table.to_pylist()[0] == {name: INDEX_ROW[name][0] if name in INDEX_COLUMNS else None for name in SCHEMA.names}


def test_own_columns_follow_the_row_unchanged():
    own = pa.array([7], pa.uint8())
    table = complete_rows(pa.table({"licence": ["CC0"], **INDEX_ROW, "year": own}))
    assert table.schema.names == [*SCHEMA.names, "licence", "year"]
    assert table["year"].type == pa.uint8()
    check_schema(table, "fetch")


def test_completing_complete_rows_changes_nothing(rows):
    table = rows({"bytes": b"x"})
    assert complete_rows(table).equals(table)


def test_an_empty_table_can_be_completed():
    check_schema(complete_rows(pa.table({"uri": pa.array([], pa.string())})), "index")


def renamed(table, old, new):
    return table.rename_columns([new if name == old else name for name in table.column_names])


@pytest.mark.parametrize("name", SCHEMA.names)
def test_a_missing_column_is_named_with_its_producer(rows, name):
    with pytest.raises(SchemaError, match=f"blur: column [0-9]+ should be '{name}'"):
        check_schema(rows({}).drop_columns([name]), "blur")


@pytest.mark.parametrize("name", SCHEMA.names)
def test_a_renamed_column_is_named_with_its_producer(rows, name):
    with pytest.raises(SchemaError, match=f"blur: .*'{name}'"):
        check_schema(renamed(rows({}), name, "other"), "blur")


@pytest.mark.parametrize("name", SCHEMA.names)
def test_a_column_of_another_type_is_named_with_its_producer(rows, name):
    table = rows({})
    changed = table.set_column(table.schema.names.index(name), name, pa.array([1.0], pa.float64()))
    with pytest.raises(SchemaError, match=f"blur: column '{name}' is double"):
        check_schema(changed, "blur")


@pytest.mark.parametrize("child", [field.name for field in REGION])
def test_a_region_whose_struct_drifted_is_refused(rows, child):
    fields = [field if field.name != child else pa.field(child, pa.float64()) for field in REGION]
    table = rows({})
    drifted = pa.nulls(1, pa.list_(pa.struct(fields)))
    with pytest.raises(SchemaError, match=r"blur: column 'regions'.*double"):
        check_schema(table.set_column(table.schema.names.index("regions"), "regions", drifted), "blur")


def test_a_region_with_one_more_child_is_refused(rows):
    table = rows({})
    wider = pa.nulls(1, pa.list_(pa.struct([*REGION, pa.field("extra", pa.int8())])))
    with pytest.raises(SchemaError, match="blur: column 'regions'"):
        check_schema(table.set_column(table.schema.names.index("regions"), "regions", wider), "blur")


def test_columns_in_another_order_are_refused(rows):
    table = rows({})
    with pytest.raises(SchemaError, match="blur: column 0 should be 'image_id'"):
        check_schema(table.select(list(reversed(SCHEMA.names))), "blur")


def test_dotted_paths_name_columns_and_children_of_regions():
    assert is_column("bytes")
    assert is_column("regions.mask")
    assert not is_column("pixels")
    assert not is_column("regions.masks")
    assert not is_column("failure.code")


def test_the_ledger_holds_everything_but_pixels():
    region = LEDGER_SCHEMA.field("regions").type.value_type
    assert set(SCHEMA.names) - set(LEDGER_SCHEMA.names) == set(PIXEL_COLUMNS)
    assert {field.name for field in REGION} - {field.name for field in region} == set(PIXEL_CHILDREN)


def test_ledger_rows_keep_regions_row_by_row(rows, text_region):
    first, second = {**text_region(1, 2, 3, 4), "rung": "telea"}, {**text_region(5, 6, 7, 8), "rung": "patchmatch"}
    table = rows(
        {"bytes": b"a", "regions": [first, second]}, {"regions": None}, {"regions": []}, {"regions": [second], "encoded": b"b"}
    )
    for batch in (table, table.slice(1), pa.concat_tables([table.slice(0, 2), table.slice(2)])):
        slim = ledger_rows(batch)
        assert slim.schema.names == LEDGER_SCHEMA.names
        assert slim.schema.types == LEDGER_SCHEMA.types
        rungs = [None if regions is None else [region["rung"] for region in regions] for regions in slim["regions"].to_pylist()]
        assert rungs == [["telea", "patchmatch"], None, [], ["patchmatch"]][-len(batch) :]
        assert "probability" not in str(slim["regions"].to_pylist())
