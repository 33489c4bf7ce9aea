"""A statement of AWS IoT SQL to a Query; SqlError for what ``sql`` does not play.

Grammar: SELECT (* | item) (, item)* FROM 'filter' (WHERE or)?; item: value AS name, or a
path, whose last part is its name; or: and (OR and)*; and: not (AND not)*; not: NOT not |
value (comparison value)?; value: literal | function(...) | path | ( or ) | case; case:
CASE or (WHEN or THEN or)+ (ELSE or)? END.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from lab.cloud import sql
from lab.cloud.sql import VERSION, Expression, Item, Query, SqlError
from lab.iot_core.topics import filter_fault

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^']|'')*')
    | (?P<number>-?\d+(?:\.\d+)?)
    | (?P<word>[A-Za-z_]\w*)
    | (?P<sign><>|<=|>=|[=<>*(),.])
    )""",
    re.VERBOSE | re.ASCII,
)
_KEYWORDS = {
    *("SELECT", "FROM", "WHERE", "AS", "AND", "OR", "NOT", "TRUE", "FALSE", "NULL"),
    *("CASE", "WHEN", "THEN", "ELSE", "END"),
}
_NOT_PLAYED = {"VALUE", "IN", "EXISTS", "LIKE"}
_COMPARISONS = ("=", "<>", "<", "<=", ">", ">=")


@dataclass(frozen=True)
class _Token:
    kind: str  # text, number, keyword, word, sign, end
    text: str


def parse(statement: str, version: str | None = VERSION) -> Query:
    """Raises SqlError. A rule that names no version has AWS's oldest, which is not played."""
    if version != VERSION:
        raise SqlError(f"awsIotSqlVersion {version}: only {VERSION} is played here")
    return _Parser(_tokens(statement)).query()


def _tokens(statement: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    statement = statement.rstrip()
    while at < len(statement):
        found = _TOKEN.match(statement, at)
        if found is None:
            raise SqlError(f"not understood: {statement[at : at + 20].strip()}")
        at = found.end()
        kind = str(found.lastgroup)
        text = found[kind]
        if kind == "word" and text.upper() in _KEYWORDS | _NOT_PLAYED:
            kind, text = "keyword", text.upper()
        tokens.append(_Token(kind, text))
    return [*tokens, _Token("end", "the end")]


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens

    def query(self) -> Query:
        self._expect("SELECT")
        whole = False
        items: list[Item] = []
        while True:
            if self._take("*"):
                if whole or items:
                    raise SqlError("* that is not the first item of SELECT")
                whole = True
            else:
                items.append(self._item())
            if not self._take(","):
                break
        self._expect("FROM")
        topic_filter = self._topic_filter()
        where = self._or() if self._take("WHERE") else None
        if self._next.kind != "end":
            raise SqlError(f"not expected: {self._next.text}")
        names = [item.name for item in items]
        if len(set(names)) < len(names):
            raise SqlError("two items of SELECT with one name")
        return Query(whole, tuple(items), topic_filter, where)

    def _item(self) -> Item:
        start = self._next
        value = self._value()
        path = getattr(value, "path", None)
        if self._take("AS"):
            name = self._pop()
            if name.kind != "word":
                raise SqlError(f"no name after AS: {name.text}")
            return Item(name.text, value)
        if path is None:
            raise SqlError(f"an item of SELECT without AS: {start.text}")
        return Item(path[-1], value)

    def _topic_filter(self) -> str:
        token = self._pop()
        if token.kind != "text":
            raise SqlError(f"FROM {token.text}: only a topic filter in quotes")
        topic_filter = _text(token)
        fault = filter_fault(topic_filter)
        if fault is not None:
            raise SqlError(f"FROM {token.text}: {fault}")
        return topic_filter

    def _or(self) -> Expression:
        left = self._and()
        while self._take("OR"):
            left = sql.either(left, self._and())
        return left

    def _and(self) -> Expression:
        left = self._not()
        while self._take("AND"):
            left = sql.both(left, self._not())
        return left

    def _not(self) -> Expression:
        if self._take("NOT"):
            return sql.negated(self._not())
        left = self._value()
        for operator in _COMPARISONS:
            if self._take(operator):
                return sql.comparison(operator, left, self._value())
        return left

    def _value(self) -> Expression:
        token = self._pop()
        if token.kind == "text":
            return sql.literal(_text(token))
        if token.kind == "number":
            return sql.literal(float(token.text) if "." in token.text else int(token.text))
        if token.text in ("TRUE", "FALSE", "NULL") and token.kind == "keyword":
            return sql.literal({"TRUE": True, "FALSE": False, "NULL": None}[token.text])
        if token.text == "(":
            inner = self._or()
            self._expect(")")
            return inner
        if token == _Token("keyword", "CASE"):
            return self._case()
        if token.kind != "word":
            raise SqlError(f"not expected: {token.text}")
        if self._take("("):
            return self._function(token.text)
        return self._path(token.text)

    def _case(self) -> Expression:
        of = self._or()
        cases: list[tuple[Expression, Expression]] = []
        while self._take("WHEN"):
            when = self._or()
            self._expect("THEN")
            cases.append((when, self._or()))
        if not cases:
            raise SqlError("CASE without WHEN")
        otherwise = self._or() if self._take("ELSE") else sql.literal(sql.UNDEFINED)
        self._expect("END")
        return sql.chosen(of, cases, otherwise)

    def _path(self, first: str) -> Expression:
        path = [first]
        while self._take("."):
            part = self._pop()
            if part.kind != "word":
                raise SqlError(f"in a path: {part.text}")
            path.append(part.text)
        return _Path(tuple(path))

    def _function(self, written: str) -> Expression:
        name = written.lower()
        if name == "isundefined":
            of = self._value()
            self._expect(")")
            return sql.is_undefined(of)
        if name == "startswith":
            whole = self._value()
            self._expect(",")
            beginning = self._value()
            self._expect(")")
            return sql.starts_with(whole, beginning)
        if name == "encode":
            self._expect("*")
            self._expect(",")
            if self._pop() != _Token("text", "'base64'"):
                raise SqlError("encode with another scheme than 'base64'")
            self._expect(")")
            return sql.encoded_payload
        if name not in sql.PLAIN_FUNCTIONS:
            raise SqlError(f"function {written}")
        if name == "topic" and self._next.kind == "number":
            level = self._pop().text
            if not level.isdigit() or int(level) < 1:
                raise SqlError(f"topic({level})")
            self._expect(")")
            return sql.topic_level(int(level))
        if not self._take(")"):
            raise SqlError(f"arguments of {written}: {self._next.text}")
        return sql.PLAIN_FUNCTIONS[name]

    # --- tokens

    @property
    def _next(self) -> _Token:
        return self._tokens[0]

    def _pop(self) -> _Token:
        token = self._next
        if token.kind == "end":
            raise SqlError("it ends too early")
        del self._tokens[0]
        return token

    def _take(self, text: str) -> bool:
        if self._next.text != text or self._next.kind not in ("sign", "keyword"):
            return False
        del self._tokens[0]
        return True

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise SqlError(f"{self._next.text} where {text} is expected")


class _Path:
    """An attribute path that remembers how it is written."""

    def __init__(self, path: tuple[str, ...]) -> None:
        self.path = path
        self._value = sql.attribute(path)

    def __call__(self, occasion: sql.Occasion) -> Any:
        return self._value(occasion)


def _text(token: _Token) -> str:
    return token.text[1:-1].replace("''", "'")
