"""Two kernels for GPUs: a convolution with its max-pooling and activation, and the last two layers in one.

Both are matrix products whose left side is gathered: row i of it holds the values under the window at output i. A
window is a list of runs, each so many values that lie one after the other in memory (the channels of a pixel, or those
of a whole row of an undilated kernel), so that any kernel size, dilation and stride are the same code, and loads are
wide. Values that a layer makes and only the next one wants never reach memory.

Tensors lie channels last. Importing this module needs the triton package.
"""

from __future__ import annotations

import triton
import triton.language as tl

# Arguments stand in lines by what they are: tensors, distances, what kernels share. One a line would fill pages.
# fmt: off

#: A maximum is NaN if either side is, as in torch: else a pooling or a ReLU would make background of it.
NAN: tl.constexpr = tl.constexpr(tl.PropagateNan.ALL)


@triton.jit
def activate(x, KIND: tl.constexpr):
    """The activation of that number; see `triton_units.ACTIVATIONS`."""
    if KIND == 1:
        # Infinite exponentials come out as 1.
        x = 1 - 2 / (tl.exp(2 * x) + 1)
    elif KIND == 2:
        x = tl.maximum(x, 0.0, propagate_nan=NAN)
    elif KIND == 3:
        x = 1 / (1 + tl.exp(-x))
    return x


@triton.jit
def convolve(
    source, places, is_inside, weights, runs,
    RUNS: tl.constexpr, RUN: tl.constexpr, RUN_BLOCK: tl.constexpr, ALIGNED: tl.constexpr,
    MAPS_BLOCK: tl.constexpr, BLOCK: tl.constexpr, PRECISION: tl.constexpr,
):
    """Sums under the windows that begin at `places`: (BLOCK, MAPS_BLOCK) float32.

    `runs` says how far behind the window's first value each run begins, always a multiple of ALIGNED; RUN values of
    each count, and weights (RUNS * RUN_BLOCK, MAPS_BLOCK) are zero for the others.
    """
    within = tl.arange(0, RUN_BLOCK)
    maps = tl.arange(0, MAPS_BLOCK)
    sums = tl.zeros((BLOCK, MAPS_BLOCK), tl.float32)
    mask = is_inside[:, None]
    if RUN < RUN_BLOCK:
        mask = mask & (within < RUN)[None, :]
    for run in range(RUNS):
        offset = tl.multiple_of(tl.load(runs + run), ALIGNED)
        values = tl.load(source + offset + places[:, None] + within[None, :], mask=mask, other=0.0)
        depth = run * RUN_BLOCK + within
        factors = tl.load(weights + depth[:, None] * MAPS_BLOCK + maps[None, :])
        sums = tl.dot(values, factors, sums, input_precision=PRECISION)
    return sums


@triton.jit
def highest_in_row(
    source, places, is_inside, weights, runs, pool_col, POOL_COLS: tl.constexpr,
    RUNS: tl.constexpr, RUN: tl.constexpr, RUN_BLOCK: tl.constexpr, ALIGNED: tl.constexpr,
    MAPS_BLOCK: tl.constexpr, BLOCK: tl.constexpr, PRECISION: tl.constexpr,
):
    """The largest of the sums in one row of the pooling's window: (BLOCK, MAPS_BLOCK) float32."""
    best = convolve(
        source, places, is_inside, weights, runs,
        RUNS, RUN, RUN_BLOCK, ALIGNED, MAPS_BLOCK, BLOCK, PRECISION,
    )
    for col in tl.static_range(1, POOL_COLS):
        sums = convolve(
            source, places + col * pool_col, is_inside, weights, runs,
            RUNS, RUN, RUN_BLOCK, ALIGNED, MAPS_BLOCK, BLOCK, PRECISION,
        )
        best = tl.maximum(best, sums, propagate_nan=NAN)
    return best


@triton.jit
def pooled_convolution(
    source, result, weights, bias, runs,
    source_image, row_step, col_step, pool_row, pool_col, result_image, result_row, height, width, row_gap,
    MAPS: tl.constexpr, ACTIVATION: tl.constexpr, POOL_ROWS: tl.constexpr, POOL_COLS: tl.constexpr,
    IS_SHARED: tl.constexpr, ROWS: tl.constexpr,
    RUNS: tl.constexpr, RUN: tl.constexpr, RUN_BLOCK: tl.constexpr, ALIGNED: tl.constexpr,
    MAPS_BLOCK: tl.constexpr, BLOCK: tl.constexpr, PRECISION: tl.constexpr,
):
    """One program: ROWS rows, `row_gap` apart, of BLOCK neighbouring outputs with all their maps.

    Distances are in values of `source`: `row_step` between two rows of outputs, `pool_row` between two rows of the
    pooling's window. IS_SHARED: the window's second row is the first one of the output `row_gap` rows below, so that
    it is computed once. The maximum comes before bias and activation, which never change the order of two values.
    """
    image = tl.program_id(2).to(tl.int64)
    chunk, phase = tl.program_id(1) // row_gap, tl.program_id(1) % row_gap
    cols = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    first = (chunk * ROWS * row_gap + phase).to(tl.int64)
    start = source + image * source_image
    maps = tl.arange(0, MAPS_BLOCK)
    shift = tl.load(bias + maps)
    upper = tl.zeros((BLOCK, MAPS_BLOCK), tl.float32)
    if IS_SHARED:
        upper = highest_in_row(
            start, first * row_step + cols * col_step, (cols < width) & (first < height), weights, runs, pool_col,
            POOL_COLS, RUNS, RUN, RUN_BLOCK, ALIGNED, MAPS_BLOCK, BLOCK, PRECISION,
        )
    for number in range(ROWS):
        row = first + number * row_gap
        is_inside = (cols < width) & (row < height)
        places = row * row_step + cols * col_step
        if IS_SHARED:
            lower = highest_in_row(
                start, places + pool_row, is_inside, weights, runs, pool_col,
                POOL_COLS, RUNS, RUN, RUN_BLOCK, ALIGNED, MAPS_BLOCK, BLOCK, PRECISION,
            )
            best = tl.maximum(upper, lower, propagate_nan=NAN)
            upper = lower
        else:
            best = highest_in_row(
                start, places, is_inside, weights, runs, pool_col,
                POOL_COLS, RUNS, RUN, RUN_BLOCK, ALIGNED, MAPS_BLOCK, BLOCK, PRECISION,
            )
            for pool in tl.static_range(1, POOL_ROWS):
                below = highest_in_row(
                    start, places + pool * pool_row, is_inside, weights, runs, pool_col,
                    POOL_COLS, RUNS, RUN, RUN_BLOCK, ALIGNED, MAPS_BLOCK, BLOCK, PRECISION,
                )
                best = tl.maximum(best, below, propagate_nan=NAN)
        values = activate(best + shift[None, :], ACTIVATION)
        target = result + image * result_image + row * result_row + cols * MAPS
        tl.store(target[:, None] + maps[None, :], values, mask=is_inside[:, None] & (maps < MAPS)[None, :])


@triton.jit
def classifying_head(
    source, result, weights, bias, runs, class_weights, class_bias,
    source_image, row_step, col_step, height, width,
    CLASSES: tl.constexpr, ACTIVATION: tl.constexpr,
    RUNS: tl.constexpr, RUN: tl.constexpr, RUN_BLOCK: tl.constexpr, ALIGNED: tl.constexpr,
    MAPS_BLOCK: tl.constexpr, BLOCK: tl.constexpr, PRECISION: tl.constexpr,
):
    """One program: the logits of BLOCK neighbouring outputs; `result` is (N, CLASSES, height, width), float32.

    The hidden values stay in registers, in float32.
    """
    image, row = tl.program_id(2).to(tl.int64), tl.program_id(1).to(tl.int64)
    cols = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    is_inside = cols < width
    maps = tl.arange(0, MAPS_BLOCK)
    sums = convolve(
        source + image * source_image, row * row_step + cols * col_step, is_inside, weights, runs,
        RUNS, RUN, RUN_BLOCK, ALIGNED, MAPS_BLOCK, BLOCK, PRECISION,
    )
    hidden = activate(sums + tl.load(bias + maps)[None, :], ACTIVATION)
    for number in tl.static_range(0, CLASSES):
        factors = tl.load(class_weights + number * MAPS_BLOCK + maps)
        logits = tl.sum(hidden * factors[None, :], axis=1) + tl.load(class_bias + number)
        target = result + ((image * CLASSES + number) * height + row) * width + cols
        tl.store(target, logits, mask=is_inside)
