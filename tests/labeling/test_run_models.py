"""Models of runs: images by their pixels, without looking elsewhere; and those of other packages."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from labeling.service import Labeling
from labeling.store.definition import Definition, NewTask
from labeling.work.images import Picture, import_pictures, pixels_of
from labeling.work.settings import RunSettings
from palate.errors import ParameterError, SchemaError

INTERFACE = """<View><Image name="image" value="$image"/>
<Choices name="label" toName="image"><Choice value="Stripes"/><Choice value="Bars"/></Choices></View>"""
sqlite = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


def pattern(kind, seed):
    """Noise with lines across or down."""
    draw = np.random.default_rng(seed)
    pixels = draw.integers(0, 120, (24, 24, 3)).astype(np.uint8)
    lines = slice(int(draw.integers(4)), None, 6)
    if kind == "Stripes":
        pixels[lines] += 120
    else:
        pixels[:, lines] += 120
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@sqlite
def test_a_run_labels_images_by_their_pixels(store, work):
    service = Labeling(store.engine)
    project = service.create(Definition("Lines", config=INTERFACE))[0].id
    truth = {f"{number}.png": "Bars" if number % 3 == 0 else "Stripes" for number in range(150)}
    pictures = [
        Picture(name, lambda name=name, number=number: pattern(truth[name], number))
        for number, name in enumerate(truth)
    ]
    import_pictures(store.engine, project, pictures, lambda *_: None)
    service.automation.start(project, RunSettings(target=0.9, seed_items=40), "boss")
    for _ in range(60):
        work()
        if service.automation.run(project).run.state == "done":
            break
        while (task := service.next_task(project, "ann").task) is not None:
            service.submit(project, "ann", task.task_id, {"choices": [truth[task.external_id]]})
    state = service.automation.run(project)
    assert state.run.state == "done"
    labels = service.automation.labels(project, limit=1000)
    assert len(labels) > 40
    right = sum(label.label == truth[label.external_id] for label in labels)
    assert right / len(labels) > 0.9
    assert state.rounds[-1]["model"].startswith("kernel(pixels)")


@sqlite
def test_what_the_service_does_not_have_is_not_looked_at(store):
    service = Labeling(store.engine)
    project = service.create(Definition("Lines", config=INTERFACE), [NewTask("1", {"image": "x"})])[0].id
    inline = "data:image/png;base64," + base64.b64encode(pattern("Bars", 1)).decode()
    found = pixels_of(store.engine, project, [inline])
    assert found.shape == (1, 32, 32, 3)
    assert 0 <= found.min() < found.max() <= 1
    for address in ("http://127.0.0.1/inward.png", "file:///etc/passwd", f"/projects/{project + 1}/images/1", "None"):
        with pytest.raises(SchemaError, match="no image that this service has"):
            pixels_of(store.engine, project, [address])
    with pytest.raises(SchemaError, match="is no image"):
        pixels_of(store.engine, project, ["data:image/png;base64,AAAA"])


PLUGIN = """
import numpy as np

class Counting:
    '''Knows a text by the words that only its label has.'''

    def fit(self, texts, labels):
        self.classes_ = np.unique(labels)
        self.words = [{w for t, l in zip(texts, labels) if l == each for w in t.split()} for each in self.classes_]
        return self

    def predict_proba(self, texts):
        hits = np.array([[1 + len(set(t.split()) & words) for words in self.words] for t in texts], dtype=float)
        return hits / hits.sum(axis=1, keepdims=True)

def make(seed):
    return Counting()
"""


@sqlite
def test_a_package_brings_a_model_of_its_own(store, work, tmp_path, monkeypatch):
    (tmp_path / "counting_words.py").write_text(PLUGIN)
    info = tmp_path / "counting_words-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: counting-words\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[palate.label_models]\ncounting = counting_words:make\nlost = nowhere:x\n")
    with pytest.raises(ParameterError, match="is no model"):
        RunSettings(model="counting")
    monkeypatch.syspath_prepend(tmp_path)
    service = Labeling(store.engine)
    tasks = [NewTask(str(i), {"text": f"{'sun sand' if i % 2 else 'ice cold'} {i}"}) for i in range(60)]
    project = service.create(Definition("Where?", ("Sea", "Snow")), tasks)[0].id
    service.automation.start(project, RunSettings(target=0.9, seed_items=30, model="counting"), "boss")
    for _ in range(3):
        work()
        while (task := service.next_task(project, "ann").task) is not None:
            label = "Sea" if "sun" in task.data["text"] else "Snow"
            service.submit(project, "ann", task.task_id, {"choices": [label]})
    assert service.automation.run(project).rounds[0]["model"].startswith("counting")
    other = service.create(Definition("Lost", ("Sea", "Snow")), tasks)[0].id
    service.automation.start(other, RunSettings(target=0.9, seed_items=30, model="lost"), "boss")
    for _ in range(2):
        work()
    said = [job.error for job in service.automation.jobs(other) if job.error]
    assert any("'lost' cannot be loaded" in error for error in said)
