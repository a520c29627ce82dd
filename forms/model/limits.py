"""The named bounds of form models and of what is submitted."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.settings import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class FormLimits:
    """Each can be moved by a setting."""

    model_bytes: int = setting(1024 * 1024, doc="Size of one form model.", minimum=1)
    deployment_forms: int = setting(200, doc="Form models of one deployment.", minimum=1)
    deployment_bytes: int = setting(16 * 1024 * 1024, doc="Size of all form models of one deployment.", minimum=1)
    fields: int = setting(500, doc="Fields of one form, those in containers included.", minimum=1)
    nesting: int = setting(8, doc="Containers inside containers.", minimum=1)
    options: int = setting(1000, doc="Options of one field.", minimum=1)
    outcomes: int = setting(50, doc="Outcomes of one form.", minimum=1)
    submitted_bytes: int = setting(1024 * 1024, doc="Size of the values of one submission, as JSON.", minimum=1)
    pattern_bytes: int = setting(1024 * 1024, doc="Memory of one regular expression.", minimum=4096)
