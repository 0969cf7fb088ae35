"""Values from text that Python's `repr` made, without running any of it.

Besides plain literals the georeference of rasterio is understood (`CRS.from_epsg(32618)`, `CRS.from_wkt('...')`,
`CRS.from_dict(...)`, `Affine(...)`), and `nan` and `inf`. Everything else is refused.
"""

from __future__ import annotations

import ast
from typing import Any

_CRS_FORMS = ("from_epsg", "from_wkt", "from_string", "from_dict", "from_user_input")
_NAMES = {"nan": float("nan"), "inf": float("inf")}
MAX_LENGTH = 1_000_000


def parse_literal(text: str) -> Any:
    """The value of the text. Raises ValueError where it holds anything but literals.

    `Affine(a, b, c, d, e, f, ...)` becomes {"affine": [a, b, ...]}, `CRS.from_epsg(n)` {"crs": n}, `CRS.from_wkt(t)`
    {"crs": t}, `CRS.from_dict(...)` {"crs": {...}}.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"a text of {len(text)} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval")
        return ast.literal_eval(_Georeference().visit(tree))
    except (SyntaxError, TypeError, MemoryError, RecursionError, ValueError) as e:
        raise ValueError(f"no plain values: {text[:60]!r} ({e})") from e


class _Georeference(ast.NodeTransformer):
    """Turns the few calls that stand for a place on earth into dicts of their arguments."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        called = ast.unparse(node.func)
        if called == "Affine" and not node.keywords:
            return _dict("affine", ast.List(node.args, ast.Load()))
        if called in [f"CRS.{form}" for form in _CRS_FORMS]:
            if len(node.args) == 1 and not node.keywords:
                return _dict("crs", node.args[0])
            if not node.args and all(k.arg for k in node.keywords):
                keys: list[ast.expr | None] = [ast.Constant(k.arg) for k in node.keywords]
                return _dict("crs", ast.Dict(keys, [k.value for k in node.keywords]))
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Constant(_NAMES[node.id]) if node.id in _NAMES else node


def _dict(key: str, value: ast.expr) -> ast.Dict:
    return ast.Dict([ast.Constant(key)], [value])
