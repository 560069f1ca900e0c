"""The compiled hash grid has nerfstudio's numbers, and the gradients that autograd would give."""

import os
import subprocess
import sys
import threading

import pytest
import torch
from nerfstudio.field_components.encodings import HashEncoding

from softmining_nerfstudio.encodings.hash_grid import hash_encode, kernels

pytestmark = pytest.mark.skipif(kernels() is None, reason="numba is not installed")


def encoding(levels: int = 4, log2_size: int = 10, features: int = 2, double: bool = False) -> HashEncoding:
    made = HashEncoding(levels, 16, 256, log2_size, features, hash_init_scale=1.0, implementation="torch")
    return made.double() if double else made


def compiled(made: HashEncoding, x: torch.Tensor) -> torch.Tensor:
    return hash_encode(x, made.hash_table, made.scalings)


def same_as_nerfstudio(made: HashEncoding, x: torch.Tensor) -> None:
    """Values to the bit; gradients of table and positions to rounding."""
    results = []
    for encode in (made, lambda at: compiled(made, at)):
        made.hash_table.grad, at = None, x.clone().requires_grad_()
        out = encode(at)
        out.backward(torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out))
        results.append((out.detach(), at.grad, made.hash_table.grad))
    (out, *gradients), (found, *found_gradients) = results
    assert torch.equal(out, found)
    for expected, gradient in zip(gradients, found_gradients, strict=True):
        scale = float(expected.abs().max()) if expected.numel() else 1.0
        torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=2e-6 * max(scale, 1e-30))


@pytest.mark.parametrize("features", [1, 2, 4, 8])
@pytest.mark.parametrize("levels", [1, 3, 16])
def test_values_and_gradients_are_nerfstudios(levels: int, features: int) -> None:
    same_as_nerfstudio(encoding(levels, features=features), torch.rand(300, 3))


@pytest.mark.parametrize("log2_size", [8, 12, 19])
def test_tables_of_any_size(log2_size: int) -> None:
    same_as_nerfstudio(encoding(2, log2_size), torch.rand(300, 3))


def test_float64() -> None:
    same_as_nerfstudio(encoding(double=True), torch.rand(300, 3, dtype=torch.float64))


@pytest.mark.parametrize(
    "x",
    [
        torch.cartesian_prod(*[torch.arange(4) / 16] * 3),
        torch.rand(200, 3) * 40 - 20,
        torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [-0.0, 0.5, 1.0], [-1e-7, 1 + 1e-7, 0.5]]),
        torch.zeros(0, 3),
        torch.rand(5, 6, 7, 3),
        torch.rand(3, 50).T,
        torch.rand(100, 6)[:, ::2],
    ],
    ids=["on cell borders", "outside of the scene", "corners", "empty", "a batch of batches", "transposed", "strided"],
)
def test_positions_of_any_kind(x: torch.Tensor) -> None:
    same_as_nerfstudio(encoding(), x)


def test_the_gradients_agree_with_finite_differences() -> None:
    made = encoding(3, 8, double=True)
    x = (torch.randint(1, 16, (12, 3)) / 256 + torch.rand(12, 3) * 0.5 / 256 + 1e-4).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda at, table: hash_encode(at, table, made.scalings), (x, made.hash_table))


@pytest.mark.parametrize(("of_x", "of_table"), [(True, False), (False, True), (False, False)])
def test_only_gradients_that_are_wanted_are_worked_out(of_x: bool, of_table: bool) -> None:
    made, x = encoding(), torch.rand(20, 3, requires_grad=of_x)
    made.hash_table.requires_grad_(of_table)
    out = compiled(made, x)
    assert out.requires_grad == (of_x or of_table)
    if out.requires_grad:
        out.sum().backward()
    assert (x.grad is None, made.hash_table.grad is None) == (not of_x, not of_table)


def test_a_second_derivative_is_refused() -> None:
    made, x = encoding(), torch.rand(20, 3, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"second derivative.*create_graph=True"):
        torch.autograd.grad(compiled(made, x).sum(), x, create_graph=True)


@pytest.mark.parametrize("threads", [2, 8])
def test_any_number_of_threads_gives_the_same_bits(threads: int) -> None:
    made, x, results, before = encoding(6, 12), torch.rand(20_000, 3), [], torch.get_num_threads()
    try:
        for number in (1, threads):
            torch.set_num_threads(number)
            made.hash_table.grad, at = None, x.clone().requires_grad_()
            out = compiled(made, at)
            (out**2).sum().backward()
            results.append((out, at.grad, made.hash_table.grad))
    finally:
        torch.set_num_threads(before)
    for one, many in zip(*results, strict=True):
        assert torch.equal(one, many)


def test_several_threads_may_encode_at_once() -> None:
    """As the viewer renders while training goes on."""
    made, x, found = encoding(), torch.rand(20_000, 3), {}
    expected = compiled(made, x)
    callers = [threading.Thread(target=lambda n=n: found.update({n: compiled(made, x)})) for n in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert all(torch.equal(found[n], expected) for n in range(4))


def test_inputs_are_left_as_they_were() -> None:
    made, x = encoding(), torch.rand(50, 3)
    before = x.clone(), made.hash_table.detach().clone()
    compiled(made, x.requires_grad_()).sum().backward()
    assert torch.equal(x.detach(), before[0])
    assert torch.equal(made.hash_table.detach(), before[1])


def python(code: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-W", "always", "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


USE = "from softmining_nerfstudio.encodings.hash_grid import kernels\nprint(kernels() is not None, kernels() is None)"


def test_the_loops_are_compiled_once_for_a_machine(tmp_path) -> None:
    written = []
    for _ in range(2):
        done = python(USE, NUMBA_CACHE_DIR=str(tmp_path))
        assert done.stdout.splitlines()[-1] == "True False", done.stderr
        written.append({path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nb?")})
    assert written[0] == written[1] != {}


@pytest.mark.parametrize(
    ("before", "environment", "named"),
    [
        ("import sys; sys.modules['numba'] = None\n", {}, "numba"),
        ("import sys; sys.modules['llvmlite'] = None\n", {}, "llvmlite"),
        (
            "",
            {"NUMBA_CACHE_DIR": "/dev/null/nowhere", "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"},
            "cannot cache",
        ),
    ],
    ids=["missing", "broken", "nowhere to cache"],
)
def test_without_numba_torch_does_it_after_one_warning(before: str, environment: dict[str, str], named: str) -> None:
    done = python(before + USE, **environment)
    assert done.stdout.strip() == "False True", done.stderr
    assert done.stderr.count("UserWarning") == 1
    assert named in done.stderr
