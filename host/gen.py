"""Makes everything that is made from the contract: `python -m host.gen`, offline and with the same result each time.

From `proto/flowloom/**` it writes into `generated/flowloom/`: messages (`*_pb2.py`), their types (`*_pb2.pyi`), service
stubs (`*_pb2_grpc.py`, `.pyi`) and `descriptors.pb`, the descriptor set that the edge, reflection and the access check
read. What a privilege opens is listed in `docs/reference/`. The google protos that the contract imports are copied from
the installed packages to `proto/third_party/`, so that buf finds them without a registry; their Python modules come
from those packages and are not generated.

`python -m host.gen --check` changes nothing: it generates elsewhere, prints each file that differs, and exits with 1 if
there is one.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final, cast

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from host import privileges
from mesh.access.contract import read_rules

ROOT: Final = Path(__file__).resolve().parent.parent

THIRD_PARTY: Final = (
    "google/api/annotations.proto",
    "google/api/field_behavior.proto",
    "google/api/http.proto",
    "google/api/httpbody.proto",
    "google/rpc/code.proto",
    "google/rpc/error_details.proto",
    "google/rpc/status.proto",
)

# Envoy writes error details as JSON only if it knows their types, and reflection should tell about health and itself.
# The grpc packages ship no .proto files, so these two come from the descriptors inside their modules.
ALSO_DESCRIBED: Final = ("google/rpc/error_details.proto", "google/rpc/status.proto", "google/rpc/code.proto")
DESCRIBED_BY_MODULE: Final = ("grpc_health.v1.health_pb2", "grpc_reflection.v1alpha.reflection_pb2")

DESCRIPTORS: Final = "flowloom/descriptors.pb"


class GenerationError(Exception):
    """The contract is wrong (the message is what protoc said), or a tool is missing."""


def generate(proto: Path, into: Path) -> None:
    """Makes `generated/`, `third_party/` and `reference/` below `into` from the contract in `proto`.

    `proto` is a folder with `flowloom/`. Raises GenerationError when the contract is wrong or a tool is missing.
    """
    third_party = into / "third_party"
    generated = into / "generated"
    generated.mkdir(parents=True)
    _copy_third_party(third_party)
    sources = sorted(path.relative_to(proto).as_posix() for path in (proto / "flowloom").rglob("*.proto"))
    includes = (proto, third_party, _package_folder("grpc_tools") / "_proto")
    described = _describe(includes, sources, generated / DESCRIPTORS)
    _write_stubs(includes, sources, generated)
    _drop_empty_stubs(generated, described)
    _make_packages(generated / "flowloom")
    reference = into / "reference"
    reference.mkdir()
    rules = read_rules((generated / DESCRIPTORS).read_bytes())
    (reference / privileges.PAGE).write_text(privileges.page(rules), encoding="utf-8")


def _package_folder(package: str) -> Path:
    """The folder of an installed package. `google.*` has no `__init__`, hence the search locations."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise GenerationError(f"expected package {package} to be installed, found nothing")
    return Path(next(iter(spec.submodule_search_locations)))


def _copy_third_party(third_party: Path) -> None:
    for name in THIRD_PARTY:
        package, _, file = name.rpartition("/")
        target = third_party / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_package_folder(package.replace("/", ".")) / file, target)


def _protoc(includes: Sequence[Path], arguments: Sequence[str]) -> None:
    command = [sys.executable, "-m", "grpc_tools.protoc", *(f"-I{path}" for path in includes), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise GenerationError(done.stderr.strip() or f"protoc ended with {done.returncode}")


def _describe(includes: Sequence[Path], sources: Sequence[str], target: Path) -> FileDescriptorSet:
    target.parent.mkdir(parents=True, exist_ok=True)
    _protoc(
        includes,
        ("--include_imports", "--include_source_info", f"--descriptor_set_out={target}", *sources, *ALSO_DESCRIBED),
    )
    described = _plain_set()
    described.ParseFromString(target.read_bytes())
    for file in described.file:
        # The comments of our own contract are wanted (API description, tests), those of others only weigh.
        if not file.name.startswith("flowloom/"):
            file.ClearField("source_code_info")
    known = {file.name for file in described.file}
    for module in DESCRIBED_BY_MODULE:
        file = import_module(module).DESCRIPTOR
        if file.name not in known:
            described.file.add().ParseFromString(file.serialized_pb)
    target.write_bytes(described.SerializeToString(deterministic=True))
    return described


def _plain_set() -> FileDescriptorSet:
    """An empty set of a class that knows no extension, so that its bytes do not depend on which stubs are imported."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(descriptor_pb2.DESCRIPTOR.serialized_pb)
    plain = message_factory.GetMessageClass(pool.FindMessageTypeByName(FileDescriptorSet.DESCRIPTOR.full_name))
    return cast(FileDescriptorSet, plain())


def _write_stubs(includes: Sequence[Path], sources: Sequence[str], generated: Path) -> None:
    scripts = Path(sys.executable).parent
    _protoc(
        includes,
        (
            f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
            f"--python_out={generated}",
            f"--grpc_python_out={generated}",
            f"--mypy_out=quiet:{generated}",
            f"--mypy_grpc_out=only_async,quiet:{generated}",
            *sources,
        ),
    )


def _drop_empty_stubs(generated: Path, described: FileDescriptorSet) -> None:
    for file in described.file:
        if file.name.startswith("flowloom/") and not file.service:
            stem = file.name.removesuffix(".proto")
            for suffix in ("_pb2_grpc.py", "_pb2_grpc.pyi"):
                (generated / (stem + suffix)).unlink(missing_ok=True)


def _make_packages(top: Path) -> None:
    (top / "py.typed").touch()
    for folder in (top, *(path for path in sorted(top.rglob("*")) if path.is_dir())):
        package = ".".join(folder.relative_to(top.parent).parts)
        (folder / "__init__.py").write_text(f'"""Generated from the contract: {package}."""\n', encoding="utf-8")


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def _pairs(made: Path, root: Path) -> tuple[tuple[Path, Path], ...]:
    return (
        (made / "generated" / "flowloom", root / "generated" / "flowloom"),
        (made / "third_party", root / "proto" / "third_party"),
        (made / "reference", root / "docs" / "reference"),
    )


def differences(made: Path, root: Path = ROOT) -> Iterator[str]:
    """The files, relative to `root`, that are missing, left over or different there, compared with `made`."""
    for new, old in _pairs(made, root):
        fresh, present = _files(new), _files(old)
        for name in sorted(fresh.keys() | present.keys()):
            if fresh.get(name) != present.get(name):
                yield (old / name).relative_to(root).as_posix()


def install(made: Path, root: Path = ROOT) -> list[str]:
    """Brings `root` to what `made` holds, touching only files that differ; returns them."""
    changed = list(differences(made, root))
    for new, old in _pairs(made, root):
        fresh = _files(new)
        for name in sorted(_files(old).keys() - fresh.keys()):
            (old / name).unlink()
        for name, content in fresh.items():
            target = old / name
            if not target.is_file() or target.read_bytes() != content:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
    return changed


def main(arguments: Sequence[str] | None = None) -> int:
    """Generates, or with --check only compares; the exit code is 1 for a wrong contract and for a difference."""
    parser = argparse.ArgumentParser(prog="python -m host.gen", description="Generate stubs and descriptor set.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a generated file differs")
    check: bool = parser.parse_args(arguments).check
    with tempfile.TemporaryDirectory(prefix="flowloom-gen-") as folder:
        made = Path(folder)
        try:
            generate(ROOT / "proto", made)
        except GenerationError as wrong:
            print(wrong, file=sys.stderr)
            return 1
        changed = list(differences(made)) if check else install(made)
    for name in changed:
        print(f"differs: {name}" if check else f"written: {name}")
    return 1 if check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
