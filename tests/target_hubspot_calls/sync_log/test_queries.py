"""The statements, and the promise that no value is ever put into one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import target_hubspot_calls.sync_log.queries as room
from target_hubspot_calls.sync_log.queries import load_queries
from target_hubspot_calls.sync_log.rows import COLUMNS

FOLDER = Path(room.__file__).parent


def test_every_statement_has_a_name_and_a_line_of_why():
    text = (FOLDER / "queries.sql").read_text("utf-8")

    names = re.findall(r"^-- name: (\w+)$", text, flags=re.MULTILINE)

    assert list(load_queries()) == names
    assert all(statement and "--" not in statement for statement in load_queries().values())


def test_the_columns_of_the_rows_are_those_of_the_table():
    body = load_queries()["create_table"].partition("(")[2]

    assert re.findall(r"^    (\w+) ", body, flags=re.MULTILINE) == list(COLUMNS)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_no_statement_is_put_together_from_values(path):
    sql = re.compile(r"\b(SELECT|INSERT|DELETE|UPDATE|WHERE|CREATE|ATTACH|PRAGMA)\b")

    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))

    built = [node for node in nodes if isinstance(node, ast.JoinedStr) and sql.search(_text(node))]
    executed = [
        node.args[0]
        for node in nodes
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("execute", "sql", "executemany")
    ]
    assert built == []
    assert not any(isinstance(sql, ast.JoinedStr | ast.BinOp) for sql in executed)


def _text(node: ast.JoinedStr) -> str:
    return "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
