"""The bundles of a project are read while their files change."""

from __future__ import annotations

import asyncio
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from aiworkflow.triggers.catalogue import Catalogue
from tests.unit.triggers.hooks import Hooks

HEAD = "on: {webhook: {path: /h, verify: {github: HOOK}}}"


def labels(catalogue: Catalogue) -> list[str]:
    return [bundle.label for bundle in catalogue.bundles]


def test_a_bundle_that_is_removed_while_it_is_read_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with Hooks(tmp_path, {"flow": HEAD, "other": HEAD}) as it:
            catalogue, project = it.service.catalogue, it.client.project
            (tmp_path / "bundles" / "flow" / "new.md").write_text("x")
            check = project.check

            def removed(bundle: Path) -> object:
                shutil.rmtree(tmp_path / "bundles" / "flow", ignore_errors=True)
                return check(bundle)

            monkeypatch.setattr(type(project), "check", lambda _, bundle: removed(bundle))
            assert catalogue.load()
            assert labels(catalogue) == ["bundles/other"]
            assert catalogue.problems == {}

    asyncio.run(test())


def test_a_folder_that_is_removed_while_it_is_looked_at_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with Hooks(tmp_path, {"flow": HEAD}) as it:
            data = tmp_path / "bundles" / "flow" / "data"
            data.mkdir()
            is_dir, asked = Path.is_dir, []

            def then_removed(path: Path) -> bool:
                found = is_dir(path)
                asked.append(path)
                if asked.count(data) == 2 and found:
                    data.rmdir()
                return found

            monkeypatch.setattr(Path, "is_dir", then_removed)
            it.service.catalogue._fingerprint()
            assert not data.exists()
            assert labels(it.service.catalogue) == ["bundles/flow"]

    asyncio.run(test())


def test_a_project_that_cannot_be_read_now_is_read_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with Hooks(tmp_path, {"flow": HEAD}) as it:
            service, catalogue = it.service, it.service.catalogue
            monkeypatch.setattr(service, "_reload_s", 0.01)
            load, failed = catalogue.load_beside, asyncio.Event()

            async def once() -> bool:
                if not failed.is_set():
                    failed.set()
                    await load()
                    raise OSError(5, "Input/output error")
                return await load()

            task = asyncio.ensure_future(service.run())
            await service.began.wait()
            monkeypatch.setattr(catalogue, "load_beside", once)
            it.write(tmp_path, "second", HEAD)
            await failed.wait()
            async with asyncio.timeout(20):
                while len(catalogue.bundles) < 2:
                    await asyncio.sleep(0.01)
            assert labels(catalogue) == ["bundles/flow", "bundles/second"]
            assert not task.done()
            service.stop()
            await task

    asyncio.run(test())


def test_files_are_looked_at_once_whether_they_have_changed_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        async with Hooks(tmp_path, {"flow": HEAD}) as it:
            service, catalogue = it.service, it.service.catalogue
            monkeypatch.setattr(service, "_reload_s", 0.01)
            look, looks, loads = catalogue._fingerprint, list[object](), list[bool]()
            load = catalogue.load_beside

            def noted() -> object:
                looks.append(look())
                return looks[-1]

            async def counted() -> bool:
                loads.append(await load())
                return loads[-1]

            task = asyncio.ensure_future(service.run())
            await service.began.wait()
            monkeypatch.setattr(catalogue, "_fingerprint", noted)
            monkeypatch.setattr(catalogue, "load_beside", counted)
            it.write(tmp_path, "second", HEAD)
            async with asyncio.timeout(20):
                while len(loads) < 5 or len(catalogue.bundles) < 2:
                    await asyncio.sleep(0.01)
            service.stop()
            await task
            assert loads.count(True) == 1
            assert len(looks) - len(loads) in {0, 1}  # the last one may have been cut short

    asyncio.run(test())


def test_others_have_their_turn_while_bundles_are_read_anew(tmp_path: Path) -> None:
    async def test() -> None:
        async with Hooks(tmp_path, {f"flow-{n}": HEAD for n in range(5)}) as it:
            project, seen = it.client.project, list[str]()
            check = project.check

            def noted(bundle: Path) -> object:
                seen.append("bundle")
                return check(bundle)

            async def others() -> None:
                while True:
                    seen.append("other")
                    await asyncio.sleep(0)

            project.check = noted  # type: ignore[method-assign,assignment]
            it.write(tmp_path, "flow-0", HEAD + "\nagent: codex")
            async with asyncio.TaskGroup() as group:
                task = group.create_task(others())
                assert await it.service.catalogue.load_beside()
                task.cancel()
            assert seen.count("bundle") == 5
            assert ("bundle", "bundle") not in set(pairwise(seen))

    asyncio.run(test())
