"""Which texts a message is made with, what a template may do, and keeping them."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from flowloom.notify.v1 import template_pb2, template_service_pb2_grpc
from flowloom.notify.v1 import template_service_pb2 as pb

from mesh.errors import Unavailable
from mesh.guard import GuardedServer
from mesh.local_channel import LocalChannel, LocalServer
from notify.app.contexts import example, localized
from notify.app.ports import TemplateFailed, Texts
from notify.app.shipped import LANGUAGES, shipped
from notify.effects.rendering import TemplateProcess
from notify.model.names import CHANNELS, EVENTS
from notify.model.records import Template
from notify.settings import TemplateSettings
from tests.notify.test_deliveries import refused
from tests.notify.worlds import OneTenant, Running, World

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def template(text: str, html: str = "", subject: str = "s", event: str = "incident") -> Template:
    return Template(id="x", event=event, language="en", subject=subject, text=text, html=html)


@pytest.fixture
async def process() -> AsyncIterator[TemplateProcess]:
    found = TemplateProcess(TemplateSettings(render_seconds=10.0))
    yield found
    await found.close()


async def render(process: TemplateProcess, made: Template, **given: Any) -> Texts:
    context = {**example(made.event, NOW, made.language, "Europe/Berlin"), **given}
    return await process.render(made, localized(context, NOW))


# --- shipped ones ---


async def test_every_event_has_shipped_texts_in_every_language_that_render(process: TemplateProcess) -> None:
    assert {(t.language, t.event) for t in shipped().values()} == {(a, b) for a in LANGUAGES for b in EVENTS}
    assert len({"en", "de"} & set(LANGUAGES)) == 2

    for made in shipped().values():
        full = await render(process, made)
        # What an event may not have is no reason to fail.
        bare = await process.render(made, localized({"event": made.event}, NOW))
        assert all(text.strip() for text in (full.subject, full.text)), made.id
        assert "{{" not in full.subject + full.text + full.html + bare.text, made.id


async def test_html_is_escaped_and_plain_text_is_not(process: TemplateProcess) -> None:
    made = shipped()["shipped.en.incident"]
    incident = {"id": "i", "reason": "x", "message": "<script>1 & 2</script>", "element_id": "g"}

    texts = await render(process, made, incident=incident)

    assert "<script>1 & 2</script>" in texts.text
    assert "&lt;script&gt;1 &amp; 2&lt;/script&gt;" in texts.html
    assert "<script>" not in texts.html


# --- what a template may not do ---


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{{ nothing }}", "'nothing' is undefined"),
        ("{{ task.nothing }}", "no attribute 'nothing'"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ task.__init__.__globals__ }}", "unsafe"),
        ("{{ event.format.__self__ }}", "no attribute '__self__'"),
        ("{{ entries.append(1) }}", "unsafe"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{% import 'os' as os %}", "no loader"),
        ("{{ lipsum() }}", "'lipsum' is undefined"),
        ("{% for n in range(1000000) %}x{% endfor %}", "range of at most 10000"),
        ("{{ 'x' * 100000000 }}", "at most 10000 repetitions"),
        ("{{ 10 ** 1000000 }}", "power of at most 10000"),
        ("{{ 'x' | center(1000000000) }}", "less memory"),
        ("{% for n in range(9999) %}{{ 'x' * 9999 }}{% endfor %}", "setting: output_characters"),
        ("{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}", "less nesting"),
        ("{{ 'x' ", "line 1"),
        ("{% if %}", "line 1"),
    ],
)
async def test_a_template_is_kept_to_its_values_and_its_room(process: TemplateProcess, text: str, reason: str) -> None:
    with pytest.raises(TemplateFailed) as failed:
        await render(process, template(text))

    assert reason in str(failed.value)
    assert (await render(process, template("fine {{ event }}"))).text == "fine incident"


async def test_a_template_that_takes_too_long_is_given_up_and_the_next_one_rendered() -> None:
    process = TemplateProcess(TemplateSettings(render_seconds=0.3))
    loop = "{% set l = range(9000) | list %}" + "{% for a in l %}" * 3 + "{% endfor %}" * 3

    with pytest.raises(TemplateFailed, match=r"in 0\.3 s of the processor"):
        await process.render(template(loop), example("incident", NOW, "en", "UTC"))
    texts = await process.render(template("fine"), example("incident", NOW, "en", "UTC"))
    await process.close()

    assert texts.text == "fine"


async def test_a_renderer_that_is_killed_is_no_fault_of_the_template_and_comes_back(process: TemplateProcess) -> None:
    assert (await render(process, template("fine"))).text == "fine"
    assert process._process is not None
    os.kill(process._process.pid, signal.SIGSTOP)
    rendering = asyncio.create_task(render(process, template("fine")))
    await asyncio.sleep(0)
    os.kill(process._process.pid, signal.SIGKILL)

    with pytest.raises(Unavailable, match="ended with code -9"):
        await rendering
    assert (await render(process, template("fine"))).text == "fine"


async def test_messages_are_rendered_one_after_the_other_and_none_gets_anothers_text(process: TemplateProcess) -> None:
    made = [template(f"text {n}") for n in range(50)]

    found = await asyncio.gather(*(render(process, one) for one in made))

    assert [texts.text for texts in found] == [f"text {n}" for n in range(50)]


# --- keeping them ---


async def create(notify: Running, **fields: Any) -> template_pb2.Template:
    values = {"event": "message", "language": "en", "subject": "s", "text": "t", **fields}
    found: template_pb2.Template = await notify.templates.CreateTemplate(pb.CreateTemplateRequest(**values))
    return found


async def test_a_template_can_be_added_read_changed_and_removed(world: World) -> None:
    notify = await world.start()

    made = await create(notify, channel="sms", language="de-AT", tenant_id="muppets", request_id="once")
    again = await create(notify, channel="sms", language="de-AT", tenant_id="muppets", request_id="once")
    update = pb.UpdateTemplateRequest(template_id=made.id, subject="new", text="{{ event }}", html="<p></p>")
    changed = await notify.templates.UpdateTemplate(update)
    read = await notify.templates.GetTemplate(pb.GetTemplateRequest(template_id=made.id))
    listed = await notify.templates.ListTemplates(pb.ListTemplatesRequest(channel="sms", tenant_id="muppets"))
    delete = pb.DeleteTemplateRequest(template_id=made.id, request_id="gone")
    for _ in range(2):
        await notify.templates.DeleteTemplate(delete)

    assert made == again
    assert (changed.subject, changed.text, changed.html, changed.language) == ("new", "{{ event }}", "<p></p>", "de-AT")
    assert read == changed
    assert list(listed.data) == [read]
    assert await refused(notify.templates.GetTemplate(pb.GetTemplateRequest(template_id=made.id))) == (
        "template-not-found"
    )


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"event": "sunrise"}, "invalid-template"),
        ({"channel": "pigeon"}, "invalid-template"),
        ({"language": ""}, "invalid-template"),
        ({"language": "German!"}, "invalid-template"),
        ({"text": ""}, "invalid-template"),
        ({"text": "x" * 65_537}, "invalid-template"),
        ({"text": "{{ oops"}, "template-malformed"),
        ({"html": "{% for %}"}, "template-malformed"),
    ],
)
async def test_a_template_that_cannot_be_one_is_refused(small_world: World, fields: Any, reason: str) -> None:
    notify = await small_world.start()

    assert await refused(create(notify, **fields)) == reason


async def test_there_is_one_template_of_event_channel_language_and_tenant(small_world: World) -> None:
    notify = await small_world.start()
    await create(notify)

    assert await refused(create(notify, text="other")) == "template-exists"


async def test_shipped_templates_can_be_seen_and_not_changed(small_world: World) -> None:
    notify = await small_world.start()

    listed = await notify.templates.ListTemplates(pb.ListTemplatesRequest(shipped=True, language="de"))
    read = await notify.templates.GetTemplate(pb.GetTemplateRequest(template_id="shipped.de.digest"))
    update = pb.UpdateTemplateRequest(template_id=read.id, subject="x", text="x")

    assert len(listed.data) == len(EVENTS)
    assert read.shipped
    assert await refused(notify.templates.UpdateTemplate(update)) == "template-shipped"
    delete = pb.DeleteTemplateRequest(template_id=read.id)
    assert await refused(notify.templates.DeleteTemplate(delete)) == "template-shipped"


async def test_a_message_takes_the_template_of_its_tenant_then_language_then_channel(small_world: World) -> None:
    notify = await small_world.start(language="zh")
    added = [
        ("", "en", ""),
        ("", "zh", "sms"),
        ("", "de", ""),
        ("", "de-AT", "sms"),
        ("muppets", "zh", ""),
        ("muppets", "de", "sms"),
    ]
    for tenant_id, language, channel in added:
        text = f"{tenant_id}/{language}/{channel}"
        await create(notify, tenant_id=tenant_id, language=language, channel=channel, text=text)

    async def chosen(tenant_id: str, language: str, channel: str) -> str:
        request = pb.PreviewTemplateRequest(event="message", tenant_id=tenant_id, language=language, channel=channel)
        return str((await notify.templates.PreviewTemplate(request)).text)

    assert await chosen("muppets", "de-AT", "sms") == "muppets/de/sms"
    assert await chosen("muppets", "de-AT", "mail") == "muppets/zh/"
    assert await chosen("muppets", "fr", "mail") == "muppets/zh/"
    assert await chosen("", "de-AT", "sms") == "/de-AT/sms"
    assert await chosen("", "de-AT", "mail") == "/de/"
    assert await chosen("", "fr", "sms") == "/zh/sms"
    # No added one of the usual language is for mail, but a shipped one is, and that comes before English.
    assert await chosen("", "fr", "mail") == "A text of its own."
    assert await chosen("", "en", "mail") == "/en/"


async def test_a_preview_shows_what_is_given_over_an_example_and_keeps_nothing(small_world: World) -> None:
    notify = await small_world.start()
    context = {"task": {"name": "Mine & yours"}}
    request = pb.PreviewTemplateRequest(
        event="task-assigned", subject="{{ task.name }}", text="{{ recipient.name }}", html="{{ task.name }}"
    )
    request.context.update(context)

    shown = await notify.templates.PreviewTemplate(request)

    assert (shown.subject, shown.text, shown.html) == ("Mine & yours", "Kermit the Frog", "Mine &amp; yours")
    assert len((await notify.templates.ListTemplates(pb.ListTemplatesRequest())).data) == 0
    for name in CHANNELS:
        for event in EVENTS:
            usual = pb.PreviewTemplateRequest(event=event, channel=name)
            assert (await notify.templates.PreviewTemplate(usual)).text
    request.text = "{{ oops }}"
    assert await refused(notify.templates.PreviewTemplate(request)) == "template-fails"


async def test_a_tenant_sees_and_changes_its_own_templates_only(small_world: World) -> None:
    notify = await small_world.start()
    shared = await create(notify)
    mine = await create(notify, tenant_id="muppets")
    theirs = await create(notify, tenant_id="others")
    templates = await _as_tenant(notify, "muppets")

    seen = await templates.ListTemplates(pb.ListTemplatesRequest())
    own = await templates.CreateTemplate(pb.CreateTemplateRequest(event="digest", language="en", subject="s", text="t"))

    assert {row.id for row in seen.data} == {shared.id, mine.id}
    assert own.tenant_id == "muppets"
    assert await refused(templates.GetTemplate(pb.GetTemplateRequest(template_id=theirs.id))) == "template-not-found"
    for template_id, reason in ((shared.id, "template-shared"), (theirs.id, "template-not-found")):
        update = pb.UpdateTemplateRequest(template_id=template_id, subject="x", text="x")
        assert await refused(templates.UpdateTemplate(update)) == reason
    foreign = pb.CreateTemplateRequest(event="digest", language="en", tenant_id="others", text="t")
    assert await refused(templates.CreateTemplate(foreign)) == "foreign-tenant"


async def _as_tenant(notify: Running, tenant_id: str) -> Any:
    server = LocalServer()
    notify.service.add_to(GuardedServer((server,), access=OneTenant(tenant_id)))
    await server.start()
    channel: Any = LocalChannel(server)
    return template_service_pb2_grpc.TemplateServiceStub(channel)
