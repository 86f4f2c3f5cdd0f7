"""The native kernel for a processor that this machine is not: compiled for it, and run by an emulator, call by call."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import numpy as np

import scanner.dense.native
from scanner.dense.native.build import Target
from scanner.dense.native.chain import Unit
from scanner.dense.native.packing import Rows
from scanner.dense.native.run import Image

DRIVER = Path(__file__).parent / "native_driver.cpp"
SOURCES = Path(scanner.dense.native.__file__).parent


class EmulatedLibrary:
    """Answers as the loaded library does."""

    def __init__(self, compiler: str, emulator: str, target: Target, folder: Path) -> None:
        self.folder = folder
        program = folder / "native_driver"
        command = [compiler, "-O2", "-std=c++20", "-pthread", "-static", *target.flags, f"-I{SOURCES}", "-o", program]
        subprocess.run([*command, DRIVER], check=True, capture_output=True)
        self.command = [emulator, str(program)]
        shape = subprocess.run([*self.command, "shape"], check=True, capture_output=True, text=True).stdout
        self.shape = [int(word) for word in shape.split()]

    def mitoscan_planar_block(self) -> int:
        return self.shape[0]

    def mitoscan_interleaved_lanes(self) -> int:
        return self.shape[1]

    def mitoscan_interleaved_blocks(self) -> int:
        return self.shape[2]

    def mitoscan_has_matrix(self) -> int:
        return 0

    def mitoscan_run(
        self,
        units: ctypes.Array[Unit],
        count: int,
        layout: int,
        image: object,
        scores: ctypes.c_void_p,
        threads: int,
    ) -> int:
        described: Image = image._obj  # what byref points to
        call, answer = self.folder / "call", self.folder / "scores"
        parts = [np.array([layout, threads, count], np.int32).tobytes()]
        height, width = described.height, described.width
        for unit in units:
            parts += [bytes(unit), *map(_counted, self._arrays(unit, Rows.PLANAR is list(Rows)[layout]))]
            for rows, cols in ((unit.rows, unit.columns), (unit.pool_rows, unit.pool_columns)):
                height, width = _outputs(rows, height), _outputs(cols, width)
        parts += [bytes(described), *map(_counted, self._pixels(described, units[0].channels))]
        values = units[count - 1].maps * height * width
        call.write_bytes(b"".join([*parts, np.int64(values).tobytes()]))
        done = subprocess.run([*self.command, "run", str(call), str(answer)], check=False)
        if done.returncode == 0:
            ctypes.memmove(scores, answer.read_bytes(), values * 4)
        return done.returncode

    def _arrays(self, unit: Unit, is_planar: bool) -> tuple[np.ndarray, np.ndarray]:
        lanes = self.mitoscan_interleaved_lanes()
        whole = -(-unit.maps // lanes) * lanes
        taps = unit.rows.kernel * unit.columns.kernel * unit.channels
        return _floats(unit.weights, taps * (unit.maps if is_planar else whole)), _floats(unit.bias, whole)

    def _pixels(self, image: Image, channels: int) -> tuple[np.ndarray, np.ndarray]:
        steps = ((channels, image.channel_pitch), (image.height, image.row_pitch), (image.width, image.column_pitch))
        reach = 1 + sum((count - 1) * pitch for count, pitch in steps)
        size = 1 if image.table else 4
        pixels = np.frombuffer(ctypes.string_at(image.pixels, reach * size), np.uint8)
        return pixels, _floats(image.table, channels * 256) if image.table else np.empty(0, np.float32)


def _floats(address: int, count: int) -> np.ndarray:
    return np.frombuffer(ctypes.string_at(address, count * 4), np.float32)


def _counted(values: np.ndarray) -> bytes:
    return np.int64(len(values)).tobytes() + values.tobytes()


def _outputs(window: object, inputs: int) -> int:
    return (inputs - (window.kernel - 1) * window.dilation - 1) // window.stride + 1
