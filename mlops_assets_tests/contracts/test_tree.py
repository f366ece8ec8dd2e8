"""What any tree of files must do: a folder of a disk, and a prefix of a container."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.adapters.local.tree import DiskTree
from mlops_assets.adapters.tree import StrangersError
from mlops_assets.domain.errors import StaleError

FILES = {"a.json": b"1", "b.npz": b"2", "seal.json": b"3"}


@pytest.fixture(params=["local", pytest.param("azure", marks=pytest.mark.azure)])
def tree(request, tmp_path):
    if request.param == "azure":
        return request.getfixturevalue("azurite").tree("workspaces/dev/models")
    return DiskTree(tmp_path / "workspaces" / "dev" / "models", tmp_path)


def put(tree, folder, files=None):
    return tree.write_folder_once(folder, files or FILES, seal="seal.json")


def test_nothing_is_there_before_it_is_written(tree):
    assert tree.read("x") is tree.state("x") is None
    assert tree.read_log("log") == b""
    assert list(tree.names()) == list(tree.names("p", depth=2)) == []
    assert list(tree.folders()) == list(tree.folders("p", depth=3, seal="seal.json")) == []
    assert list(tree.things(depth=2)) == list(tree.things(depth=2, seal="seal.json")) == []
    assert dict(tree.states("p")) == {}
    tree.remove("x")
    tree.remove_folder("p", seal="seal.json")


def test_a_name_is_told_from_the_home_and_as_a_place(tree):
    assert tree.path("P1/C1/7") == "workspaces/dev/models/P1/C1/7"
    assert tree.path() == "workspaces/dev/models"
    assert tree.where("P1/x").endswith("/P1/x")


def test_a_file_is_written_once(tree):
    assert tree.write_once("p/x", b"1")
    assert not tree.write_once("p/x", b"1")
    with pytest.raises(StaleError, match="p/x: is written once and holds other content; use ano"):
        tree.write_once("p/x", b"2")
    assert tree.read("p/x") == b"1"


def test_a_file_changes_its_state_when_it_is_replaced_and_not_when_it_says_the_same(tree):
    tree.write_atomic("p/x", b"1")
    before = tree.state("p/x")
    tree.write_changed("p/x", b"1")
    assert tree.state("p/x") == before
    tree.write_changed("p/x", b"2")
    assert tree.read("p/x") == b"2"
    changed = tree.state("p/x")
    assert changed != before
    tree.write_atomic("p/x", b"3")
    assert tree.state("p/x") != changed
    tree.write_changed("p/y", b"4")
    assert dict(tree.states("p")) == {"x": tree.state("p/x"), "y": tree.state("p/y")}


def test_a_file_is_swapped_only_from_what_was_seen(tree):
    tree.swap("p/live", None, b"1")
    tree.swap("p/live", b"1", b"2")
    for seen in (None, b"1"):
        with pytest.raises(StaleError, match="p/live: somebody else changed it first; read it ag"):
            tree.swap("p/live", seen, b"3")
    with pytest.raises(StaleError):
        tree.swap("p/other", b"1", b"2")
    assert tree.read("p/live") == b"2"
    assert tree.read("p/other") is None


def test_a_folder_is_written_once_whole(tree):
    assert put(tree, "P1/C1/7")
    assert not put(tree, "P1/C1/7")
    for other in ({**FILES, "a.json": b"x"}, {**FILES, "c": b""}, {"seal.json": b"3"}):
        with pytest.raises(StaleError, match="P1/C1/7: is written once and holds other content"):
            put(tree, "P1/C1/7", other)
    assert tree.read_folder("P1/C1/7", FILES, only=FILES) == FILES


def test_files_of_a_folder_are_read_by_name_and_strangers_are_told(tree):
    put(tree, "P1/C1/7")
    assert tree.read_folder("P1/C1/7", ["b.npz"]) == {"b.npz": b"2"}
    with pytest.raises(FileNotFoundError) as caught:
        tree.read_folder("P1/C1/7", ["a.json", "c"])
    assert caught.value.filename == "c"
    with pytest.raises(FileNotFoundError):
        tree.read_folder("P1/C1/8", ["a.json"])
    with pytest.raises(StrangersError, match=r"^b\.npz, seal\.json$"):
        tree.read_folder("P1/C1/7", ["a.json"], only=["a.json"])


def test_many_are_asked_at_once_and_answer_in_order(tree):
    names = [f"p/{number:02d}" for number in range(20)]
    for name in names:
        tree.write_once(name, name.encode())
    assert tree.together(tree.read, [*names, "p/none"]) == [*(n.encode() for n in names), None]
    with pytest.raises(FileNotFoundError):
        tree.together(lambda name: tree.read_folder("p", [name]), ["00", "none", "01"])


def test_files_and_folders_are_named_by_how_deep_they_lie(tree):
    for name in ("top", "p/b", "p/a", "q/c", "p/deep/x"):
        tree.write_once(name, b"12")
    put(tree, "p/C1")
    put(tree, "p/C2")
    assert list(tree.names()) == ["top"]
    assert [name for name in tree.names(depth=2) if "." not in name] == ["p/a", "p/b", "q/c"]
    assert list(tree.folders()) == ["p", "q"]
    assert set(tree.folders("p", seal="seal.json")) >= {"C1", "C2"}
    assert set(tree.folders(depth=2, seal="seal.json")) >= {"p/C1", "p/C2"}
    assert [(thing.name, thing.bytes) for thing in tree.things(depth=1)] == [("top", 2)]
    found = [(thing.name, thing.bytes) for thing in tree.things(depth=2, seal="seal.json")]
    assert found == [("p/C1", 3), ("p/C2", 3)]


def test_a_folder_that_was_removed_can_be_written_again(tree):
    put(tree, "P1/C1/7")
    tree.remove_folder("P1/C1/7", seal="seal.json")
    assert list(tree.folders("P1/C1", seal="seal.json")) == []
    assert put(tree, "P1/C1/7", {"seal.json": b"other"})


def test_a_log_grows_by_whole_lines_at_its_end(tree):
    with tree.locked(".lock"):
        tree.append("log", b"one\n", at=0)
        tree.append("log", b"two\n", at=4)
        assert tree.read_log("log") == b"one\ntwo\n"
        with pytest.raises(StaleError):
            tree.append("log", b"three\n", at=12)
    assert tree.read_log("log") == b"one\ntwo\n"


def test_a_lock_is_one_holders(tree):
    with (
        tree.locked("p/.lock"),
        pytest.raises(StaleError, match=r"p/\.lock: somebody else holds it; wait and repeat"),
        tree.locked("p/.lock", wait=False),
    ):
        pass
    with tree.locked("p/.lock", wait=False), tree.locked("q/.lock", wait=False):
        pass


NAMES = st.sampled_from(["x", "p/x", "p/y", "p/q/x"])
DATA = st.sampled_from([b"", b"1", b"2"])
WHOLE = st.fixed_dictionaries({"seal.json": DATA}, optional={"a": DATA, "b/c": DATA})
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["write_once", "write_atomic", "write_changed"]), NAMES, DATA),
        st.tuples(st.just("swap"), NAMES, st.none() | DATA, DATA),
        st.tuples(st.just("write_folder_once"), st.sampled_from(["F/1", "F/2"]), WHOLE),
        st.tuples(st.just("remove_folder"), st.sampled_from(["F/1", "F/2"])),
        st.tuples(st.just("remove"), NAMES),
        st.tuples(st.just("append"), st.integers(0, 1)),
    ),
    min_size=4,
    max_size=12,
)


def told(tree, operation):
    """What a tree answers to one operation."""
    name, *arguments = operation
    options = {"seal": "seal.json"} if "folder" in name else {}
    if name == "append":
        # At its end, or behind it.
        options = {"at": len(tree.read_log("log")) + arguments[0]}
        arguments = ["log", b"line\n"]
    try:
        return getattr(tree, name)(*arguments, **options)
    except StaleError:
        return "stale"


def seen(tree):
    """All that can be read of a tree."""
    files = {name for depth in (1, 2) for name in tree.names(depth=depth) if name[0] not in "F.l"}
    whole = list(tree.folders("F", seal="seal.json"))
    return (
        {name: tree.read(name) for name in files},
        tree.read_log("log"),
        {name: tree.read_folder(f"F/{name}", ["seal.json"]) for name in whole},
        [(t.name, t.bytes) for t in tree.things(depth=2, seal="seal.json") if t.name[0] == "F"],
    )


@pytest.mark.azure
@settings(max_examples=8)
@given(OPERATIONS)
def test_blobs_answer_whatever_is_done_as_a_disk_does(azurite, tmp_path_factory, operations):
    disk, blobs = DiskTree(tmp_path_factory.mktemp("home")), azurite.tree()
    for operation in operations:
        assert told(disk, operation) == told(blobs, operation), operation
    assert seen(disk) == seen(blobs)
