"""Which plain attributes BPMN 2.0 elements have (Semantic.xsd of the specification), so that misspelt ones are found.

Attributes in a namespace of their own are extensions and always allowed. Elements that are not listed are not checked.
"""

from collections.abc import Iterator
from typing import Final

from engine.kernel.reading import FLOW_ELEMENT_NAMESPACE, Problem, Source

_BASE: Final = frozenset(("id",))
_NAMED: Final = _BASE | {"name"}
_ACTIVITY: Final = _NAMED | {"isForCompensation", "startQuantity", "completionQuantity", "default"}
_TASK: Final = _ACTIVITY
_OPERATION: Final = _TASK | {"implementation", "operationRef"}
_MESSAGE_TASK: Final = _OPERATION | {"messageRef"}
_CATCH: Final = _NAMED | {"parallelMultiple"}
_GATEWAY: Final = _NAMED | {"gatewayDirection"}
_DATA: Final = _NAMED | {"itemSubjectRef"}
_RESOURCE: Final = _NAMED
_SUB_PROCESS: Final = _ACTIVITY | {"triggeredByEvent"}

ATTRIBUTES: Final[dict[str, frozenset[str]]] = {
    "definitions": _NAMED | {"targetNamespace", "expressionLanguage", "typeLanguage", "exporter", "exporterVersion"},
    "import": frozenset(("namespace", "location", "importType")),
    "process": _NAMED | {"processType", "isClosed", "isExecutable", "definitionalCollaborationRef"},
    "collaboration": _NAMED | {"isClosed"},
    "participant": _NAMED | {"processRef"},
    "messageFlow": _NAMED | {"sourceRef", "targetRef", "messageRef"},
    "laneSet": _NAMED,
    "lane": _NAMED | {"partitionElementRef"},
    "sequenceFlow": _NAMED | {"sourceRef", "targetRef", "isImmediate"},
    "association": _BASE | {"sourceRef", "targetRef", "associationDirection"},
    "textAnnotation": _BASE | {"textFormat"},
    "group": _BASE | {"categoryValueRef"},
    "startEvent": _CATCH | {"isInterrupting"},
    "intermediateCatchEvent": _CATCH,
    "boundaryEvent": _CATCH | {"attachedToRef", "cancelActivity"},
    "intermediateThrowEvent": _NAMED,
    "endEvent": _NAMED,
    "implicitThrowEvent": _NAMED,
    "task": _TASK,
    "manualTask": _TASK,
    "userTask": _TASK | {"implementation"},
    "serviceTask": _OPERATION,
    "sendTask": _MESSAGE_TASK,
    "receiveTask": _MESSAGE_TASK | {"instantiate"},
    "scriptTask": _TASK | {"scriptFormat"},
    "businessRuleTask": _TASK | {"implementation"},
    "callActivity": _ACTIVITY | {"calledElement"},
    "subProcess": _SUB_PROCESS,
    "transaction": _SUB_PROCESS | {"method"},
    "adHocSubProcess": _SUB_PROCESS | {"cancelRemainingInstances", "ordering"},
    "exclusiveGateway": _GATEWAY | {"default"},
    "inclusiveGateway": _GATEWAY | {"default"},
    "complexGateway": _GATEWAY | {"default"},
    "parallelGateway": _GATEWAY,
    "eventBasedGateway": _GATEWAY | {"instantiate", "eventGatewayType"},
    "multiInstanceLoopCharacteristics": _BASE
    | {"isSequential", "behavior", "oneBehaviorEventRef", "noneBehaviorEventRef"},
    "standardLoopCharacteristics": _BASE | {"testBefore", "loopMaximum"},
    "messageEventDefinition": _BASE | {"messageRef"},
    "signalEventDefinition": _BASE | {"signalRef"},
    "errorEventDefinition": _BASE | {"errorRef"},
    "escalationEventDefinition": _BASE | {"escalationRef"},
    "compensateEventDefinition": _BASE | {"waitForCompletion", "activityRef"},
    "cancelEventDefinition": _BASE,
    "conditionalEventDefinition": _BASE,
    "terminateEventDefinition": _BASE,
    "timerEventDefinition": _BASE,
    "linkEventDefinition": _NAMED,
    "message": _NAMED | {"itemRef"},
    "signal": _NAMED | {"structureRef"},
    "error": _NAMED | {"errorCode", "structureRef"},
    "escalation": _NAMED | {"escalationCode", "structureRef"},
    "itemDefinition": _BASE | {"isCollection", "itemKind", "structureRef"},
    "dataObject": _DATA | {"isCollection"},
    "dataObjectReference": _DATA | {"dataObjectRef"},
    "dataStoreReference": _DATA | {"dataStoreRef"},
    "dataStore": _DATA | {"capacity", "isUnlimited"},
    "dataInput": _DATA | {"isCollection"},
    "dataOutput": _DATA | {"isCollection"},
    "property": _DATA,
    "humanPerformer": _RESOURCE,
    "potentialOwner": _RESOURCE,
    "performer": _RESOURCE,
    "resourceRole": _RESOURCE,
    "documentation": _BASE | {"textFormat"},
}

_BOOLEANS: Final = frozenset(
    ("isExecutable", "isForCompensation", "isInterrupting", "cancelActivity", "triggeredByEvent", "isSequential")
)
_EXTENSION_BOOLEANS: Final = frozenset(("async", "asyncBefore", "asyncAfter", "asyncLeave", "exclusive", "triggerable"))


def _no_booleans(source: Source) -> Iterator[Problem]:
    given = [(name, value) for name, value in source.attributes.items() if name in _BOOLEANS]
    given += [(name, value) for name, value in source.extension.items() if name in _EXTENSION_BOOLEANS]
    for name, value in given:
        if value.strip().lower() not in ("true", "false"):
            message = f"expected {name} to be true or false, found '{value}'"
            yield Problem(element_id=source.id, message=message, line=source.line)


def wrong_attributes(source: Source) -> Iterator[Problem]:
    """Every attribute, at an element or below it, that is in no namespace and none of BPMN's there, or no boolean."""
    known = ATTRIBUTES.get(source.tag) if source.namespace == FLOW_ELEMENT_NAMESPACE else None
    if known is not None:
        for name in source.attributes:
            if name not in known:
                yield Problem(
                    element_id=source.id,
                    message=f"expected only attributes that a {source.tag} has in BPMN 2.0, found '{name}'",
                    line=source.line,
                )
        yield from _no_booleans(source)
    for child in source.children:
        if child.tag != "extensionElements":
            yield from wrong_attributes(child)
