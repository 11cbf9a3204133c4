"""Broken and hostile files: a line with the name of the file, before any memory is taken for what they claim."""

import base64
import io
import json
import struct
import zipfile
import zlib
from copy import deepcopy
from functools import cache

import numpy as np
import pytest
from PIL import Image

import surfacefit as sf
from surfacefit._base.array_files import LARGE_BYTES
from surfacefit._base.documents import NotAFit
from surfacefit._fit.cli import main
from surfacefit._results.summary_record import RESULT_VERSION
from surfacefit.interop.files.formats import CannotRead, read

HEIGHTS = np.random.default_rng(0).normal(size=(6, 7))


@cache
def fit():
    return sf.fit(HEIGHTS, 1, background="plane", init="peaks", sigma=0.5, solver=sf.LevenbergMarquardt(max_steps=2))


@cache
def mixture():
    return sf.fit_mixture(HEIGHTS, 2, max_steps=1)


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    """The documents of a fit and of a mixture, as JSON."""
    folder, found = tmp_path_factory.mktemp("saved"), {}
    for name, result in (("fit", fit()), ("mixture", mixture())):
        result.save(folder / f"{name}.json")
        found[name] = json.loads((folder / f"{name}.json").read_text())
    return found


def stored(array, **changes):
    array = np.asarray(array)
    text = base64.b64encode(array.tobytes()).decode()
    return {"dtype": array.dtype.name, "shape": list(array.shape), "base64": text, **changes}


def npy(shape, descr="<f8", data=b"", version=(1, 0)):
    """The bytes of an ``.npy`` with any header over any data."""
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H", len(header)) + header + data


def zipped(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)


@cache
def unfolding():
    """Size, checksum and deflated bytes of a member that unfolds to a thousand times as many: zeros."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    content = npy((LARGE_BYTES // 4,), data=bytes(2 * LARGE_BYTES))
    return len(content), zlib.crc32(content), engine.compress(content) + engine.flush()


def bomb(path, *names, **members):
    """An ``.npz`` with such members beside others."""
    size, crc, packed = unfolding()
    zipped(path, **members)
    with zipfile.ZipFile(path) as archive:
        known = [(info, archive.read(info)) for info in archive.infolist()]
    with path.open("wb") as file:
        directory = b""
        for name, raw, deflated, length, check in [
            *((f"{name}.npy", packed, True, size, crc) for name in names),
            *((info.filename, content, False, len(content), info.CRC) for info, content in known),
        ]:
            fields = struct.pack("<HHHHHIIIH", 20, 0, 8 * deflated, 0, 33, check, len(raw), length, len(name))
            begun = file.tell()
            file.write(b"PK\x03\x04" + fields + bytes(2) + name.encode() + raw)
            directory += b"PK\x01\x02" + struct.pack("<H", 20) + fields + bytes(12) + struct.pack("<I", begun)
            directory += name.encode()
        begun, count = file.tell(), len(names) + len(known)
        end = struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), begun, 0)
        file.write(directory + b"PK\x05\x06" + end)


def header_of(document):
    """The ``header`` member of an npz, where a tree refers to arrays by name."""
    file = io.BytesIO()
    np.save(file, np.array(json.dumps(document)))
    return file.getvalue()


def saved(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


HEAD = {"format": "surfacefit result", "version": RESULT_VERSION}

JSON_FILES = {
    "deep list": ("[" * 200_000, "nested too deeply"),
    "deep objects": ('{"a":' * 200_000, "nested too deeply"),
    "NaN": ('{"format": NaN}', "NaN is no number of JSON"),
    "a long integer": ('{"a": ' + "9" * 5000 + "}", "is no surfacefit result"),
    "binary": ("\x00\x01\x02", "is no surfacefit result"),
    "an odd format": ('{"format": [1, 2]}', "does not say format"),
    "a long format": (json.dumps({"format": "x" * 10**6}), "it is a xxx"),
    "text of 2 GB": (json.dumps({"a": {"dtype": "U500000000", "shape": [1], "values": ["a"]}}), "is not of numbers"),
    "objects": (json.dumps({"a": {"dtype": "object", "shape": [1], "values": [1]}}), "'object' is not of numbers"),
    "no dtype": (json.dumps({"a": {"dtype": [1], "shape": [1], "values": [1]}}), "is not of numbers"),
    "a trillion": (json.dumps({"a": {"dtype": "float64", "shape": [10**12], "values": [1]}}), "an array of 1 numbers"),
    "negative shape": (json.dumps({"a": {"dtype": "float64", "shape": [-1], "values": [1]}}), "an array of 1 numbers"),
    "half a shape": (json.dumps({"a": {"dtype": "float64", "shape": [1.0], "values": [1]}}), "an array of 1 numbers"),
    "bytes too many": (json.dumps({"a": stored([1.0, 2.0], shape=[1])}), "an array of 2 numbers"),
    "half a number": (json.dumps({"a": stored([1.0], base64="AAAA")}), "cannot have shape"),
    "large, of something else": (" " * (LARGE_BYTES + 1), "does not begin like one"),
}  # fmt: skip


@pytest.mark.parametrize("case", JSON_FILES)
def test_a_json_that_is_no_fit(case, tmp_path):
    content, message = JSON_FILES[case]
    refused_everywhere(tmp_path / "odd.json", content.encode(), message)


def refused_everywhere(path, content, message, capsys=None):
    if content is not None:
        path.write_bytes(content)
    for function in (sf.load, sf.MixtureResult.load):
        with pytest.raises(NotAFit) as error:
            function(path)
        text = str(error.value)
        assert text.startswith(repr(str(path)))
        assert len(text) < 500
        assert "\n" not in text
        if function == sf.load:
            assert message in text


NPZ_FILES = {
    "no zip": (lambda path: path.write_bytes(b"PK\x05\x06" + bytes(17)), "is no surfacefit result"),
    "no header": (lambda path: zipped(path, z=saved(HEIGHTS)), "an npz without a header"),
    "a header of numbers": (lambda path: zipped(path, header=saved(HEIGHTS)), "its header must be a text"),
    "a header of text of 2 GB": (lambda path: zipped(path, header=npy((), "<U500000000")), "does not take 0 bytes"),
    "a header of pickled objects": (lambda path: zipped(path, header=saved(np.array({}))), "is not of numbers"),
    "a header that unfolds": (lambda path: bomb(path, "header"), "its header must be a text"),
    "a header of a deep shape": (lambda path: zipped(path, header=npy((), "(" * 90)), "is no surfacefit result"),
    "a missing member": (
        lambda path: zipped(path, header=header_of({**HEAD, "a": {"member": "b"}})),
        "it has no 'b'",
    ),
    "a trillion numbers": (
        lambda path: zipped(path, header=header_of({**HEAD, "a": {"member": "b"}}), b=npy((10**12,))),
        "does not take 0 bytes",
    ),
    "a negative shape": (
        lambda path: zipped(path, header=header_of({**HEAD, "a": {"member": "b"}}), b=npy((-1, -1), data=bytes(8))),
        "does not take 8 bytes",
    ),
    "a subarray": (
        lambda path: zipped(path, header=header_of({**HEAD, "a": {"member": "b"}}), b=npy((1,), ("<f8", (10**9,)))),
        "is no surfacefit result",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NPZ_FILES)
def test_an_npz_that_is_no_fit(case, tmp_path):
    write, message = NPZ_FILES[case]
    write(tmp_path / "odd.npz")
    refused_everywhere(tmp_path / "odd.npz", None, message)


def test_a_claim_that_the_file_cannot_hold(tmp_path):
    path = tmp_path / "odd.npz"
    zipped(path, header=header_of({**HEAD, "a": {"member": "b"}}), b=npy((10**12,), data=b"x"))
    content, size = path.read_bytes(), len(npy((10**12,), data=b"x"))
    false = struct.pack("<I", 4_000_000_000)
    where = content.rindex(struct.pack("<I", size))  # in the directory, which comes last
    refused_everywhere(path, content[:where] + false + content[where + 4 :], "more than the file can hold")


def changed(document, place, value):
    """The document with another value at a place, "surface.centers" say."""
    document = deepcopy(document)
    *way, last = place.split(".")
    at = document
    for name in way:
        at = at[name]
    at[last] = value(at[last]) if callable(value) else value
    return document


def without(document, place):
    document = deepcopy(document)
    *way, last = place.split(".")
    at = document
    for name in way:
        at = at[name]
    del at[last]
    return document


NAN, INF = np.nan, np.inf
LONG = np.arange(9.0)
TWO = np.array([[[1.0, 0.5], [0.4, 1.0]]])
WRONG = [
    ("surface.amplitudes", stored(LONG), "`surface.centers` must have shape (9, d), got (1, 2)"),
    ("surface.amplitudes", stored([NAN]), "`surface.amplitudes` must be finite"),
    ("surface.amplitudes", stored([-2.5]), "`surface.amplitudes` must not be negative where `settings.amplitudes` is"),
    ("surface.amplitudes", stored([1]), "`surface.amplitudes` must not be of dtype int64"),
    ("surface.amplitudes", "many", "`surface.amplitudes` must be an array, got many"),
    ("surface.centers", stored([[INF, 0.0]]), "`surface.centers` must be finite"),
    ("surface.centers", stored([[0.0, 0.0, 0.0]]), "`surface.covariances` must have shape (1, 3, 3)"),
    ("surface.covariances", stored(TWO), "symmetric positive definite"),
    ("surface.covariances", stored([[[1.0, 2.0], [2.0, 1.0]]]), "symmetric positive definite"),
    ("surface.covariances", stored(np.zeros((1, 2, 2))), "symmetric positive definite"),
    ("surface.covariances", stored(NAN * TWO), "`surface.covariances` must be finite"),
    ("surface.background.kind", "cubic", "cubic"),
    ("surface.background.slopes", stored(LONG), "`background.slopes` must have shape (2,)"),
    ("surface.background.origin", stored([NAN, 0.0]), "`background.origin` must be finite"),
    ("surface.background.value", stored(LONG), "`background.value` must have shape ()"),
    ("data.heights", stored(LONG), "`data.heights` must have shape"),
    ("data.heights", stored(NAN * HEIGHTS), "`data.heights` must be finite"),
    ("data.used", stored(HEIGHTS), "`data.used` must not be of dtype float64"),
    ("data.used", stored(np.zeros((6, 7), bool)), "`data.used` must be True somewhere"),
    ("data.sigma", stored(LONG), "`data.sigma` must have shape (6, 7), got (9,)"),
    ("data.sigma", stored(-np.abs(HEIGHTS)), "`data.sigma` must be positive"),
    ("data.axes", [stored(LONG)], "`data.axes` must be 2 arrays"),
    ("data.axes", [stored(np.arange(6.0)), stored(np.zeros(7))], "`data.axes` must be strictly increasing"),
    ("data.axes", None, "either axes or points"),
    ("data.n_nan", -1, "`data.n_nan` must be at least 0, got -1"),
    ("data.n_masked", 10**9, "`data.n_masked` must not exceed"),
    ("data.n_masked", 0.5, "`data.n_masked` must be an integer"),
    ("data.absolute_sigma", "yes", "`data.absolute_sigma` must be True or False"),
    ("fit.cost", stored(NAN), "`cost` must be finite"),
    ("fit.cost", stored(-1.0), "`cost` must be zero or positive"),
    ("fit.penalty", stored(-1.0), "`penalty` must be zero or positive"),
    ("fit.steps", -3, "`steps` must be at least 0, got -3"),
    ("fit.status", "DONE", "it has no 'DONE'"),
    ("fit.resets", stored(np.array([-1])), "`resets` must not be negative"),
    ("fit.resets", stored(LONG), "`fit.resets` must not be of dtype float64"),
    ("settings.covariance_type", "round", "`settings.covariance_type` must be one of"),
    ("settings.loss", 3, "`settings.loss` must be one of"),
    ("settings.dtype", "float16", "`settings.dtype` must be one of"),
    ("settings.min_width", -1.0, "`settings.min_width` must be positive"),
    ("settings.n_parameters", "12", "`settings.n_parameters` must be an integer"),
    ("settings.engine", None, "`settings.engine` must be a name"),
    ("settings.colour", "blue", "unexpected keyword argument 'colour'"),
    ("settings.constraints.fixed", {"places": True}, "`fixed` must be one of"),
    ("settings.constraints.bounds.widths", [stored(3.0), stored(1.0)], "`bounds.widths` must rise"),
    ("settings.constraints.fixed", [[1]], "`fixed` must be one of"),
    ("settings.constraints.bounds.background", [stored(np.zeros(2)), None], "`bounds.background` must have"),
    ("timings.run", "long", "`timings.run` must be a number"),
    ("timings.start", stored(LONG), "`timings.start` must be a number"),
    ("fit.cost", stored([1.0]), "`fit.cost` must have shape ()"),
    ("surface.centers", stored([[1e308, 0.0]]), "`surface.centers` must not exceed 1e+140"),
    ("surface.covariances", stored([1e290 * np.eye(2)]), "`surface.principal_widths` must not exceed 1e+140"),
    ("data.heights", stored(1e200 * HEIGHTS), "`data.heights` must not exceed 1e+140"),
    ("history.cost", stored(np.ones((2, 2))), "`history.cost` must have shape"),
    ("summary.columns", lambda columns: [{**columns[0], "values": stored(LONG)}], "must have shape (1,)"),
    ("summary.columns", [], "its summary must have columns"),
    ("summary.facts", [["status", 3]], "3 is no text"),
    ("summary.title", None, "None is no text"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "value", "message"), WRONG)
def test_a_fit_with_a_wrong_part(place, value, message, documents, tmp_path, capsys):
    path = tmp_path / "fit.json"
    path.write_text(json.dumps(changed(documents["fit"], place, value)))
    if place.startswith("summary"):
        assert main(["show", str(path)]) == 2
        text = capsys.readouterr().err
    else:
        with pytest.raises(NotAFit) as error:
            sf.load(path)
        text = str(error.value)
    assert repr(str(path)) in text
    assert message in text


WRONG_MIXTURES = [
    ("mixture.weights", stored(LONG), "`means` must have shape (9, d), got (2, 7)"),
    ("mixture.weights", stored([0.9, 0.9]), "weights` must be zero or positive and sum to one"),
    ("mixture.weights", stored([-0.5, 1.5]), "weights` must be zero or positive"),
    ("mixture.means", stored(np.full((2, 7), NAN)), "means` must be finite"),
    ("mixture.covariances", stored(np.zeros((2, 7, 7))), "symmetric positive definite"),
    ("mixture.covariance_type", "round", "`covariance_type` must be one of"),
    ("mixture.total_weight", stored(-1.0), "`total_weight` must be positive"),
    ("mixture.steps", -1, "`steps` must be at least 0"),
    ("mixture.status", "NON_FINITE", "`status` must be one of"),
    ("mixture.resets", stored(np.array([-1, 0])), "`resets` must not be negative"),
    ("mixture.at_floor", stored([0.0, 1.0]), "`at_floor` must not be of dtype float64"),
    ("mixture.points", stored(np.full((6, 7), NAN)), "`points` must be finite"),
    ("mixture.point_weights", stored(LONG), "`point_weights` must have shape (6,)"),
    ("mixture.history.objective", stored(np.ones((2, 2))), "must have shape"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "value", "message"), WRONG_MIXTURES)
def test_a_mixture_with_a_wrong_part(place, value, message, documents, tmp_path):
    path = tmp_path / "mixture.json"
    path.write_text(json.dumps(changed(documents["mixture"], place, value)))
    with pytest.raises(NotAFit) as error:
        sf.MixtureResult.load(path)
    assert str(error.value).startswith(f"{str(path)!r} is no complete surfacefit mixture: ")
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["fit", "mixture"])
def test_a_document_with_a_part_left_out(name, documents, tmp_path):
    path = tmp_path / "part.json"
    read = {"fit": sf.load, "mixture": sf.MixtureResult.load}[name]
    optional = {"summary", "flags", "flags_not_looked_for", "penalty", "slopes"}
    for first, part in documents[name].items():
        places = [f"{first}.{second}" for second in part] if isinstance(part, dict) else [first]
        for place in places if first not in optional | {"settings", "history"} else ():
            path.write_text(json.dumps(without(documents[name], place)))
            with pytest.raises(NotAFit, match=r"is no|has version None"):
                read(path)


def test_a_slender_component_on_axes_of_unlike_units_comes_back(tmp_path):
    """Positive definite whatever the units are: its eigenvalues, 1e-20 and 1e12, are beyond the digits of a double."""
    axes = (1e-10 * np.arange(12), 1e6 * np.arange(14))
    hill = np.exp(-0.5 * ((np.arange(12)[:, None] - 5) ** 2 + (np.arange(14) - 6 - 0.3 * np.arange(12)[:, None]) ** 2))
    result = sf.fit(hill, 1, coords=axes, init="peaks")
    result.save(tmp_path / "fit.json")
    loaded = sf.load(tmp_path / "fit.json")
    np.testing.assert_array_equal(loaded.predict(), result.predict())
    assert sf.fit(hill, 1, coords=axes, init=loaded.surface).rmse <= 1.001 * result.rmse + 1e-12


class TestHeights:
    """Files of heights for the command line."""

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (npy((10**12,)), "does not take 0 bytes"),
            (npy((2,), "<U500000000"), "does not take 0 bytes"),
            (npy((2,), "|O"), "is not of numbers"),
            (npy((-5, -8), data=bytes(320)), "does not take 320 bytes"),
            (npy((5, 8), data=bytes(319)), "does not take 319 bytes"),
            (npy((2,), "<U4", data=bytes(32)), "dtype <U4 is not of numbers"),
            (npy((2,), data=bytes(16), version=(9, 0)), "format (9, 0)"),
            (b"\x93NUMPY\x01\x00" + struct.pack("<H", 60000) + b"(" * 60000, "cannot read"),
        ],
    )
    def test_an_npy(self, content, message, tmp_path):
        (tmp_path / "a.npy").write_bytes(content)
        with pytest.raises(CannotRead, match="cannot read") as error:
            read(tmp_path / "a.npy")
        assert message in str(error.value)
        assert repr(str(tmp_path / "a.npy")) in str(error.value)

    @pytest.mark.parametrize(
        ("content", "suffix", "message"),
        [
            (b"\x00\x01" * 40_000, ".csv", "is no text"),
            (b"words and " * 10_000, ".txt", "holds no numbers in its first"),
            (b"1,2\n" * 3 + b"3," * 70_000, ".csv", "columns in line 4"),
            (b"\x89PNG\r\n\x1a\n" + bytes(100), ".png", "as a picture"),
            (b"II*\0" + bytes(100), ".tif", "as a picture"),
        ],
    )
    def test_other_files(self, content, suffix, message, tmp_path):
        path = tmp_path / f"a{suffix}"
        path.write_bytes(content)
        with pytest.raises(CannotRead, match=message):
            read(path)

    def test_a_picture_that_claims_more_pixels_than_it_can_hold(self, tmp_path):
        Image.fromarray(np.zeros((3, 4), np.uint8)).save(tmp_path / "a.png")
        content = (tmp_path / "a.png").read_bytes()
        head = b"IHDR" + struct.pack(">II", 13_000, 13_000) + content[24:29]
        (tmp_path / "a.png").write_bytes(content[:12] + head + struct.pack(">I", zlib.crc32(head)) + content[33:])
        with pytest.raises(CannotRead, match="13000 x 13000 pixels in"):
            read(tmp_path / "a.png")

    def test_a_small_array_beside_a_large_or_broken_one(self, tmp_path):
        bomb(tmp_path / "a.npz", "junk", "x", z=saved(HEIGHTS), broken=npy((10**12,)), text=saved(np.array("a")))
        for key in (None, "z"):
            np.testing.assert_array_equal(read(tmp_path / "a.npz", key=key).heights, HEIGHTS)
        with pytest.raises(CannotRead, match=r"0\.0671 GB of one value unfold from 0\.0\d+ MB"):
            read(tmp_path / "a.npz", key="junk")
        with pytest.raises(CannotRead, match="does not take 0 bytes"):
            read(tmp_path / "a.npz", key="broken")


UNFOLDING = {
    "_data_heights": "`data.heights` must have shape (k, l), got (8388608,)",
    "_data_used": "`data.used` must not be of dtype float64",
    "_surface_amplitudes": "`surface.centers` must have shape",
    "_history_cost": "`history.optimality` must have shape",
    "_fit_cost": "`fit.cost` must have shape (), got (8388608,)",
}


def test_a_fit_whose_arrays_unfold(documents, tmp_path):
    """Whichever array it is: unread where nobody asks for it or it does not fit the others, and refused where it
    does.
    """
    members = {"junk": saved(HEIGHTS)}

    def tree(item, place=""):
        if isinstance(item, dict) and {"dtype", "shape"} <= set(item):
            coded, dtype = item.get("base64"), item["dtype"]
            array = np.array(item["values"]) if coded is None else np.frombuffer(base64.b64decode(coded), dtype)
            members[place] = saved(array.astype(dtype).reshape(item["shape"]))
            return {"member": place}
        if isinstance(item, dict):
            return {name: tree(part, f"{place}_{name}") for name, part in item.items()}
        return [tree(part, f"{place}_{i}") for i, part in enumerate(item)] if isinstance(item, list) else item

    header = header_of({**tree(documents["fit"]), "junk": {"member": "junk"}})
    path = tmp_path / "fit.npz"
    bomb(path, "junk", header=header, **{place: content for place, content in members.items() if place != "junk"})
    np.testing.assert_array_equal(sf.load(path).surface.centers, fit().surface.centers)
    for name, message in UNFOLDING.items():
        bomb(path, name, header=header, **{place: content for place, content in members.items() if place != name})
        with pytest.raises(NotAFit, match=r"fit\.npz' is no complete surfacefit result") as error:
            sf.load(path)
        assert message in str(error.value)
