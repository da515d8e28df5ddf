"""Data sets from Kaggle, with a stand-in for Kaggle's own package; nothing is downloaded."""

from __future__ import annotations

import csv
import io
import sys
import types
from pathlib import Path

import pytest

from seewhy.data.sources import kaggle
from seewhy.data.sources.archive import MARKER
from seewhy.data.sources.kaggle import DATASETS, Dataset, download
from seewhy.errors import DataError, MissingExtraError, OptionError, WorkError
from tests.data.test_archive import TINY, Stop, stop_after, tiny_files, tree, write_zip


class Api:
    """Kaggle's API as far as it is used: writes `content` as SLUG.zip, prints like the real one, or raises."""

    def __init__(self, content: bytes = b"", *, key: BaseException | None = None, net: BaseException | None = None):
        self.content, self.key, self.net, self.calls = content, key, net, 0

    def authenticate(self) -> None:
        sys.stdout.write("Authentication required to call the Kaggle API.")
        if self.key:
            raise self.key

    def dataset_download_files(self, dataset: str, path: str, quiet: bool, unzip: bool) -> None:
        self.calls += 1
        sys.stderr.write("Dataset URL: https://www.kaggle.com/datasets/" + dataset)
        assert quiet and not unzip
        if self.net:
            raise self.net
        (Path(path) / f"{dataset.partition('/')[2]}.zip").write_bytes(self.content)


@pytest.fixture
def install(monkeypatch):
    """Puts an Api in the place of Kaggle's package, and makes the data sets tiny."""
    tiny = Dataset("sachchitkunichetty/rvf10k", TINY)
    half = Dataset(tiny.slug, {key: n - 1 for key, n in TINY.items()}, subset_of="rvf10k")
    monkeypatch.setattr(kaggle, "DATASETS", {"rvf10k": tiny, "rvf5k": half})

    def put(api: Api) -> Api:
        module = types.ModuleType("kaggle")
        module.api = api
        monkeypatch.setitem(sys.modules, "kaggle", module)
        return api

    return put


@pytest.fixture
def zipped(tmp_path) -> bytes:
    return write_zip(tmp_path / "source.zip", tiny_files()).read_bytes()


class HTTPError(OSError):
    def __init__(self, status: int):
        super().__init__(f"{status} Client Error")
        self.response = types.SimpleNamespace(status_code=status)


class RequestsConnectionError(OSError):
    """Like requests.exceptions.ConnectionError, which is an OSError and no builtin ConnectionError."""


RequestsConnectionError.__module__ = "requests.exceptions"


def test_the_table_says_what_the_data_sets_hold():
    totals = {name: (one.slug, sum(one.counts.values())) for name, one in DATASETS.items()}
    assert totals == {
        "rvf10k": ("sachchitkunichetty/rvf10k", 10_000),
        "rvf5k": ("sachchitkunichetty/rvf10k", 5_000),
        "rvf140k": ("xhlulu/140k-real-and-fake-faces", 140_000),
    }


def test_a_download_ends_whole_silent_and_returns_at_once_the_next_time(tmp_path, install, zipped, capsys):
    api = install(Api(zipped))
    dest = download("rvf10k", tmp_path / "out")
    assert {path: content for path, content in tree(dest).items() if path != MARKER} == tiny_files("")
    (dest / "train.csv").unlink()
    assert download("rvf10k", dest, progress=stop_after(1)) == dest
    assert (dest / "train.csv").is_file()
    assert api.calls == 1
    assert capsys.readouterr() == ("", "")


def test_half_of_a_data_set_is_the_first_files_of_each_folder(tmp_path, install, zipped):
    install(Api(zipped))
    dest = download("rvf5k", tmp_path / "out")
    assert sorted(path.name for path in (dest / "train/fake").iterdir()) == ["F0.jpg", "F1.jpg"]
    rows = list(csv.DictReader(io.StringIO((dest / "train.csv").read_text())))
    assert [row["path"] for row in rows] == [f"train/{one}.jpg" for one in ("fake/F0", "fake/F1", "real/R0", "real/R1")]
    with pytest.raises(DataError, match="already holds something else"):
        download("rvf10k", dest)


def test_a_download_interrupted_while_unpacking_keeps_its_archive(tmp_path, install, zipped):
    api = install(Api(zipped))
    with pytest.raises(Stop):
        download("rvf10k", tmp_path / "out", progress=stop_after(4))
    assert (tmp_path / "out/.partial/rvf10k.zip").is_file()
    download("rvf10k", tmp_path / "out")
    assert api.calls == 1
    assert not (tmp_path / "out/.partial").exists()


def test_a_half_fetched_archive_is_left_for_kaggle_to_complete(tmp_path, install, zipped):
    part = tmp_path / "out/.partial/rvf10k.zip"
    part.parent.mkdir(parents=True)
    part.write_bytes(zipped[:100])
    api = install(Api(zipped, net=RequestsConnectionError("Connection reset")))
    with pytest.raises(WorkError, match=r"connection failed \(RequestsConnectionError\)"):
        download("rvf10k", tmp_path / "out")
    assert part.read_bytes() == zipped[:100]
    api.net = None
    assert len(tree(download("rvf10k", tmp_path / "out"))) == 13


def test_a_damaged_download_is_thrown_away(tmp_path, install, zipped):
    damaged = bytearray(zipped)
    damaged[60] ^= 0xFF
    api = install(Api(bytes(damaged)))
    with pytest.raises(WorkError, match=r"(?s)not a whole zip.*seewhy data rvf10k"):
        download("rvf10k", tmp_path / "out")
    api.content = b"<html>busy</html>"
    with pytest.raises(WorkError, match="what came is not a whole zip archive"):
        download("rvf10k", tmp_path / "out")
    api.content = zipped
    assert len(tree(download("rvf10k", tmp_path / "out"))) == 13


def test_an_archive_with_other_counts_is_refused(tmp_path, install):
    short = {name: content for name, content in tiny_files().items() if not name.endswith("R1.jpg")}
    install(Api(write_zip(tmp_path / "short.zip", short).read_bytes()))
    with pytest.raises(DataError, match="train/real: expected 3, found 2, valid/real: expected 2, found 1"):
        download("rvf10k", tmp_path / "out")


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        pytest.param(SystemExit(1), "no valid key", id="exits"),
        pytest.param(OSError("Could not find kaggle.json."), "no valid key", id="old-package"),
        pytest.param(HTTPError(401), r"refused the key \(HTTP 401\)", id="refused"),
    ],
)
def test_without_a_key_the_steps_to_one_are_said(tmp_path, install, capsys, key, problem):
    install(Api(key=key))
    steps = rf"(?s){problem}.*settings.*access_token.*seewhy data rvf10k .*out.*by hand.*seewhy data FILE\.zip .*out"
    with pytest.raises(DataError, match=steps):
        download("rvf10k", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert capsys.readouterr() == ("", "")


def test_a_package_that_exits_on_import_is_a_missing_key(tmp_path, monkeypatch):
    package = tmp_path / "path/kaggle"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("print('Could not find kaggle.json')\nraise SystemExit(1)\n")
    monkeypatch.delitem(sys.modules, "kaggle", raising=False)
    monkeypatch.syspath_prepend(package.parent)
    with pytest.raises(DataError, match="no valid key"):
        download("rvf10k", tmp_path / "out")


@pytest.mark.parametrize("where", ["key", "net"])
@pytest.mark.parametrize("error", [RequestsConnectionError("no route"), TimeoutError("no route")], ids=type)
def test_without_a_network_one_message_says_so(tmp_path, install, where, error):
    install(Api(**{where: error}))
    with pytest.raises(
        WorkError, match=r"(?s)could not be downloaded from Kaggle: the connection failed.*seewhy data FILE\.zip"
    ):
        download("rvf10k", tmp_path / "out")


def test_a_key_refused_while_fetching_is_about_the_key(tmp_path, install):
    install(Api(net=HTTPError(403)))
    with pytest.raises(DataError, match="refused the key"):
        download("rvf10k", tmp_path / "out")
    install(Api(net=HTTPError(404)))
    with pytest.raises(WorkError, match="404"):
        download("rvf10k", tmp_path / "out")


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kaggle", None)
    with pytest.raises(MissingExtraError, match=r'pip install "seewhy\[kaggle\]"'):
        download("rvf10k", tmp_path / "out")
    monkeypatch.setitem(sys.modules, "kaggle", types.ModuleType("kaggle"))
    with pytest.raises(MissingExtraError, match=r'pip install "seewhy\[kaggle\]"'):
        download("rvf10k", tmp_path / "out")


def test_a_package_that_lacks_one_of_its_own_names_it(tmp_path, monkeypatch):
    def absent(name: str) -> None:
        raise ModuleNotFoundError("No module named 'six'", name="six")

    monkeypatch.setattr(kaggle.importlib, "import_module", absent)
    with pytest.raises(MissingExtraError, match="pip install six"):
        download("rvf10k", tmp_path / "out")


def test_an_unknown_name_gets_the_nearest(tmp_path):
    with pytest.raises(OptionError, match=r"no data set 'rvf10'.*Nearest: rvf10k"):
        download("rvf10", tmp_path / "out")


def test_a_folder_with_something_else_is_refused_before_kaggle_is_asked(tmp_path, install, zipped):
    api = install(Api(zipped))
    (tmp_path / "out/train").mkdir(parents=True)
    with pytest.raises(DataError, match=r"(?s)something else: train.*seewhy data rvf10k NEW_FOLDER"):
        download("rvf10k", tmp_path / "out")
    assert api.calls == 0
