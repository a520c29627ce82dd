"""Forms that come with a deployment: kept by the forms service before it commits, confirmed after it.

Without a forms service they are resources of the deployment and nothing else, as in a Flowable without form engine.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from engine.app.archives import File
from engine.app.forms import Forms
from engine.app.repository import DeploymentRecord
from mesh.errors import DomainError

_LOGGER: Final = logging.getLogger(__name__)

SUFFIX: Final = ".form"


def is_form(name: str) -> bool:
    """Tell whether a file of a deployment is a form model."""
    return name.lower().endswith(SUFFIX)


class FormDeployments:
    """Hands the forms of deployments over."""

    def __init__(self, forms: Forms | None) -> None:
        self._forms = forms

    async def prepare(self, deployment: DeploymentRecord, files: Sequence[File]) -> bool:
        """Have the forms among the files checked and kept; says whether there are any.

        Raises InvalidArgument with the faults of all, Unavailable while forms is away: nothing is deployed then.
        """
        found = [file for file in files if is_form(file.name)]
        if self._forms is None or not found:
            return False
        await self._forms.prepare_deployment(deployment.id, deployment.name, deployment.tenant_id, found)
        return True

    async def confirm(self, deployment_id: str) -> None:
        """The deployment was made. What is not confirmed now is settled later."""
        if self._forms is not None:
            try:
                await self._forms.confirm_deployment(deployment_id)
            except DomainError as failed:
                _LOGGER.warning("the forms of deployment %s are not confirmed yet: %s", deployment_id, failed.message)

    async def discard(self, deployment_id: str) -> None:
        """The deployment was refused, or deleted. What is not taken away now is settled later."""
        if self._forms is not None:
            try:
                await self._forms.discard_deployment(deployment_id)
            except DomainError as failed:
                _LOGGER.warning("the forms of deployment %s are not discarded yet: %s", deployment_id, failed.message)
