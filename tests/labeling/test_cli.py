"""`palate label`: from a catalogue to a project and back, and what it says of bad input."""

from __future__ import annotations

import json
import sys

import pytest

from palate.cli import main
from palate.store import Accounts, open_engine

CATALOGUE = """id,title,text,categories
1,Paper Lanterns,A watchman writes letters,Drama
2,The Long Ferry,Two sisters cross a lake,Drama|Comedy
3,=1+1,,
"""


@pytest.fixture
def palate(tmp_path, monkeypatch, capsys):
    """Runs the command; its exit code, and what it printed to both outputs."""
    monkeypatch.setenv("PALATE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        try:
            main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as stop:
            code = stop.code
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code or 0, said.out, said.err

    return run


@pytest.fixture
def catalogue(tmp_path):
    file = tmp_path / "items.csv"
    file.write_text(CATALOGUE)
    return file


def create(palate, source, *more):
    return palate("label", "create", "--from", source, "--title", "Films", *more)


def test_a_project_is_made_from_a_catalogue_with_its_categories(palate, catalogue):
    code, out, _ = create(palate, catalogue)
    assert (code, out) == (0, "Made project 1 'Films': 3 tasks added, 3 in all.\n")
    assert palate("label", "list")[1] == "1\t0/3 done\tFilms\n"


def test_making_it_again_adds_only_new_items(palate, catalogue):
    create(palate, catalogue)
    catalogue.write_text(CATALOGUE + "4,New,,Drama\n")
    assert create(palate, catalogue)[1] == "Found project 1 'Films': 1 tasks added, 4 in all.\n"


def test_labels_overlap_instructions_and_limit(palate, catalogue, tmp_path):
    (tmp_path / "how.txt").write_text("Look twice.\n")
    options = ("--labels", "Good, Bad", "--overlap", 2, "--instructions", "@how.txt", "--limit", 2)
    assert create(palate, catalogue, *options)[1].endswith("2 tasks added, 2 in all.\n")
    assert create(palate, catalogue, "--labels", "Good,Other")[0] == 2


def test_boxes_are_asked_for_on_the_images_of_a_catalogue(palate, catalogue):
    catalogue.write_text("id,title,image\n1,Lanterns,https://images.example.org/1.jpg\n")
    assert create(palate, catalogue, "--kind", "boxes", "--labels", "Cat,Dog")[0] == 0
    catalogue.write_text("id,title,image\n2,Ferry,\n")
    code, _, error = create(palate, catalogue, "--kind", "boxes", "--labels", "Cat,Dog")
    assert code == 2
    assert "tasks[0].data: '2' has no 'image', which this project's people work on" in error


def test_what_is_asked_is_a_kind_or_an_interface_in_xml(palate, catalogue, tmp_path):
    assert create(palate, catalogue, "--kind", "rating")[0] == 0
    xml = '<View><Text name="t" value="$title"/><Rating name="r" toName="t"/></View>'
    (tmp_path / "ask.xml").write_text(xml)
    assert palate("label", "create", "--from", catalogue, "--title", "Stars", "--config", "ask.xml")[0] == 0
    (tmp_path / "ask.xml").write_text(xml.replace("</View>", ""))
    code, _, error = palate("label", "create", "--from", catalogue, "--title", "Other", "--config", "ask.xml")
    assert (code, "config: line 1, column" in error) == (2, True)
    assert palate("label", "list")[1].count("\n") == 2


def test_only_uncategorised_items(palate, catalogue):
    assert "1 tasks added" in create(palate, catalogue, "--only-uncategorised")[1]


def test_parquet_and_jsonl_are_read_as_well(palate, catalogue, tmp_path):
    import pandas as pd

    frame = pd.DataFrame({"id": [1, 2], "title": ["One", "Two"]})
    frame.to_parquet(tmp_path / "items.parquet")
    frame.to_json(tmp_path / "items.jsonl", orient="records", lines=True)
    assert "2 tasks added" in create(palate, tmp_path / "items.parquet", "--labels", "a,b")[1]
    assert "0 tasks added, 2 in all" in create(palate, tmp_path / "items.jsonl", "--labels", "a,b")[1]


def test_a_real_catalogue(palate, test_data):
    code, out, _ = create(palate, test_data / "ml-latest-small")
    assert code == 0
    assert int(out.split(": ")[1].split()[0]) > 9_000


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.csv", b""),
        ("header.csv", b"id,title\n"),
        ("ragged.csv", b"id,title\n1,One\n2,Two,more,more\n"),
        ("binary.csv", bytes(range(256)) * 20),
        ("noid.csv", b"name,length\nx,3\n"),
        ("twice.csv", b"id,title\n1,One\n1,Two\n"),
        ("broken.jsonl", b'{"id": 1\n'),
        ("list.jsonl", b"[1, 2]\n"),
        ("fake.parquet", b"PAR1 nothing PAR1"),
        ("utf16.csv", "id,title\n1,One\n".encode("utf-16")),
        ("latin.csv", "id,title\n1,Caf\xe9\n".encode("latin-1")),
    ],
)
def test_a_catalogue_that_is_none_ends_with_2_and_names_the_file(palate, tmp_path, name, content):
    file = tmp_path / name
    file.write_bytes(content)
    code, out, err = create(palate, file, "--labels", "a,b")
    assert (code, out) == (2, "")
    assert name in err
    assert palate("label", "list")[1] == ""


@pytest.mark.parametrize(
    "more",
    [
        ("--labels", "one"),
        ("--labels", "a,a"),
        ("--labels", "a,,b"),
        ("--overlap", "0"),
        ("--overlap", "two"),
        ("--title", ""),
        ("--title", "x" * 300),
        ("--instructions", "@nowhere.txt"),
        ("--limit", "0"),
        ("--format", "xml"),
    ],
)
def test_options_that_do_not_fit_end_with_2(palate, catalogue, more):
    code, _, err = create(palate, catalogue, *more)
    assert (code, bool(err)) == (2, True)


def test_a_missing_catalogue_and_a_missing_project_end_with_2(palate, tmp_path):
    assert create(palate, tmp_path / "nowhere.csv")[0] == 2
    assert palate("label", "export", 7)[0] == 2


def test_items_without_categories_need_labels(palate, tmp_path):
    (tmp_path / "items.csv").write_text("id,title\n1,One\n2,Two\n")
    code, _, err = create(palate, tmp_path / "items.csv")
    assert code == 2
    assert "--labels" in err


def test_export_writes_json_and_csv(palate, catalogue, tmp_path):
    create(palate, catalogue)
    assert json.loads(palate("label", "export", 1)[1]) == []
    assert len(json.loads(palate("label", "export", 1, "--all")[1])) == 3
    assert palate("label", "export", 1, "--format", "csv", "--all", "--out", tmp_path / "out.csv")[0] == 0
    assert "'=1+1" in (tmp_path / "out.csv").read_text()
    assert palate("label", "export", 1, "--out", tmp_path / "no" / "out.json")[0] == 2
    (tmp_path / "link.json").symlink_to(tmp_path / "out.json")
    assert palate("label", "export", 1, "--all", "--out", tmp_path / "link.json")[0] == 0
    assert (tmp_path / "link.json").is_symlink()
    assert len(json.loads((tmp_path / "out.json").read_text())) == 3


def test_people_are_let_in_and_out(palate, tmp_path, monkeypatch):
    import io

    for line, code in (("correct horse battery\n", 0), ("short\n", 2), ("", 2)):
        monkeypatch.setattr("sys.stdin", io.StringIO(line))
        assert palate("label", "people", "add", f"ann{code}")[0] == code
    accounts = Accounts(open_engine(f"sqlite:///{tmp_path / 'home' / 'labeling.db'}"))
    assert accounts.check_password("ann0", "correct horse battery").scopes == {"label"}
    monkeypatch.setattr("sys.stdin", io.StringIO("another long password\n"))
    assert palate("label", "people", "password", "ann0")[0] == 0
    assert accounts.check_password("ann0", "correct horse battery") is None
    assert palate("label", "people", "disable", "ann0")[0] == 0
    assert palate("label", "people", "disable", "nobody")[0] == 2
    assert palate("label", "people", "list")[1] == "ann0\tlabel\tdisabled\n"


@pytest.mark.parametrize(("name", "value"), [("PALATE_LEASE_MINUTES", "0"), ("PALATE_LABEL_PORT", "x")])
def test_settings_that_do_not_fit_are_named(palate, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    code, _, err = palate("label", "list")
    assert code == 2
    assert name in err


def test_how_far_an_import_is_only_a_terminal_is_shown(palate, catalogue, tmp_path, monkeypatch):
    create(palate, catalogue)
    (tmp_path / "tasks.csv").write_text("id,title\n4,Salt\n")
    told = "1 tasks and 0 answers added; 0 were there.\n"
    assert palate("label", "import", 1, "tasks.csv") == (0, told, "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    code, out, err = palate("label", "import", 1, "tasks.csv")
    assert (code, out) == (0, "0 tasks and 0 answers added; 1 were there.\n")
    assert "100%" in err
