"""LAB41x: what belongs inside the repeated transaction and is outside, or the other way round."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from lab.audit.kinds import SESSIONS, kind_of
from lab.audit.module import Module
from lab.audit.reading import called, calls_in
from lab.audit.retrying import Retry
from lab.audit.rule import Hit, rule

_SENDS = frozenset({"post", "put", "patch", "delete", "request", "send"})
_HTTP = ("requests", "httpx", "aiohttp")
_MAIL = frozenset({"sendmail", "send_message", "send_email", "send_raw_email"})
_MAILERS = ("smtplib", "aiosmtplib", "boto3")
_QUEUE = frozenset({"publish", "basic_publish", "send_message", "send", "send_and_wait", "enqueue", "produce"})
_QUEUES = ("pika", "aio_pika", "aiokafka", "kafka", "confluent_kafka", "rq", "boto3", "nats")
_BY_NAME = frozenset({"send_email", "send_mail", "send_sms"})


@rule(
    "LAB411",
    "COMMIT outside of the repeated block",
    why="A serializable database tells most of its conflicts at COMMIT, and there nothing is repeated any more.",
    mend="Commit inside each attempt: session, work and COMMIT belong together.",
    proof="validate lab.validate.policies.wrong:commit_outside_the_loop",
    on=Retry,
)
def commit_outside(module: Module, retry: Retry) -> Iterator[Hit]:
    """Find a loop that repeats a session's statements, and the ``commit()`` of the same session after it."""
    if retry.loop is None:
        return
    body = getattr(module.parents.get(retry.loop), "body", [])
    if not isinstance(body, list) or retry.loop not in body:
        return
    used = {name for call in calls_in(retry.body) for name in _sessions(module, call)}
    inside_names = {call.func.attr for call in calls_in([retry.loop]) if isinstance(call.func, ast.Attribute)}
    if inside_names & {"commit", "begin", "begin_nested"}:
        return
    for statement in body[body.index(retry.loop) + 1 :]:
        for call in calls_in([statement]):
            if (
                isinstance(call.func, ast.Attribute)
                and call.func.attr == "commit"
                and ast.unparse(call.func.value) in used
            ):
                yield call, f"{ast.unparse(call.func)}() after the attempts"
                return


@rule(
    "LAB412",
    "side effects in a repeated transaction",
    why="A mail, a request or a message cannot be rolled back: it goes out with each attempt, even if none commits.",
    mend="Write it to an outbox table in the transaction, and send it after COMMIT.",
    proof="run conflicts",
    on=Retry,
)
def side_effect(module: Module, retry: Retry) -> Iterator[Hit]:
    """Find mails, requests and messages that each attempt sends again."""
    for call in calls_in(retry.body):
        what = _effect(module, call)
        if what:
            yield call, f"{ast.unparse(call.func)}() sends {what} in each attempt"


RULES = (commit_outside, side_effect)


def _sessions(module: Module, call: ast.Call) -> Iterator[str]:
    receiver = [call.func.value] if isinstance(call.func, ast.Attribute) else []
    for one in (*receiver, *call.args):
        if kind_of(module, one) in SESSIONS:
            yield ast.unparse(one)


def _effect(module: Module, call: ast.Call) -> str:
    """Return what a call certainly sends to the world, "" if nothing."""
    name = called(call)
    root = _origin(module, call.func)
    if name in _SENDS and root in _HTTP:
        return "a request"
    if (name in _MAIL and root in _MAILERS) or (name in _BY_NAME and kind_of(module, call) is None):
        return "a mail" if name != "send_sms" else "a message"
    if name in _QUEUE and root in _QUEUES:
        return "a message"
    queued = name == "apply_async" or (name == "delay" and module.imports("celery"))
    return "a task" if queued and isinstance(call.func, ast.Attribute) else ""


def _origin(module: Module, function: ast.AST, depth: int = 0) -> str:
    """Return the package from which a function or the object that has it comes, "" if it cannot be seen."""
    if depth > 4:
        return ""
    resolved = module.resolve(function)
    if resolved:
        return resolved.partition(".")[0]
    match function:
        case ast.Attribute(value=value):
            return _origin(module, value, depth + 1)
        case ast.Call(func=inner):
            return _origin(module, inner, depth + 1)
        case ast.Await(value=value):
            return _origin(module, value, depth + 1)
        case ast.Name():
            found = module.lookup(function.id, function)
            nodes = [one.node for one in found if one.how in {"value", "context", "type"} and one.node is not None]
            return _origin(module, nodes[0], depth + 1) if len(found) == len(nodes) == 1 else ""
    return ""
