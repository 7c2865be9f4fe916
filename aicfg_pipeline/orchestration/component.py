"""The Dagster component `aicfg_pipeline.RenameRollback`: one migration of a code location, described by a defs.yaml.

What it is made of is `instances`'. No secret stands in its attributes: variables are given by their names.
"""

import re
from pathlib import Path
from typing import Annotated, Self

from dagster import Component, ComponentLoadContext, ComponentTypeSpec, Definitions, Model, Resolvable, Resolver
from dagster.components import Scaffolder, ScaffoldRequest, scaffold_component, scaffold_with
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator

from aicfg_pipeline import environment
from aicfg_pipeline.orchestration.instances import definitions_of, must_not_collide
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline.spec.model import Instance, Migration

_PREFIX = re.compile(r"[a-z][a-z0-9_]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class ScaffoldParameters(BaseModel):
    """What `dg scaffold defs aicfg_pipeline.RenameRollback NAME` may be told."""

    migration: str = Field(default="migration", description="The migration's folder, seen from the new defs.yaml.")
    prefix: str | None = Field(default=None, description="What its jobs and assets are called by; default: its folder.")


class RenameRollbackScaffolder(Scaffolder[ScaffoldParameters]):
    """Writes a defs.yaml with the attributes that have to be looked at."""

    @classmethod
    def get_scaffold_params(cls) -> type[ScaffoldParameters]:
        """Return what may be told on the command line."""
        return ScaffoldParameters

    def scaffold(self, request: ScaffoldRequest[ScaffoldParameters]) -> None:
        """Write it. The prefix is the folder's name, as far as a prefix may be one."""
        given = request.params
        plain = re.sub(r"[^a-z0-9_]+", "_", request.target_path.name.lower()).strip("_")
        attributes = {
            "migration": given.migration,
            "prefix": given.prefix or plain,
            "database_url_variable": environment.DATABASE_URL.name,
        }
        scaffold_component(request, attributes)


@scaffold_with(RenameRollbackScaffolder)
class RenameRollback(Component, Model, Resolvable):
    """Takes a live PostgreSQL database back across one table-rename migration: nothing lost, undoable, proven."""

    migration: Annotated[str, Resolver.default(description="The folder with migration.yaml, seen from defs.yaml.")] = (
        "."
    )
    prefix: Annotated[
        str,
        Resolver.default(
            description="What the names of its jobs, assets, sensors and ops begin with: lower case letters, digits and"
            " underscores. None where it is the only migration of the code location."
        ),
    ] = ""
    database_url_variable: Annotated[
        str,
        Resolver.default(description="Name of the environment variable that holds the database's URL. Never the URL."),
    ] = environment.DATABASE_URL.name
    services_file: Annotated[
        str | None,
        Resolver.default(
            description="The YAML file with Lambda, repository, deploy, endpoints and logs, seen from defs.yaml; by"
            " default the one that the environment variable AICFG_SERVICES names."
        ),
    ] = None

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)  # a URL there has a password

    _stands_at: Path = PrivateAttr(default=Path())

    @field_validator("prefix")
    @classmethod
    def _usable_prefix(cls, prefix: str) -> str:
        if prefix and not _PREFIX.fullmatch(prefix):
            raise ValueError("lower case letters, digits and underscores, a letter first")
        return prefix

    @field_validator("database_url_variable")
    @classmethod
    def _a_name(cls, variable: str) -> str:
        if not _VARIABLE.fullmatch(variable):
            # what is there instead may be a URL with its password: it is not repeated
            raise ValueError("the name of an environment variable, not what it holds")
        return variable

    @classmethod
    def get_spec(cls) -> ComponentTypeSpec:
        """Return what `dg list components` and the UI say of it."""
        return ComponentTypeSpec(description=cls.__doc__, owners=[], tags=["postgres", "migration"])

    @classmethod
    def load(cls, attributes: BaseModel | None, context: ComponentLoadContext) -> Self:
        """Return the component of a defs.yaml, which knows from then on where that stands."""
        made = super().load(attributes, context)
        made._stands_at = context.path
        return made

    def build_defs(self, context: ComponentLoadContext) -> Definitions:
        """Return everything of this migration. Raises `SpecError` where it shares a name with another instance."""
        module = f"{context.defs_module_name.split('.')[0]}.definitions"
        every = context.component_tree.get_all_components(RenameRollback)
        must_not_collide([other.set_up(module) for other in every])
        return definitions_of(self.set_up(module))

    def set_up(self, module: str) -> Migration:
        """Return the migration as this instance of it. Raises `SpecError`."""
        at = self._stands_at if self._stands_at.is_dir() else self._stands_at.parent
        services = str((at / self.services_file).resolve()) if self.services_file else None
        instance = Instance(self.prefix, self.database_url_variable, environment.SERVICES.name, services, module)
        return spec.load(at / self.migration).set_up(instance)
