"""Short spellings of BPMN models for tests."""

from itertools import pairwise

NAMESPACES = (
    'xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" xmlns:flowable="http://flowable.org/bpmn" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" targetNamespace="tests"'
)


def document(*processes: str, root: str = "") -> str:
    """A document of processes, with root elements (messages, signals, errors) before them."""
    return f"<definitions {NAMESPACES}>{root}{''.join(processes)}</definitions>"


def process(*content: str, key: str = "p", attributes: str = "") -> str:
    return f'<process id="{key}" {attributes}>{"".join(content)}</process>'


def model(*content: str, root: str = "") -> str:
    """A document of one process with key `p`."""
    return document(process(*content), root=root)


def flows(text: str) -> str:
    """Sequence flows of `a>b>c d>e`: ids are `a-b`; a default or conditional one is spelt out with `flow`."""
    found = []
    for chain in text.split():
        names = chain.split(">")
        found += [flow(source, target) for source, target in pairwise(names)]
    return "".join(found)


def flow(source: str, target: str, condition: str = "", attributes: str = "") -> str:
    inner = f"<conditionExpression><![CDATA[{condition}]]></conditionExpression>" if condition else ""
    ends = f'id="{source}-{target}" sourceRef="{source}" targetRef="{target}"'
    return f"<sequenceFlow {ends} {attributes}>{inner}</sequenceFlow>"


def start(element_id: str = "s", inner: str = "", attributes: str = "") -> str:
    return f'<startEvent id="{element_id}" {attributes}>{inner}</startEvent>'


def end(element_id: str = "e", inner: str = "", attributes: str = "") -> str:
    return f'<endEvent id="{element_id}" {attributes}>{inner}</endEvent>'


def user_task(element_id: str, inner: str = "", attributes: str = "") -> str:
    return f'<userTask id="{element_id}" name="{element_id}" {attributes}>{inner}</userTask>'


def service(element_id: str, expression: str = "${true}", attributes: str = "") -> str:
    return f'<serviceTask id="{element_id}" flowable:expression="{expression}" {attributes}/>'


def sub_process(element_id: str, *content: str, attributes: str = "", tag: str = "subProcess") -> str:
    return f'<{tag} id="{element_id}" {attributes}>{"".join(content)}</{tag}>'


def event_sub_process(element_id: str, *content: str) -> str:
    return sub_process(element_id, *content, attributes='triggeredByEvent="true"')


def boundary(element_id: str, host: str, inner: str, *, interrupting: bool = True) -> str:
    cancel = "" if interrupting else 'cancelActivity="false"'
    return f'<boundaryEvent id="{element_id}" attachedToRef="{host}" {cancel}>{inner}</boundaryEvent>'


def catch(element_id: str, inner: str = "") -> str:
    return f'<intermediateCatchEvent id="{element_id}">{inner}</intermediateCatchEvent>'


def throw(element_id: str, inner: str = "") -> str:
    return f'<intermediateThrowEvent id="{element_id}">{inner}</intermediateThrowEvent>'


def loop(cardinality: str = "2", *, sequential: bool = False, more: str = "", attributes: str = "") -> str:
    kind = "true" if sequential else "false"
    inner = f"<loopCardinality>{cardinality}</loopCardinality>" if cardinality else ""
    return (
        f'<multiInstanceLoopCharacteristics isSequential="{kind}" {attributes}>{inner}{more}'
        "</multiInstanceLoopCharacteristics>"
    )


def timer(kind: str, text: str) -> str:
    """`kind`: timeDate, timeDuration or timeCycle."""
    return f"<timerEventDefinition><{kind}>{text}</{kind}></timerEventDefinition>"


def message(name: str) -> str:
    return f'<messageEventDefinition messageRef="message-{name}"/>'


def signal(name: str) -> str:
    return f'<signalEventDefinition signalRef="signal-{name}"/>'


def messages(*names: str) -> str:
    return "".join(f'<message id="message-{name}" name="{name}"/>' for name in names)


def signals(*names: str, attributes: str = "") -> str:
    return "".join(f'<signal id="signal-{name}" name="{name}" {attributes}/>' for name in names)
