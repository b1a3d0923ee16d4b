"""Expressions and texts with expressions: parsing, what they read, their types, their values.

Pure. jinja2 gives the syntax; the meaning, the limits and the functions are ours.
"""

from aiworkflow.expr.evaluate import EvaluationError, evaluate
from aiworkflow.expr.infer import infer
from aiworkflow.expr.interpolate import data_block, render, resolve
from aiworkflow.expr.parse import parse_expression, parse_template, parse_text
from aiworkflow.expr.references import Reference, references
from aiworkflow.expr.scope import DEFAULT_LIMITS, Limits
from aiworkflow.expr.tree import Expression, Template
from aiworkflow.expr.types import (
    Anything,
    Boolean,
    Enum,
    Integer,
    JsonSchema,
    ListOf,
    Nullable,
    Number,
    ObjectOf,
    Problem,
    Property,
    Schema,
    Text,
    check,
    coerce,
    describe,
    from_json,
    is_bounded,
    json_schema,
    to_json,
)
from aiworkflow.expr.values import kind

__all__ = [
    "DEFAULT_LIMITS",
    "Anything",
    "Boolean",
    "Enum",
    "EvaluationError",
    "Expression",
    "Integer",
    "JsonSchema",
    "Limits",
    "ListOf",
    "Nullable",
    "Number",
    "ObjectOf",
    "Problem",
    "Property",
    "Reference",
    "Schema",
    "Template",
    "Text",
    "check",
    "coerce",
    "data_block",
    "describe",
    "evaluate",
    "from_json",
    "infer",
    "is_bounded",
    "json_schema",
    "kind",
    "parse_expression",
    "parse_template",
    "parse_text",
    "references",
    "render",
    "resolve",
    "to_json",
]
