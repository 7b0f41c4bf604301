"""Every route, asked by Schemathesis what its OpenAPI allows and what it does not: are the answers described?"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from running import PATIENCE
from schemathesis import APIOperation, Case, GenerationMode, SerializationContext
from schemathesis.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok

Operation = APIOperation[Any, Any, Any, Any]

SEED = 7
ANSWER_WITHIN_S = 30.0
CHECKS = [content_type_conformance, response_headers_conformance, response_schema_conformance]


@schemathesis.serializer("application/x-ndjson")
def _lines(_: SerializationContext, value: Any) -> bytes:
    """Schemathesis knows no NDJSON: any text is as good."""
    return value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")


@dataclass
class Found:
    answers: dict[str, Counter[int]] = field(default_factory=dict)  # of each operation by status
    wrong: dict[tuple[str, str], str] = field(default_factory=dict)  # operation and what is wrong → one example

    def statuses(self) -> set[int]:
        return {status for answers in self.answers.values() for status in answers}

    def __str__(self) -> str:
        """A line for each operation."""
        lines = [f"{label:44} {dict(sorted(answers.items()))}" for label, answers in self.answers.items()]
        asked = sum(answers.total() for answers in self.answers.values())
        return "\n".join([*lines, f"{asked:,} requests, {len(self.wrong)} answers not as described"])


def fuzz(base_url: str, keys: Mapping[str, Sequence[str]], examples: int, dear: Mapping[str, int]) -> Found:
    """Blocks. `keys`: by the beginning of a path, the first that fits, API keys to ask with; "" is none. `examples`: of
    each operation; of those that take long as many as `dear` says, or an eighth."""
    found = Found()
    with requests.Session() as session:
        for operation in operations(base_url):
            path = operation.path
            shown = next(of for start, of in keys.items() if path.startswith(start))
            few = next((few for start, few in dear.items() if path.startswith(start)), examples)
            _ask(operation, session, base_url, shown, min(examples, max(few, examples // 8)), found)
    return found


def operations(base_url: str) -> Iterator[Operation]:
    described = requests.get(f"{base_url}/openapi.json", timeout=ANSWER_WITHIN_S * PATIENCE).json()
    for operation in schemathesis.openapi.from_dict(described).get_all_operations():
        assert isinstance(operation, Ok), operation
        yield operation.ok()


def _ask(
    operation: Operation, session: requests.Session, base_url: str, keys: Sequence[str], examples: int, found: Found
) -> None:
    answers = found.answers.setdefault(operation.label, Counter())
    cases = [operation.as_strategy(generation_mode=GenerationMode.POSITIVE), *operation.get_strategies_from_examples()]
    if operation.query or operation.body or operation.path_parameters or operation.headers:
        cases.append(operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))

    @seed(SEED)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.one_of(cases), st.sampled_from(keys))
    def ask(case: Case[Any], key: str) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        asked = case.as_transport_kwargs(base_url=base_url, headers=headers)
        # Live values have no end: that they begin is all there is to see.
        with session.request(**asked, stream=True, timeout=ANSWER_WITHIN_S * PATIENCE) as response:
            answers[response.status_code] += 1
            streams = response.headers.get("content-type", "").startswith("text/event-stream")
            if streams:
                response.raw.close()  # else the rest of it would be taken for the next answer
                response._content = b""
            said = f"{case.as_curl_command(headers)}\n{response.status_code} {response.text[:500]}\n"
            # By itself: what is there for every other status says nothing of this one.
            if str(response.status_code) not in operation.definition.raw["responses"]:
                found.wrong.setdefault((operation.label, str(response.status_code)), said)
            try:
                case.validate_response(response, checks=CHECKS[:-1] if streams else CHECKS)
            except FailureGroup as failures:
                for failure in failures.exceptions:
                    found.wrong.setdefault((operation.label, type(failure).__name__), f"{said}{failure}")

    ask()
