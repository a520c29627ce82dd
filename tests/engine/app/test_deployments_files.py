"""Multipart bodies, pictures and the view of a model."""

import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path

import pytest

from engine.app.archives import DeploymentLimits, File, unpack
from engine.app.diagram import draw
from engine.app.model_view import model_view
from engine.app.models import gather, read_models
from engine.app.multipart import MAX_PARTS, parse
from engine.bpmn import xml
from engine.kernel.errors import Refused
from tests.engine.app.repositories import REGISTRY, bpmn, process

FORM = "multipart/form-data; boundary=XX"


def body(*parts: tuple[str, bytes]) -> bytes:
    found = b"".join(b"--XX\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n" for head, data in parts)
    return found + b"--XX--\r\n"


def test_parts_come_with_their_names_and_exact_bytes() -> None:
    data = bytes(range(256)) + b"\r\n--X\r\n"
    file_head = 'Content-Disposition: form-data; name="file"; filename="l\xe9ave.bpmn"\r\nContent-Type: text/xml'

    parts = parse(body((file_head, data), ('content-disposition: form-data; name="tenantId"', b"t")), FORM)

    assert [(p.name, p.file_name, p.is_file, bytes(p.data)) for p in parts] == [
        ("file", "l\xe9ave.bpmn", True, data),
        ("tenantId", "", False, b"t"),
    ]
    assert parts[0].content_type == "text/xml"


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (b"", FORM),
        (b"hello", FORM),
        (body(("Content-Disposition: form-data", b"x"))[:-8], FORM),
        (body(("Content-Disposition: form-data", b"x")), "multipart/form-data"),
        (body(("Content-Disposition: form-data", b"x")), "application/json"),
        (body(("Content-Disposition: form-data", b"x")), "multipart/form-data; boundary=\u20ac"),
        (body(("X: " + "y" * 9000, b"x")), FORM),
        (body(*(("Content-Disposition: form-data", b"x") for _ in range(MAX_PARTS + 1))), FORM),
    ],
)
def test_a_body_of_another_form_is_refused(data: bytes, content_type: str) -> None:
    with pytest.raises(Refused) as found:
        parse(data, content_type)

    assert (found.value.status, found.value.reason) == ("INVALID_ARGUMENT", "not-multipart")


def test_an_archive_that_lies_about_its_sizes_is_still_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("big", b"0" * 1_000_000)
    data = path.read_bytes().replace((1_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))

    with pytest.raises(Refused):
        unpack(File("a.zip", data), DeploymentLimits(deployment_bytes=1000))


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("x", b"1")
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1

    with pytest.raises(Refused, match="encrypted"):
        unpack(File("a.zip", bytes(data)), DeploymentLimits())


SHAPES = """
<di:BPMNDiagram xmlns:di="http://www.omg.org/spec/BPMN/20100524/DI" xmlns:dc="http://www.omg.org/spec/DD/20100524/DC"
    xmlns:dd="http://www.omg.org/spec/DD/20100524/DI"><di:BPMNPlane>
  <di:BPMNShape bpmnElement="start"><dc:Bounds x="100" y="100" width="30" height="30"/></di:BPMNShape>
  <di:BPMNShape bpmnElement="task"><dc:Bounds x="200" y="75" width="100" height="80"/></di:BPMNShape>
  <di:BPMNEdge bpmnElement="in"><dd:waypoint x="130" y="115"/><dd:waypoint x="200" y="115"/></di:BPMNEdge>
</di:BPMNPlane></di:BPMNDiagram>"""


def drawn(model: bytes) -> bytes | None:
    (found,) = read_models([File("m.bpmn", model)], REGISTRY)
    return draw(xml.parse(model, "m.bpmn"), found.definition)


def test_a_model_with_shapes_is_drawn_as_svg() -> None:
    model = bpmn(process().replace('name="Task"', 'name="A &lt; B"') + SHAPES)

    picture = drawn(model)

    assert picture is not None
    root = ET.fromstring(picture)
    space = "{http://www.w3.org/2000/svg}"
    assert [len(root.findall(space + tag)) for tag in ("circle", "rect", "polyline")] == [1, 1, 1]
    assert [text.text for text in root.iter(space + "text")] == ["A < B"]
    assert root.get("viewBox") == "88 63 224 117"


@pytest.mark.parametrize("wrong", ["nan", "inf", "x", "9e9"])
def test_shapes_that_cannot_be_drawn_make_no_picture_of_themselves(wrong: str) -> None:
    picture = drawn(bpmn(process() + SHAPES.replace('x="200" y="75"', f'x="{wrong}" y="75"')))

    assert picture is None or b"<rect" not in picture


def test_a_model_without_shapes_has_no_picture() -> None:
    assert drawn(bpmn(process())) is None


@pytest.mark.parametrize(("beside", "expected"), [("m.leave.png", "m.leave.png"), ("m.svg", "m.svg"), ("x.png", None)])
def test_a_picture_beside_the_model_is_its_picture(beside: str, expected: str | None) -> None:
    files = gather([File("m.bpmn20.xml", bpmn(process())), File(beside, b"")], DeploymentLimits())

    (model,) = read_models(files, REGISTRY)

    assert (model.picture.name if model.picture is not None else None) == expected


def test_the_view_of_a_model_shows_elements_and_flows() -> None:
    inner = (
        '<subProcess id="sub"><startEvent id="s2"/><exclusiveGateway id="g" default="f2"/><userTask id="t2"/>'
        '<sequenceFlow id="f1" sourceRef="s2" targetRef="g"/><sequenceFlow id="f2" sourceRef="g" targetRef="t2"/>'
        '<sequenceFlow id="f3" sourceRef="g" targetRef="t2"><conditionExpression>${a > 1}</conditionExpression>'
        '</sequenceFlow></subProcess><boundaryEvent id="b" attachedToRef="sub" cancelActivity="false">'
        "<timerEventDefinition><timeDuration>PT1H</timeDuration></timerEventDefinition></boundaryEvent>"
    )
    (model,) = read_models([File("m.bpmn", bpmn(process(start=f'<startEvent id="start"/>{inner}')))], REGISTRY)

    view = model_view(model.definition)

    elements = {element["id"]: element for element in view["flowElements"]}
    assert list(elements) == ["start", "sub", "b", "task"]
    assert view["sequenceFlows"] == [{"id": "in", "sourceRef": "start", "targetRef": "task"}]
    assert [flow["id"] for flow in elements["sub"]["sequenceFlows"]] == ["f1", "f2", "f3"]
    assert elements["sub"]["sequenceFlows"][2]["conditionExpression"] == "${a > 1}"
    assert elements["sub"]["flowElements"][1]["defaultFlow"] == "f2"
    assert (elements["b"]["attachedTo"], elements["b"]["interrupting"], elements["b"]["eventDefinition"]) == (
        "sub",
        False,
        "timer",
    )


def test_the_bounds_of_a_document_can_be_moved() -> None:
    model = bpmn(process())
    small = xml.ModelLimits(model_bytes=100)
    shallow = xml.ModelLimits(model_depth=1)

    for limits, name in ((small, "model_bytes"), (shallow, "model_depth")):
        with pytest.raises(Refused, match=rf"limit: {name}"):
            read_models([File("m.bpmn", model)], REGISTRY, limits)
