"""Nothing leaves the machine, and nobody sees what is another's."""

import http.client
import json

import psutil

from tests.e2e.conftest import Open, Server


def test_the_server_talks_to_nobody_else(server: Server, visit: Open) -> None:
    here = visit()
    here.load_demo()
    here.fuse()
    process = psutil.Process(server.process.pid)
    others = {
        connection.raddr.ip
        for member in (process, *process.children(recursive=True))
        for connection in member.net_connections()
        if connection.raddr
    }
    assert others <= {"127.0.0.1", "::1"}


def test_every_tab_asks_this_machine_alone(server: Server, visit: Open) -> None:
    here = visit()
    for tab in ("batch", "history", "system", "guide", "fuse"):
        here.show(tab)
        here.page.wait_for_load_state("networkidle")
    web = [url for url in here.requests if url.startswith("http")]
    assert web
    assert all(url.startswith(server.url) for url in web)
    assert "githubusercontent" not in here.page.content()
    fonts = here.page.evaluate("[...document.fonts].map(({ family }) => family)")
    assert fonts == []  # those of the system do


def test_the_visitor_s_name_is_out_of_scripts_reach(visit: Open) -> None:
    here = visit()
    assert here.page.evaluate("document.cookie") == ""
    (cookie,) = here.page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    here.open()
    assert here.page.context.cookies() == [cookie]


def test_another_visitor_has_another_history(visit: Open) -> None:
    here, other = visit(), visit()
    here.load_demo()
    here.fuse()
    same = visit(beside=here)
    count = "studio.call('history_list').then(({ entries }) => entries.length)"
    assert here.page.evaluate(count) == same.page.evaluate(count) == 1
    assert other.page.evaluate(count) == 0
    photo = here.page.evaluate("studio.state.target.id")
    refused = "(photo) => studio.call('look', { slot: 'target', photo }).catch(({ code }) => code)"
    assert other.page.evaluate(refused, photo) == "bad_option"


def ask(server: Server, path: str, body: object = None) -> tuple[int, bytes]:
    asking = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=30)
    headers = {"Content-Type": "application/json"}
    asking.request("GET" if body is None else "POST", path, json.dumps(body), headers)
    answer = asking.getresponse()
    content = answer.read()
    asking.close()
    return answer.status, content


def test_files_outside_are_not_given_out(server: Server) -> None:
    for path in ("/etc/passwd", "/proc/self/environ", str(server.storage / "cache")):
        status, _ = ask(server, f"/gradio_api/file={path}")
        assert status in (403, 404)
    status, _ = ask(server, "/gradio_api/file=https://example.org/x.jpg")
    assert status == 403
