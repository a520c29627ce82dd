"""The requests of HTTP tasks, against a real server on loopback."""

from collections.abc import Sequence
from typing import Any

import pytest

from engine.effects.http_requests import HttpRequests, HttpSettings
from engine.kernel import commands as cmd
from mesh.addresses import is_public
from tests.engine.effects.websites import answer, website

OPEN = HttpSettings(http_allow_private_addresses=True)


def payload(url: str, **more: Any) -> dict[str, Any]:
    return {
        "request": {
            "method": "GET",
            "url": url,
            "headers": "",
            "body": "",
            "timeout_ms": 5000,
            "follow_redirects": True,
            "fail_codes": [],
            "handle_codes": [],
            "ignore_error": False,
            **more,
        }
    }


async def report(settings: HttpSettings, asked: dict[str, Any], **more: Any) -> cmd.Command:
    requests = HttpRequests(settings, **more)
    try:
        return await requests.report("job-1", asked)
    finally:
        await requests.aclose()


def told(command: cmd.Command) -> dict[str, Any]:
    assert isinstance(command, cmd.CompleteJob)
    return {name: variable.value for name, variable in command.variables.items()}


async def test_an_answer_completes_the_job_with_all_that_came_back() -> None:
    async with website(hello=lambda asked: answer(body="grüß dich", X_More="yes")) as site:
        found = told(await report(OPEN, payload(site.url("/hello"))))

    assert (found["status_code"], found["reason"], found["body"]) == (200, "OK", "grüß dich")
    assert "X-More: yes" in found["headers"]
    assert found["protocol"] == "HTTP/1.1"


async def test_method_headers_and_body_are_sent_with_the_job_as_idempotency_key() -> None:
    async with website(hook=lambda asked: answer("201 Created")) as site:
        await report(
            OPEN,
            payload(site.url("/hook"), method="POST", headers="X-Who: kermit\nAccept: text/plain", body='{"ä": 1}'),
        )
        asked = site.asked[0]

    assert (asked.method, asked.body.decode()) == ("POST", '{"ä": 1}')
    assert (asked.headers["x-who"], asked.headers["accept"]) == ("kermit", "text/plain")
    assert asked.headers["idempotency-key"] == "job-1"


async def test_the_model_may_give_an_idempotency_key_of_its_own() -> None:
    async with website(hook=lambda asked: answer()) as site:
        await report(OPEN, payload(site.url("/hook"), headers="Idempotency-Key: mine"))

    assert site.asked[0].headers["idempotency-key"] == "mine"


@pytest.mark.parametrize("pattern", ["404", "4XX"])
async def test_a_handled_status_throws_a_bpmn_error(pattern: str) -> None:
    async with website(gone=lambda asked: answer("404 Not Found")) as site:
        command = await report(OPEN, payload(site.url("/gone"), handle_codes=[pattern], fail_codes=["404"]))

    assert isinstance(command, cmd.ThrowJobError)
    assert command.error_code == "HTTP404"


@pytest.mark.parametrize("pattern", ["503", "5XX"])
async def test_a_status_that_fails_costs_an_attempt(pattern: str) -> None:
    async with website(down=lambda asked: answer("503 Service Unavailable")) as site:
        command = await report(OPEN, payload(site.url("/down"), fail_codes=[pattern]))

    assert isinstance(command, cmd.FailJob)
    assert "503" in command.error


async def test_any_other_status_is_an_answer() -> None:
    async with website(down=lambda asked: answer("500 Internal Server Error", "oops")) as site:
        found = told(await report(OPEN, payload(site.url("/down"))))

    assert (found["status_code"], found["body"]) == (500, "oops")


async def test_an_ignored_error_completes_the_job_and_tells_it() -> None:
    async with website(down=lambda asked: answer("503 Service Unavailable")) as site:
        found = told(await report(OPEN, payload(site.url("/down"), fail_codes=["5XX"], ignore_error=True)))

    assert found["status_code"] == 503
    assert "503" in found["error"]


async def test_redirects_are_followed_unless_the_model_says_no() -> None:
    async with website(
        old=lambda asked: answer("302 Found", Location="/new"), new=lambda asked: answer(body="here")
    ) as site:
        followed = told(await report(OPEN, payload(site.url("/old"))))
        stayed = told(await report(OPEN, payload(site.url("/old"), follow_redirects=False)))

    assert (followed["status_code"], followed["body"]) == (200, "here")
    assert stayed["status_code"] == 302


async def test_redirects_in_a_circle_end() -> None:
    async with website(old=lambda asked: answer("302 Found", Location="/old")) as site:
        command = await report(OPEN, payload(site.url("/old")))

    assert isinstance(command, cmd.FailJob)
    assert "http_redirects" in command.error
    assert len(site.asked) == 11


async def test_a_private_address_is_refused_before_anything_is_sent() -> None:
    async with website(secret=lambda asked: answer()) as site:
        command = await report(HttpSettings(), payload(site.url("/secret")))

    assert isinstance(command, cmd.FailJob)
    assert "http_allow_private_addresses" in command.error
    assert site.asked == []


async def test_a_name_that_leads_to_a_private_address_is_refused() -> None:
    async def rebound(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async with website(secret=lambda asked: answer()) as site:
        command = await report(HttpSettings(), payload(site.url("/secret", "innocent.example")), resolver=rebound)

    assert isinstance(command, cmd.FailJob)
    assert site.asked == []


async def test_a_name_is_asked_for_once_and_its_checked_address_is_called() -> None:
    asked_for: list[str] = []

    async def first_only(host: str, port: int) -> Sequence[str]:
        asked_for.append(host)
        return ["127.0.0.1"] if len(asked_for) == 1 else ["203.0.113.1"]

    async with website(page=lambda asked: answer(body="ok")) as site:
        found = told(await report(OPEN, payload(site.url("/page", "shop.example")), resolver=first_only))

    assert found["body"] == "ok"
    assert asked_for == ["shop.example"]
    assert site.asked[0].headers["host"] == f"shop.example:{site.port}"


async def test_each_hop_of_a_redirect_is_checked() -> None:
    async def names(host: str, port: int) -> Sequence[str]:
        raise OSError("no such name") if host == "inner.example" else AssertionError(host)

    async with website(old=lambda asked: answer("302 Found", Location="http://inner.example/x")) as site:

        async def known(host: str, port: int) -> Sequence[str]:
            return ["127.0.0.1"] if host == "127.0.0.1" else await names(host, port)

        command = await report(OPEN, payload(site.url("/old")), resolver=known)

    assert isinstance(command, cmd.FailJob)
    assert "inner.example" in command.error


async def test_a_silent_server_is_given_up_after_the_timeout_of_the_model() -> None:
    async with website(silent=lambda asked: b"") as site:
        command = await report(OPEN, payload(site.url("/silent"), timeout_ms=100))

    assert isinstance(command, cmd.FailJob)
    assert "0.1 s" in command.error


async def test_an_endless_body_is_not_taken() -> None:
    async with website(big=lambda asked: answer(body="x" * 5000)) as site:
        command = await report(
            HttpSettings(http_allow_private_addresses=True, http_response_bytes=1000), payload(site.url("/big"))
        )

    assert isinstance(command, cmd.FailJob)
    assert "http_response_bytes" in command.error


async def test_a_compressed_body_is_not_unfolded() -> None:
    async with website(bomb=lambda asked: answer(body=b"\x1f\x8b", Content_Encoding="gzip")) as site:
        command = await report(OPEN, payload(site.url("/bomb")))

    assert isinstance(command, cmd.FailJob)
    assert site.asked[0].headers["accept-encoding"] == "identity"


async def test_nobody_at_the_address_fails_the_attempt() -> None:
    async with website() as site:
        url = site.url("/")
    command = await report(OPEN, payload(url))

    assert isinstance(command, cmd.FailJob)
    assert "ConnectError" in command.error


@pytest.mark.parametrize("url", ["file:///etc/passwd", "gopher://x", "", "http://", "no url", "http://[::"])
async def test_what_is_no_http_url_fails_the_attempt(url: str) -> None:
    assert isinstance(await report(OPEN, payload(url)), cmd.FailJob)


@pytest.mark.parametrize("headers", ["no colon", ": empty", "X-Evil: a\x00b"])
async def test_a_bad_header_fails_the_attempt(headers: str) -> None:
    async with website(page=lambda asked: answer()) as site:
        assert isinstance(await report(OPEN, payload(site.url("/page"), headers=headers)), cmd.FailJob)

    assert site.asked == []


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::",
    ],
)  # fmt: skip
def test_an_inner_address_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_an_outer_address_is_public(address: str) -> None:
    assert is_public(address)
