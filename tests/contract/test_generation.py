"""What is committed under generated/ is what the contract gives, and gives again."""

import shutil
from pathlib import Path

import pytest

from host import gen


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    gen.generate(gen.ROOT / "proto", folder)
    return folder


def test_what_is_committed_is_what_the_contract_gives(made: Path) -> None:
    assert list(gen.differences(made)) == []


def test_a_second_run_gives_the_same_files(made: Path, tmp_path: Path) -> None:
    gen.generate(gen.ROOT / "proto", tmp_path / "again")
    root = tmp_path / "root"
    gen.install(made, root)

    assert list(gen.differences(tmp_path / "again", root)) == []


def test_a_changed_a_missing_and_a_left_over_file_are_told_and_mended(made: Path, tmp_path: Path) -> None:
    gen.install(made, tmp_path)
    top = tmp_path / "generated" / "flowloom"
    (top / "left_over.py").write_text("")
    (top / "py.typed").unlink()
    (top / "options" / "v1" / "options_pb2.py").write_text("")

    told = list(gen.differences(made, tmp_path))
    mended = gen.install(made, tmp_path)

    assert told == mended
    assert told == [
        "generated/flowloom/left_over.py",
        "generated/flowloom/options/v1/options_pb2.py",
        "generated/flowloom/py.typed",
    ]
    assert list(gen.differences(made, tmp_path)) == []


def test_only_protos_with_services_have_service_stubs(made: Path) -> None:
    top = made / "generated" / "flowloom"

    stubs = {path.name for path in top.rglob("*_pb2_grpc.py")}

    contracts = (gen.ROOT / "proto" / "flowloom").rglob("*_service.proto")
    assert stubs == {f"{path.stem}_pb2_grpc.py" for path in contracts}
    assert stubs


def test_a_wrong_contract_is_refused_with_the_place(tmp_path: Path) -> None:
    proto = tmp_path / "proto"
    shutil.copytree(gen.ROOT / "proto" / "flowloom", proto / "flowloom")
    (proto / "flowloom" / "options" / "v1" / "wrong.proto").write_text('syntax = "proto3";\nmessage A { B b = 1; }\n')

    with pytest.raises(gen.GenerationError, match=r'wrong\.proto:2.*"B" is not defined'):
        gen.generate(proto, tmp_path / "made")


def test_check_ends_with_0_where_nothing_differs() -> None:
    assert gen.main(["--check"]) == 0
