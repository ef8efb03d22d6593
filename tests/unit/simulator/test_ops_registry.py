"""Every operation takes what its call is declared to carry."""

import inspect

from lmflow.simulator import pool as _pool  # noqa: F401 - registers all operations
from lmflow.simulator.database.schema import Schema
from lmflow.simulator.registry import OPERATIONS


def test_operations_take_what_their_calls_carry() -> None:
    schema = Schema.load()
    wrong = []
    for name, operation in OPERATIONS.items():
        message = schema.find_message(name)
        assert message is not None, f"{name} is no call of the model"
        kinds = [p.kind for p in inspect.signature(operation.function).parameters.values()]
        if inspect.Parameter.VAR_POSITIONAL not in kinds and len(kinds) - 1 != len(message.params):
            wrong.append((name, len(kinds) - 1, [param.name for param in message.params]))
    assert not wrong
