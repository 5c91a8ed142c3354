"""How Hydra comes by the options of the config's groups: it is given values, and reads no file.

Two roads lead here: the options of a folder by their names, which Hydra asks for as it composes,
and files that are named themselves, which are read before and known to Hydra by a sign.
"""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf

from ait_cmp.settings.options import is_file_name, read_option
from ait_cmp.settings.schema import GROUPS, Config, config_folder
from ait_cmp.settings.typed import as_written
from ait_cmp.values.overrides import unquoted
from ait_cmp.values.plain_yaml import read_yaml

__all__ = ["as_named", "is_sign", "know_folders", "with_signs"]

_SCHEME = "ait-cmp"
_SIGN = re.compile(r"ait_cmp_file_[0-9a-f]{32}")
_CHOICE = re.compile(rf"({'|'.join(GROUPS)})=(.*)", re.DOTALL)
_HEADER = 512  # characters in which Hydra looks for a package
_folders: list[str] = []


def know_folders(folders: Sequence[str]) -> None:
    """Look for options in these folders, the first of them first, before Hydra does."""
    _folders[:] = map(os.path.abspath, folders)
    Plugins.instance().register(_OptionSource)
    Plugins.instance().register(_FoldersFirst)


class _FoldersFirst(SearchPathPlugin):
    """Puts the folders of options before all that Hydra searches."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        main = [one.path or "" for one in search_path.get_path() if one.provider == "main"]
        for folder in reversed([*_folders, *(path.removeprefix("file://") for path in main)]):
            search_path.prepend(_SCHEME, f"{_SCHEME}://{folder}")


class _OptionSource(ConfigSource):
    """The options of all groups in one folder, which are files of data; and of the user's folders
    all other configs, which are Hydra's, but for text, which stays what was written."""

    @staticmethod
    def scheme() -> str:
        return _SCHEME

    def load_config(self, config_path: str) -> ConfigResult:
        group = config_path.partition("/")[0]
        if not self._is_of_a_group(config_path):
            return self._whole(config_path)
        config = read_option(group, str(self._file(config_path)))
        return ConfigResult(self.provider, self.full_path(), config, {"package": None})

    def available(self) -> bool:
        return os.path.isdir(self.path)

    def is_group(self, config_path: str) -> bool:
        return self._is_of_a_group(config_path) and Path(self.path, config_path).is_dir()

    def is_config(self, config_path: str) -> bool:
        is_data = self._is_of_a_group(config_path)
        is_ours = self.path == str(config_folder())  # where all text is text
        return (is_data or not is_ours) and self._file(config_path).is_file()

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        names: list[str] = []
        for path in sorted(Path(self.path, config_path).iterdir()):
            self._list_add_result(names, f"{config_path}/{path.name}", path.name, results_filter)
        return names

    def _whole(self, config_path: str) -> ConfigResult:
        """A config of more than a group, as Hydra reads it, with its text as it was written."""
        text = self._file(config_path).read_text(encoding="utf-8")
        header = self._get_header_dict(text[:_HEADER])
        config = OmegaConf.create(text)
        of_all = header["package"] == "_global_" or "/" not in config_path
        if of_all and isinstance(config, DictConfig):
            with contextlib.suppress(ValueError):  # aliases, tags: no data, but a config of Hydra's
                written = read_yaml(text)
                loaded = OmegaConf.to_container(config, resolve=False)
                config = OmegaConf.create(as_written(Config, loaded, written))
        return ConfigResult(self.provider, self.full_path(), config, header)

    def _is_of_a_group(self, config_path: str) -> bool:
        return config_path.partition("/")[0] in GROUPS

    def _file(self, config_path: str) -> Path:
        return Path(self.path, self._normalize_file_name(config_path))


def with_signs(overrides: Sequence[str], *, sweeps: bool) -> list[str]:
    """`overrides`, of which those that name files of options (`tolerance=FILE.yaml`) have a sign in
    the place of each file. Raises UsageError for a file that cannot be read."""
    return [_with_signs(one, sweeps=sweeps) for one in overrides]


def _with_signs(override: str, *, sweeps: bool) -> str:
    choice = _CHOICE.fullmatch(override)
    if not choice:
        return override
    group, value = choice.groups()
    names = list(_parts(value)) if sweeps else [unquoted(value)]
    if not any(map(is_file_name, names)):
        return override
    return f"{group}={','.join(_sign(group, one) if is_file_name(one) else one for one in names)}"


def _parts(value: str) -> Iterator[str]:
    """What a sweep goes through, between commas; a file may have some in its path."""
    parts = value.split(",")
    while parts:
        many = next((n for n in range(len(parts), 1, -1) if _is_file(",".join(parts[:n]))), 1)
        yield unquoted(",".join(parts[:many]))
        parts = parts[many:]


def _is_file(value: str) -> bool:
    path = unquoted(value)
    return is_file_name(path) and os.path.isfile(path)


def _sign(group: str, path: str) -> str:
    """Read a file of options now; what Hydra knows it by, with the path for `as_named`."""
    sign = f"ait_cmp_file_{uuid.uuid4().hex}"
    ConfigStore.instance().store(sign, read_option(group, path), group, provider=path)
    return sign


def is_sign(name: str) -> bool:
    """Whether an option is what Hydra knows a file by."""
    return _SIGN.fullmatch(name) is not None


def as_named(override: str) -> str:
    """`override` with files in the place of their signs."""
    group = override.partition("=")[0]
    return _SIGN.sub(lambda sign: _path_of(group, sign[0]), override)


def _path_of(group: str, sign: str) -> str:
    try:
        return ConfigStore.instance().load(f"{group}/{sign}.yaml").provider or sign
    except OSError:  # a name that only looks like a sign
        return sign
