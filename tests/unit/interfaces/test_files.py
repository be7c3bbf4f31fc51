"""Results arrive whole or not at all, each in a place of its own, and never on a recording."""

from __future__ import annotations

import os
import resource
import stat
import threading
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto.contexts.core.errors import InvalidOption, OutputNotWritable, StorageFull
from stretto.interfaces.files import output_paths, write_atomically


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_text_is_written_as_it_is_and_nothing_else_is_left(tmp_path):
    target = tmp_path / "talk.txt"
    write_atomically(target, "Привет\r\n👋\n")
    assert target.read_bytes() == "Привет\r\n👋\n".encode()
    assert list(tmp_path.iterdir()) == [target]


def test_an_older_file_is_replaced_whole_and_keeps_its_permissions(tmp_path):
    target = tmp_path / "talk.txt"
    target.write_text("a much longer text than the new one")
    target.chmod(0o600)
    write_atomically(target, "new")
    assert target.read_text() == "new"
    assert permissions(target) == 0o600


def test_a_new_file_gets_the_permissions_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "talk.txt", "x")
    finally:
        os.umask(before)
    assert permissions(tmp_path / "talk.txt") == 0o640


def test_a_link_stays_a_link_and_its_target_gets_the_text(tmp_path):
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("real.txt")
    write_atomically(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"


def test_a_name_of_the_greatest_length_can_be_written(tmp_path):
    target = tmp_path / ("n" * 251 + ".txt")
    write_atomically(target, "x")
    assert target.read_text() == "x"


def test_a_reader_never_sees_half_a_file(tmp_path):
    target = tmp_path / "talk.txt"
    versions = [letter * 300_000 for letter in "ab"]
    write_atomically(target, versions[0])
    seen, done = set(), threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add(target.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(20):
        write_atomically(target, versions[number % 2])
    done.set()
    reader.join()
    assert seen <= set(versions)


def test_several_threads_may_write_into_one_folder(tmp_path):
    def write(number: int) -> None:
        for _ in range(5):
            write_atomically(tmp_path / f"{number}.txt", str(number) * 1000)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{n}.txt" for n in range(4)]


def test_a_device_is_written_to_and_stays_a_device():
    write_atomically(Path("/dev/null"), "x")
    assert Path("/dev/null").is_char_device()


def test_a_full_disk_is_named_as_such():
    with pytest.raises(StorageFull, match=r"/dev/full.*disk is full.*Free some space"):
        write_atomically(Path("/dev/full"), "x")


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("missing/talk.txt", "folder does not exist"),
        ("file/talk.txt", "is a file, not a folder"),
        ("folder", "it is a folder"),
        ("n" * 300, "too long"),
        ("nul\0.txt", "cannot be the name"),
    ],
)
def test_a_place_that_cannot_be_written_gets_one_sentence_and_no_leftovers(
    tmp_path, place, sentence
):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputNotWritable, match=sentence):
        write_atomically(tmp_path / place, "x")
    assert {p.name for p in tmp_path.rglob("*")} == {"file", "folder"}
    assert (tmp_path / "file").read_text() == "kept"


def test_a_write_that_breaks_off_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "talk.txt"
    target.write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OutputNotWritable, match="cannot be written"):
            write_atomically(target, "x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("protected", ["folder", "file"])
def test_a_protected_place_is_left_alone_and_said_to_be_so(tmp_path, protected):
    target = tmp_path / "talk.txt"
    target.write_text("kept")
    target.chmod(0o444 if protected == "file" else 0o644)
    tmp_path.chmod(0o555 if protected == "folder" else 0o755)
    try:
        with pytest.raises(OutputNotWritable, match="may not write there"):
            write_atomically(target, "x")
    finally:
        tmp_path.chmod(0o755)
    assert target.read_text() == "kept"
    assert list(tmp_path.iterdir()) == [target]


def test_an_unwritable_kernel_file_system_is_an_output_that_cannot_be_written():
    with pytest.raises(OutputNotWritable, match="cannot be written"):
        write_atomically(Path("/proc/talk.txt"), "x")


def test_text_that_utf8_cannot_carry_does_not_stop_the_writing(tmp_path):
    write_atomically(tmp_path / "talk.txt", "half \ud83d pair")
    assert (tmp_path / "talk.txt").read_text() == "half ? pair"


def paths(inputs: list[str], formats: list[str], output: str | Path | None) -> list[list[str]]:
    planned = output_paths([Path(i) for i in inputs], formats=formats, output=output)
    return [[str(path) for path in results.values()] for results in planned]


def test_without_an_output_results_lie_beside_their_inputs():
    assert paths(["a/talk.mp3", "b/talk.mp3"], ["txt", "verbose_json"], None) == [
        ["a/talk.txt", "a/talk.verbose.json"],
        ["b/talk.txt", "b/talk.verbose.json"],
    ]


def test_one_result_goes_into_the_file_that_was_named(tmp_path):
    target = str(tmp_path / "any.name")
    assert paths(["talk.mp3"], ["srt"], target) == [[target]]
    assert paths(["talk.mp3"], ["srt", "srt"], target) == [[target]]


def test_a_folder_takes_results_under_the_name_of_the_input(tmp_path):
    assert paths(["a/talk.mp3"], ["srt"], tmp_path) == [[f"{tmp_path}/talk.srt"]]
    assert paths(["a/talk.mp3"], ["srt"], "new/") == [["new/talk.srt"]]
    assert paths(["a/talk.mp3"], ["srt", "txt"], "new") == [["new/talk.srt", "new/talk.txt"]]
    assert paths(["talk.mp3", "b.wav"], ["txt"], "new") == [["new/talk.txt"], ["new/b.txt"]]


def test_inputs_that_share_a_stem_keep_their_suffix_and_then_get_a_number():
    assert paths(["a/talk.mp3", "a/talk.wav", "b/talk.mp3"], ["srt"], "out") == [
        ["out/talk.mp3.srt"],
        ["out/talk.wav.srt"],
        ["out/talk.mp3.2.srt"],
    ]
    assert paths(["talk.mp3", "TALK.wav"], ["srt"], None) == [["talk.mp3.srt"], ["TALK.wav.srt"]]


def test_a_result_never_falls_on_an_input(tmp_path):
    recording = tmp_path / "talk.json"
    recording.write_text("really a recording")
    (tmp_path / "link.srt").symlink_to(recording)
    assert paths([str(recording)], ["json"], None) == [[f"{recording}.json"]]
    (aside,) = paths([str(tmp_path / "link.mp3"), str(recording)], ["srt"], None)[0]
    assert Path(aside).name == "link.mp3.srt"
    for name in (recording, tmp_path / "link.srt", tmp_path / "." / "talk.json"):
        with pytest.raises(InvalidOption, match="recording itself"):
            paths([str(recording)], ["txt"], name)


def test_several_results_cannot_go_into_one_file(tmp_path):
    (tmp_path / "old.txt").write_text("kept")
    with pytest.raises(InvalidOption, match="several results"):
        paths(["a.mp3", "b.mp3"], ["txt"], tmp_path / "old.txt")


def test_an_unknown_format_is_refused_before_anything_is_done():
    with pytest.raises(InvalidOption, match="docx"):
        paths(["a.mp3"], ["docx"], None)


names = st.sampled_from(["a", "A", "a.mp3", "a.wav", "a.srt", "a.mp3.srt", "a.mp3.2.srt", ".srt"])
files = st.builds("{}/{}".format, st.sampled_from(["x", "y", "x/../y"]), names)


@given(
    st.lists(files, max_size=8),
    st.lists(st.sampled_from(["srt", "json", "verbose_json"]), min_size=1),
    st.none() | st.sampled_from(["x/", "new/"]),
)
def test_results_are_apart_from_each_other_and_from_all_inputs(inputs, formats, output):
    planned = list(chain.from_iterable(paths(inputs, formats, output)))
    real = [os.path.realpath(path) for path in planned]
    assert len(set(real)) == len(real) == len(inputs) * len(set(formats))
    assert set(real).isdisjoint(os.path.realpath(path) for path in inputs)
