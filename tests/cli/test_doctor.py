"""The table of `mitoscan doctor` says what a machine has, and why it has not the rest."""

from __future__ import annotations

from dataclasses import replace

from scanner.cli.doctor import Finding, as_table, describe_machine
from tests.dense.test_capabilities import AMX, AVX2, H200, NO_KERNEL


def said(findings: list[Finding]) -> dict[str, str]:
    return {finding.name: finding.detail for finding in findings}


def test_an_old_server_hears_what_it_lacks_and_why() -> None:
    found = said(describe_machine(replace(AVX2, kernel=NO_KERNEL, compiler=None)))
    assert found["processor"].startswith("EPYC 7002, x86_64")
    assert found["vectors"] == "avx2, as torch uses them; no AVX512_BF16, no AMX"
    assert found["compiler"].startswith("none")
    assert found["kernel"].endswith("half as fast: no C++ compiler")
    assert found["device"] == "cpu; no GPU that torch can use"
    assert found["cpu, float32"] == "torch; not native: no C++ compiler"
    assert found["cpu, bfloat16"].startswith("no: oneDNN has no bfloat16 convolutions")


def test_a_gpu_host_hears_of_its_card_and_of_each_of_its_precisions() -> None:
    found = said(describe_machine(replace(AMX, gpus=(H200,))))
    assert found["device"] == "cuda:0, H200, 141 GiB, compute capability 9.0"
    assert found["kernel"] == "compiled, bfloat16 on its matrix unit"
    assert found["cpu, bfloat16"] == "native and torch"
    assert (found["cuda:0, tf32"], found["cuda:0, bfloat16"]) == ("torch", "torch")


def test_details_stand_below_each_other() -> None:
    table = as_table([Finding("a", "one"), Finding("longer", "two", is_fine=False)])
    assert table == ["ok           a: one", "PROBLEM longer: two"]
