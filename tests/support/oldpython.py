"""A check that code runs on Python 3.8: syntax, names, modules and expressions."""

import ast

MODULES = {
    *("__future__", "collections.abc", "copy", "importlib", "importlib.util", "inspect", "io"),
    "json",
    *("math", "numpy", "operator", "os", "re", "sys", "threading", "time", "traceback"),
    *("types", "typing", "zipfile"),
}
"""Modules whose names in 3.8 and 3.13 have been compared; another needs that first."""
NEWER = {
    *("BaseExceptionGroup", "EncodingWarning", "ExceptionGroup", "PythonFinalizationError"),
    *("add_note", "aiter", "anext", "bit_count", "removeprefix", "removesuffix"),
    *("Annotated", "Concatenate", "LiteralString", "Never", "NoDefault", "NotRequired"),
    *("ParamSpec", "ParamSpecArgs", "ParamSpecKwargs", "ReadOnly", "Required", "Self"),
    *("TypeAlias", "TypeAliasType", "TypeGuard", "TypeIs", "TypeVarTuple", "Unpack"),
    *("assert_never", "assert_type", "clear_overloads", "dataclass_transform", "get_overloads"),
    *("get_protocol_members", "is_protocol", "is_typeddict", "override", "reveal_type"),
    *("EllipsisType", "GenericAlias", "NoneType", "NotImplementedType", "UnionType"),
    *("get_original_bases", "Buffer", "cbrt", "exp2", "fma", "lcm", "nextafter", "sumprod", "ulp"),
    *("text_encoding", "eventfd", "pidfd_open", "process_cpu_count", "splice", "unshare"),
    *("isjunction", "splitroot", "waitstatus_to_exitcode", "PatternError", "NOFLAG"),
    *("exception", "monitoring", "orig_argv", "platlibdir", "stdlib_module_names"),
    *("setprofile_all_threads", "settrace_all_threads", "get_annotations", "getmembers_static"),
    *("getasyncgenlocals", "getasyncgenstate", "ismethodwrapper", "markcoroutinefunction"),
    *("BufferFlags", "co_lines", "co_positions", "co_qualname", "call", "locked_lock"),
}
"""Names that those modules and the built-in types have had since 3.9 or later."""
ARGUMENTS = {"kw_only", "slots", "strict"}
BUILTIN = {"dict", "frozenset", "list", "set", "tuple", "type"}


def newer(code: str) -> list[str]:
    """Return what Python 3.8 lacks; raise SyntaxError for syntax that it lacks.

    Annotations count where they are evaluated, and imports of type checkers do not. Every `|` is
    counted: unions of types need 3.10, and those of dicts 3.9.
    """
    tree = ast.parse(code, feature_version=(3, 8))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names = [(node.module, each.name) for node in imports for each in node.names]
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
        if ("__future__", "annotations") not in names:
            continue
        if isinstance(node, ast.arg | ast.AnnAssign):
            node.annotation = None
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
    typing = {name for module, name in names if module == "typing"}
    return [ast.unparse(node) for node in ast.walk(tree) if _lacks(node, typing)]


def _lacks(node: ast.AST, typing: set[str]) -> bool:
    """Return whether 3.8 lacks what a node names; `typing`: the names imported from there."""
    match node:
        case ast.BinOp(op=ast.BitOr()) | ast.AugAssign(op=ast.BitOr()):
            return True
        case ast.Import():
            return any(each.name not in MODULES for each in node.names)
        case ast.ImportFrom():
            return node.module not in MODULES
        case ast.alias(name=name) | ast.Attribute(attr=name) | ast.Name(id=name):
            return name in NEWER
        case ast.keyword():
            return node.arg in ARGUMENTS
        case ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name)):
            is_class = name[0].isupper() and not name.isupper()
            return (is_class and name not in typing) or name in BUILTIN
    return False
