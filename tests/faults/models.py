"""Processes of the fault and concurrency tests: small, and between them with every kind of wait."""

from __future__ import annotations

from itertools import pairwise


def bpmn(key: str, body: str, before: str = "") -> str:
    """A document with one process; `before` stands before it (signals, messages, errors)."""
    return (
        '<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" '
        f'xmlns:flowable="http://flowable.org/bpmn" targetNamespace="t">{before}'
        f'<process id="{key}" isExecutable="true">{body}</process></definitions>'
    )


def flows(*pairs: tuple[str, str]) -> str:
    """Sequence flows from one id to another."""
    return "".join(
        f'<sequenceFlow id="f-{one}-{other}" sourceRef="{one}" targetRef="{other}"/>' for one, other in pairs
    )


def row(*elements: str) -> str:
    """A start event, elements (with the ids `e1`, `e2`, …) and an end event one after the other."""
    ids = ["start", *(f"e{n}" for n in range(1, len(elements) + 1)), "end"]
    return "".join(['<startEvent id="start"/>', *elements, '<endEvent id="end"/>']) + flows(*pairwise(ids))


def parallel(*branches: str) -> str:
    """Branches (with the ids `b1`, `b2`, …) between a parallel fork and its join, and a task `After` behind it."""
    ids = [f"b{n}" for n in range(1, len(branches) + 1)]
    return (
        '<startEvent id="start"/><parallelGateway id="fork"/><parallelGateway id="join"/>'
        '<userTask id="after" name="After"/><endEvent id="end"/>'
        + "".join(branches)
        + flows(("start", "fork"), ("join", "after"), ("after", "end"))
        + flows(*(("fork", id_) for id_ in ids))
        + flows(*((id_, "join") for id_ in ids))
    )


PAID = '<message id="m" name="paid"/>'
ALARM = '<signal id="s" name="alarm"/>'
CATCH_PAID = '<intermediateCatchEvent id="{id}"><messageEventDefinition messageRef="m"/></intermediateCatchEvent>'
CATCH_ALARM = '<intermediateCatchEvent id="{id}"><signalEventDefinition signalRef="s"/></intermediateCatchEvent>'
CATCH_HOUR = (
    '<intermediateCatchEvent id="{id}"><timerEventDefinition><timeDuration>PT1H</timeDuration></timerEventDefinition>'
    "</intermediateCatchEvent>"
)

ONE = bpmn(
    "one",
    row('<userTask id="e1" name="Approve" flowable:candidateUsers="kermit,fozzie" flowable:candidateGroups="clerks"/>'),
)
TWO = bpmn("two", row('<userTask id="e1" name="First"/>', '<userTask id="e2" name="Second"/>'))
STRAIGHT = bpmn("straight", row('<manualTask id="e1"/>'))
RICH = bpmn(
    "rich",
    parallel(
        '<userTask id="b1" name="Work" flowable:candidateGroups="clerks" flowable:assignee="${who}"/>'
        '<boundaryEvent id="late" attachedToRef="b1" cancelActivity="false"><timerEventDefinition>'
        "<timeDuration>PT1H</timeDuration></timerEventDefinition></boundaryEvent>"
        '<userTask id="hurry" name="Hurry"/><endEvent id="hurried"/>' + flows(("late", "hurry"), ("hurry", "hurried")),
        CATCH_PAID.format(id="b2"),
        CATCH_ALARM.format(id="b3"),
    ),
    PAID + ALARM,
)
JOIN = bpmn("joining", parallel('<userTask id="b1" name="Left"/>', '<userTask id="b2" name="Right"/>'))
WAIT = bpmn("wait", row('<receiveTask id="e1"/>', '<userTask id="e2" name="After"/>'))
MESSAGE = bpmn("message", row(CATCH_PAID.format(id="e1"), '<userTask id="e2" name="After"/>'), PAID)
ORDER = bpmn(
    "order",
    '<startEvent id="start"><messageEventDefinition messageRef="m"/></startEvent>'
    '<userTask id="e1" name="Pack"/><endEvent id="end"/>' + flows(("start", "e1"), ("e1", "end")),
    '<message id="m" name="order"/>',
)
SIGNAL = bpmn("signal", row(CATCH_ALARM.format(id="e1"), '<userTask id="e2" name="After"/>'), ALARM)
ON_SIGNAL = bpmn(
    "onSignal",
    '<startEvent id="start"><signalEventDefinition signalRef="s"/></startEvent>'
    '<userTask id="e1" name="Look"/><endEvent id="end"/>' + flows(("start", "e1"), ("e1", "end")),
    ALARM,
)
THROW = bpmn(
    "throw",
    row(
        '<userTask id="e1" name="Before"/>',
        '<intermediateThrowEvent id="e2"><signalEventDefinition signalRef="s"/></intermediateThrowEvent>',
        '<userTask id="e3" name="Behind"/>',
    ),
    ALARM,
)
TIMER = bpmn("timer", row(CATCH_HOUR.format(id="e1"), '<userTask id="e2" name="After"/>'))
EVERY_HOUR = bpmn(
    "everyHour",
    '<startEvent id="start"><timerEventDefinition><timeCycle>R3/PT1H</timeCycle></timerEventDefinition></startEvent>'
    '<userTask id="e1" name="Hourly"/><endEvent id="end"/>' + flows(("start", "e1"), ("e1", "end")),
)
ASYNC = bpmn("async", row('<userTask id="e1" name="Later" flowable:async="true"/>'))
FAILING = bpmn("failing", row('<serviceTask id="e1" flowable:async="true" flowable:expression="${nobody.knows}"/>'))
EXTERNAL = bpmn(
    "external",
    row('<serviceTask id="e1" flowable:type="external-worker" flowable:topic="work"/>', '<userTask id="e2"/>')
    + '<boundaryEvent id="wrong" attachedToRef="e1"><errorEventDefinition errorRef="err"/></boundaryEvent>'
    '<userTask id="repair" name="Repair"/><endEvent id="repaired"/>'
    + flows(("wrong", "repair"), ("repair", "repaired")),
    '<error id="err" errorCode="BROKEN"/>',
)
CALLING = bpmn("calling", row('<callActivity id="e1" calledElement="two"/>', '<userTask id="e2" name="Back"/>'))
FIVE = bpmn(
    "five",
    row(
        '<userTask id="e1" name="Each"><multiInstanceLoopCharacteristics isSequential="false">'
        "<loopCardinality>${n}</loopCardinality></multiInstanceLoopCharacteristics></userTask>",
        '<userTask id="e2" name="After"/>',
    ),
)
RACE = bpmn(
    "race",
    '<startEvent id="start"/><userTask id="e1" name="Work"/><endEvent id="end"/><endEvent id="byTimer"/>'
    '<endEvent id="byMessage"/><boundaryEvent id="late" attachedToRef="e1"><timerEventDefinition>'
    '<timeDuration>PT1H</timeDuration></timerEventDefinition></boundaryEvent><boundaryEvent id="told" '
    'attachedToRef="e1"><messageEventDefinition messageRef="m"/></boundaryEvent>'
    + flows(("start", "e1"), ("e1", "end"), ("late", "byTimer"), ("told", "byMessage")),
    PAID,
)
STARTED_BY_ALL = bpmn(
    "startedByAll",
    '<startEvent id="s1"><messageEventDefinition messageRef="m"/></startEvent>'
    '<startEvent id="s2"><signalEventDefinition signalRef="s"/></startEvent>'
    '<startEvent id="s3"><timerEventDefinition><timeCycle>R3/PT1H</timeCycle></timerEventDefinition></startEvent>'
    '<userTask id="e1"/><endEvent id="end"/>' + flows(("s1", "e1"), ("s2", "e1"), ("s3", "e1"), ("e1", "end")),
    '<message id="m" name="begin"/>' + ALARM,
)
