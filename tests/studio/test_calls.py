"""How the browser's calls reach our functions, and how errors reach the browser."""

import asyncio
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from httpx import ASGITransport, AsyncClient

from common.errors import MemoryLimitError, OptionError, UnreadableImageError
from studio.page.calls import Asked, Data, error_answer, read, server_functions
from studio.page.privacy import COOKIE
from studio.page.visits import Visit, Visits
from tests.studio.loops import run

STORAGE = Path("/srv/secret place/run-1")
TAB = "0123456789abcdef"
VISITOR = "v" * 32


class Greeting(Asked):
    name: str
    times: int = 1


class Greetings:
    """Some calls as the areas of the page make them."""

    names = ("greet", "greet_later", "fail", "fail_later", "break_down")

    def __init__(self) -> None:
        self.visits: list[Visit] = []

    def greet(self, visit: Visit, data: Data) -> Data:
        self.visits.append(visit)
        asked = read(Greeting, data)
        return {"text": f"Hello {asked.name}" * asked.times}

    async def greet_later(self, visit: Visit, data: Data) -> Data:
        assert not visit.is_left(visit.heard + 1e9, 1.0)  # somebody waits for the answer
        await asyncio.sleep(0)
        return self.greet(visit, data)

    def fail(self, *_: object) -> Data:
        raise UnreadableImageError(f"{STORAGE}/abc/me.jpg is not a picture")

    async def fail_later(self, visit: Visit, data: Data) -> Data:
        await asyncio.sleep(0)
        return self.fail(visit, data)

    def break_down(self, *_: object) -> Data:
        raise KeyError("a bug")

    def not_for_the_browser(self, *_: object) -> Data:
        raise AssertionError


@pytest.fixture
def greetings() -> Greetings:
    return Greetings()


@pytest.fixture
def visits() -> Visits:
    return Visits(3600)


@pytest.fixture
def functions(greetings: Greetings, visits: Visits) -> dict[str, Any]:
    made = server_functions([greetings], visits, STORAGE)
    return {function.__name__: function for function in made}


def request(cookies: str = f"{COOKIE}={VISITOR}") -> gr.Request:
    return gr.Request(headers={"cookie": cookies})


def test_only_named_calls_can_be_made(functions: dict[str, Any]) -> None:
    assert tuple(functions) == Greetings.names


def test_an_answer_and_its_visit(
    functions: dict[str, Any], greetings: Greetings, visits: Visits
) -> None:
    answer = functions["greet"]({"name": "Anna", "times": 2, "tab": TAB}, request())
    assert answer == {"answer": {"text": "Hello AnnaHello Anna"}}
    later = run(functions["greet_later"]({"name": "Ben", "tab": TAB}, request()))
    assert later == {"answer": {"text": "Hello Ben"}}
    first, second = greetings.visits
    assert first is second is visits.find(VISITOR, TAB)
    assert first.is_left(first.heard + 1.0, 0.5)  # both calls are over


def test_other_visitors_and_tabs_are_other_visits(
    functions: dict[str, Any], greetings: Greetings
) -> None:
    other = f"other=1; {COOKIE}={'w' * 32}; last=2"
    for tab, cookies in ((TAB, f"{COOKIE}={VISITOR}"), (TAB, other), ("t" * 16, other), (TAB, "")):
        functions["greet"]({"name": "A", "tab": tab}, request(cookies))
    visitors = [visit.visitor for visit in greetings.visits]
    assert len(set(map(id, greetings.visits))) == 4
    assert visitors == [VISITOR, "w" * 32, "w" * 32, TAB]  # without cookies a page is its own


@pytest.mark.parametrize(
    "data",
    [None, [], "text", {}, {"tab": None}, {"tab": 7}, {"tab": "short"}, {"tab": "x" * 65}],
)
@pytest.mark.parametrize("name", ["greet", "greet_later"])
def test_calls_from_nowhere_are_refused(
    functions: dict[str, Any], greetings: Greetings, name: str, data: Any
) -> None:
    answered = functions[name](data, request())
    answer = run(answered) if asyncio.iscoroutine(answered) else answered
    assert answer["error"]["code"] == OptionError.code
    assert greetings.visits == []


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({}, "name"),
        ({"name": None}, "name"),
        ({"name": "A", "times": "many"}, "times"),
        ({"name": "A", "times": float("inf")}, "times"),
        ({"name": "A", "what": 1}, "what"),
    ],
)
def test_data_that_the_page_does_not_send_is_refused(data: Data, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        read(Greeting, data)


@pytest.mark.parametrize("name", ["fail", "fail_later"])
def test_errors_become_answers_and_tell_no_place(functions: dict[str, Any], name: str) -> None:
    answered = functions[name]({"tab": TAB}, request())
    answer = run(answered) if asyncio.iscoroutine(answered) else answered
    error = answer["error"]
    assert error["code"] == UnreadableImageError.code
    assert error["text"]["en"] == "me.jpg is not a picture."
    assert set(error["text"]) == {"en", "zh"}
    assert "secret" not in repr(answer)


def test_an_error_may_come_with_advice() -> None:
    answer = error_answer(MemoryLimitError("memory ran out somewhere"), STORAGE)
    assert answer["code"] == "out_of_memory"
    assert answer["text"]["en"] == "Memory ran out somewhere."
    assert answer["advice"] is None or set(answer["advice"]) == {"en", "zh"}


def test_a_bug_is_not_taken_for_an_answer(functions: dict[str, Any]) -> None:
    with pytest.raises(KeyError):
        functions["break_down"]({"tab": TAB}, request())


def test_gradio_hands_the_calls_on(functions: dict[str, Any], greetings: Greetings) -> None:
    async def talk() -> None:
        with gr.Blocks(analytics_enabled=False) as page:
            part = gr.HTML("", server_functions=list(functions.values()))
        app = ASGITransport(gr.routes.App.create_app(page))

        async def call(name: str, data: Any) -> tuple[int, Any]:
            sent = {"data": data, "component_id": part._id, "fn_name": name, "session_hash": "s"}
            answer = await client.post("/gradio_api/component_server", json=sent)
            return answer.status_code, answer.json()

        cookies = {COOKIE: VISITOR}
        async with AsyncClient(transport=app, base_url="http://studio", cookies=cookies) as client:
            for name in ("greet", "greet_later"):
                answer = await call(name, {"name": "Anna", "tab": TAB})
                assert answer == (200, {"answer": {"text": "Hello Anna"}})
            assert [visit.visitor for visit in greetings.visits] == [VISITOR] * 2
            for name, data in (("fail_later", {"tab": TAB}), ("fail", [TAB])):
                status, answer = await call(name, data)
                assert status == 200
                assert set(answer) == {"error"}
            assert (await call("not_for_the_browser", {"tab": TAB}))[0] == 404

    run(talk())
