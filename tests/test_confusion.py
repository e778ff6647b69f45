"""Which class each test image is taken for, and the pictures of the surest mistakes."""

import io
from base64 import b64decode

import pytest
import torch
from PIL import Image

from hwnas.report.answers import confusion_table, mix_ups, pictures
from hwnas.train.confusion import MISTAKES_SHOWN, confusion
from hwnas.train.data import load_data
from hwnas.train.evaluate import accuracy


@pytest.fixture(scope="module")
def answered():
    """A network with random weights on digits: it has an answer, most often a wrong one."""
    data = load_data("digits", 8, workers=0)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, len(data.classes)))
    return data, model, confusion(model, data)


def test_every_test_image_is_counted_once_and_right_ones_lie_on_the_diagonal(answered):
    data, model, found = answered
    counts = torch.tensor(found.counts)
    labels = torch.cat([labels for _, labels in data.test_batches()])
    assert counts.sum(1).tolist() == torch.bincount(labels, minlength=10).tolist()
    right = counts.diagonal().sum() / counts.sum()
    assert float(right) == pytest.approx(accuracy(model, data.test_batches()))


def test_the_surest_mistakes_come_first_with_their_pictures(answered):
    data, model, found = answered
    assert len(found.mistakes) == MISTAKES_SHOWN
    assert all(mistake.truth != mistake.answer for mistake in found.mistakes)
    shares = [mistake.sureness for mistake in found.mistakes]
    assert shares == sorted(shares, reverse=True)
    wrong = [
        float(sure.detach())
        for images, labels in data.test_batches()
        for sure, answer, label in zip(*model(images).softmax(1).max(1), labels, strict=True)
        if answer != label
    ]
    assert shares[0] == pytest.approx(max(wrong), abs=1e-4)
    picture = Image.open(io.BytesIO(b64decode(found.mistakes[0].picture)))
    assert (picture.format, picture.size) == ("JPEG", (8, 8))


def test_the_page_gets_a_table_of_few_classes_and_words_for_many():
    counts = [[8, 2], [0, 5]]
    table = confusion_table(counts, ["cat", "dog"])
    assert table["rows"][0]["cells"][1]["told"] == "2 of class cat taken for dog"
    assert [row["right"] for row in table["rows"]] == ["80%", "100%"]
    assert mix_ups(counts, ["cat", "dog"]) == ["2 of cat taken for dog"]
    many = [[0] * 30 for _ in range(30)]
    many[3][4] = 7
    assert confusion_table(many, [f"class {n}" for n in range(30)]) is None
    assert mix_ups(many, [f"class {n}" for n in range(30)]) == ["7 of class 3 taken for class 4"]


def test_what_is_no_picture_is_left_out():
    mistake = {"truth": "cat", "answer": "dog", "sureness": 0.9}
    assert pictures([mistake | {"picture": '" onerror="alert(1)'}]) == []
    assert len(pictures([mistake | {"picture": "aGVsbG8="}])) == 1
