"""What the demo fleet's machines are made of."""

import json
from dataclasses import dataclass

_COMMON = [
    "3dnowprefetch",
    "abm",
    "adx",
    "aes",
    "apic",
    "arat",
    "avx",
    "avx2",
    "bmi1",
    "bmi2",
    "clflush",
    "clflushopt",
    "clwb",
    "cmov",
    "cx16",
    "cx8",
    "de",
    "erms",
    "f16c",
    "fma",
    "fpu",
    "fsgsbase",
    "fxsr",
    "invpcid",
    "lahf_lm",
    "lm",
    "mca",
    "mce",
    "mmx",
    "movbe",
    "msr",
    "mtrr",
    "nx",
    "pae",
    "pat",
    "pcid",
    "pclmuldq",
    "pdpe1gb",
    "pge",
    "pni",
    "popcnt",
    "pse",
    "pse36",
    "rdrand",
    "rdseed",
    "rdtscp",
    "sep",
    "smap",
    "smep",
    "sse",
    "sse2",
    "sse4.1",
    "sse4.2",
    "ssse3",
    "syscall",
    "tsc",
    "tsc-deadline",
    "tsc_adjust",
    "umip",
    "vme",
    "x2apic",
    "xgetbv1",
    "xsave",
    "xsavec",
    "xsaveopt",
    "xsaves",
]
_INTEL = [
    "avx512bw",
    "avx512cd",
    "avx512dq",
    "avx512f",
    "avx512vl",
    "ds",
    "est",
    "hle",
    "ht",
    "mpx",
    "ss",
    "tm",
    "tm2",
    "vmx",
]
_AMD = [
    "clzero",
    "cr8legacy",
    "misalignsse",
    "mmxext",
    "osvw",
    "perfctr_core",
    "sse4a",
    "svm",
    "topoext",
    "wbnoinvd",
]


@dataclass(frozen=True)
class Chassis:
    """A kind of machine: its size, and ``cpu_info`` as libvirt reports it (JSON)."""

    vcpus: int
    memory_mb: int
    local_gb: int
    cpu_info: str


def _cpu_info(model: str, vendor: str, sockets: int, cores: int, features: list[str]) -> str:
    return json.dumps(
        {
            "arch": "x86_64",
            "model": model,
            "vendor": vendor,
            "topology": {"cells": sockets, "sockets": 1, "cores": cores, "threads": 2},
            "features": sorted(features),
        }
    )


CHASSIS = (
    Chassis(
        64,
        262144 - 1024,
        893,
        _cpu_info("Skylake-Server-noTSX-IBRS", "Intel", 2, 16, _COMMON + _INTEL),
    ),
    Chassis(
        96,
        393216 - 1536,
        1786,
        _cpu_info(
            "Cascadelake-Server-noTSX", "Intel", 2, 24, [*_COMMON, *_INTEL, "avx512vnni", "pku"]
        ),
    ),
    Chassis(
        128,
        524288 - 2048,
        3571,
        _cpu_info(
            "Icelake-Server", "Intel", 2, 32, [*_COMMON, *_INTEL, "avx512vnni", "gfni", "vaes"]
        ),
    ),
    Chassis(128, 515000, 3571, _cpu_info("EPYC-Rome", "AMD", 2, 32, [*_COMMON, *_AMD, "clzero"])),
    Chassis(
        256,
        1031000,
        7143,
        _cpu_info("EPYC-Milan", "AMD", 2, 64, [*_COMMON, *_AMD, "pku", "vaes", "vpclmulqdq"]),
    ),
    Chassis(32, 128700, 447, _cpu_info("Broadwell-IBRS", "Intel", 2, 8, [*_COMMON, "vmx", "ht"])),
)

#: vCPUs, memory in MiB and root disk in GiB; the small ones are the most wanted.
FLAVORS = (
    (1, 2048, 20),
    (2, 4096, 40),
    (2, 4096, 40),
    (4, 8192, 80),
    (4, 16384, 80),
    (8, 16384, 80),
    (16, 65536, 160),
)

#: ``vm_state`` and ``power_state`` of instances; most run.
VM_STATES = (
    *[("active", 1)] * 14,
    ("stopped", 4),
    ("stopped", 4),
    ("paused", 3),
    ("suspended", 4),
    ("shelved", 4),
    ("error", 0),
)

REASONS = (
    "maintenance",
    "kernel upgrade, back on Monday",
    "RAM errors on DIMM A3, ticket 4711",
    "Lüfter defekt, Größe prüfen ✓",
    "AUTO: Failed to connect to libvirt: Cannot recv data: Connection reset by peer",
    "burn-in",
)
